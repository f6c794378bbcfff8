"""Read all that finished runs left, in a form that is equal for runs that are the same to the bit, without times."""

import json
import re
from pathlib import Path
from typing import Any

import torch


def contents(output: Path) -> dict[str, Any]:
    """Return every file of an output_dir by name: its content if it is one of a run's, else that it is there."""
    by_name: dict[str, Any] = {}
    for path in sorted(output.rglob("*")):
        name = str(path.relative_to(output))
        if path.is_file() and not name.startswith("wandb/"):
            try:
                by_name[name] = READERS.get(path.name, lambda _: "is there")(path)
            except Exception as error:
                by_name[name] = f"can not be read: {error}"
    return by_name


def _rows(path: Path) -> tuple[list[list[str]], bool]:
    """Return the cells line by line, and whether the last line is whole."""
    text = path.read_text()
    header, *rows = [line.split(",") for line in text.splitlines()]
    timed = len(header) - (header[-1] == "seconds")
    return [header, *([*row[:timed], f"{len(row)} cells"] for row in rows)], text.endswith("\n")


def _log(path: Path) -> str:
    return re.sub(r"\d+\.\d s$", "", path.read_text(), flags=re.MULTILINE)


def _summary(path: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(path.read_text())
    del summary["wall_seconds"], summary["metrics"]["seconds"]
    return summary


def _checkpoint(path: Path) -> dict[str, Any]:
    state = torch.load(path, weights_only=True)
    state["metrics"] = [row[:-1] for row in state["metrics"]]
    return {key: _plain(value) for key, value in state.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


READERS = {
    "metrics.csv": _rows,
    "decisions.csv": _rows,
    "train.log": _log,
    "summary.json": _summary,
    "checkpoint.pt": _checkpoint,
    "weights.safetensors": Path.read_bytes,
}
