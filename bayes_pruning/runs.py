"""A run's folder: what is written, in which order, and how a run that was cut short goes on (design, section 3).

    .hydra/               config.yaml, overrides.yaml, hydra.yaml
    metrics.csv           one row an epoch; the open file is also the lock that keeps a second process out
    decisions.csv         one row an epoch, where the gate asks for evidence: what it compared and decided
    checkpoint.pt         replaced atomically after each epoch; holds the rows of both files so far, so it alone
                          decides where a run goes on, and the files are brought in line with it
    weights.safetensors   the final weights, as pruned
    summary.json          written last, atomically: its presence says the run is finished
    failure.json          only where a run failed: the epoch and the reason

A new file is first written under a name that ends in `.part`, then renamed.
"""

import csv
import fcntl
import io
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save as safetensors_bytes

from bayes_pruning import __version__, decisions
from bayes_pruning.columns import COLUMNS, Metrics
from bayes_pruning.config import RunConfig, run_config
from bayes_pruning.decisions import Decision
from bayes_pruning.errors import UserError

CHECKPOINT_FORMAT = 2


def folder_of(run: RunConfig, output_dir: str | Path) -> Path:
    """Where a run lives: a readable name, then the hash of its identity."""
    return Path(output_dir) / f"{run.label()}-{run.hash()}"


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` was trained to its end."""
    return (folder / "summary.json").exists()


def final_metrics(folder: Path) -> Metrics:
    """The last epoch of the finished run in `folder`."""
    return Metrics(**json.loads((folder / "summary.json").read_text())["metrics"])


def epochs_done(folder: Path) -> int:
    """Epochs in the folder's metrics.csv, for planning and display; the checkpoint is what counts."""
    try:
        return max(0, (folder / "metrics.csv").read_text().count("\n") - 1)
    except OSError:
        return 0


@dataclass(frozen=True)
class Progress:
    """How far a run is: its checkpoint's state, and the rows of the epochs it has."""

    state: dict[str, Any]
    metrics: list[Metrics]
    decisions: list[Decision]


class RunFolder:
    """One run's folder, opened by the one process that may write to it. Use as a context manager.

    Args:
        run: what the run is.
        output_dir: the folder of all runs.
        config: the composed job config, saved as .hydra/config.yaml.
        hydra: Hydra's own node and the job's overrides, saved as .hydra/hydra.yaml and overrides.yaml.

    Raises UserError if the folder can not be written, is in use, or holds another run.
    """

    def __init__(self, run: RunConfig, output_dir: str | Path, config: DictConfig, hydra: DictConfig | None) -> None:
        self.run = run
        self.path = folder_of(run, output_dir)
        git_commit()  # now, and not when the run ends: the checkout may have moved on by then
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._metrics = self._lock()
            for part in self.path.rglob("*.part"):
                part.unlink()
            self._write_hydra_files(config, hydra)
            (self.path / "failure.json").unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"output_dir={output_dir} can not be written ({error.strerror}: {error.filename}): give another folder."
            ) from error

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._metrics.close()

    def _lock(self) -> IO[str]:
        file = (self.path / "metrics.csv").open("a", newline="")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise UserError(f"{self.path} is being written by another process: wait for it, or stop it.") from error
        return file

    def _write_hydra_files(self, config: DictConfig, hydra: DictConfig | None) -> None:
        stored = self.path / ".hydra" / "config.yaml"
        if stored.exists():
            self._check_stored(stored)
            return
        stored.parent.mkdir(exist_ok=True)
        if hydra is not None:
            write_atomically(stored.with_name("hydra.yaml"), OmegaConf.to_yaml(hydra).encode())
            task = hydra.hydra.overrides.task
            write_atomically(stored.with_name("overrides.yaml"), OmegaConf.to_yaml(task).encode())
        write_atomically(stored, OmegaConf.to_yaml(config).encode())

    def _check_stored(self, stored: Path) -> None:
        try:
            found = run_config(OmegaConf.load(stored)).hash()  # type: ignore[arg-type]
        except Exception as error:  # whatever a damaged file may raise, the answer is the same
            found = f"unreadable ({type(error).__name__})"
        if found != self.run.hash():
            raise UserError(
                f"{stored} does not match its folder (its hash is {found}, the folder's {self.run.hash()}): "
                f"restore the file, or remove the folder to start the run anew."
            )

    def progress(self) -> Progress | None:
        """Where the run stopped, or None if it starts anew. Raises UserError for a checkpoint that can not be used."""
        path = self.path / "checkpoint.pt"
        if not path.exists():
            self._bring_in_line([], [])
            return None
        remedy = f"remove {path} to start the run anew"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            version, run_hash = state["format"], state["hash"]
        except Exception as error:  # zip, pickle and torch each raise their own
            raise UserError(f"{path} is not a readable checkpoint ({type(error).__name__}): {remedy}.") from error
        if version != CHECKPOINT_FORMAT:
            raise UserError(f"{path} has format {version}, this version reads {CHECKPOINT_FORMAT}: {remedy}.")
        if run_hash != self.run.hash():
            raise UserError(f"{path} belongs to another run (hash {run_hash}, this one's {self.run.hash()}): {remedy}.")
        progress = Progress(
            state, [Metrics(*row) for row in state["metrics"]], [Decision(*row) for row in state["decisions"]]
        )
        self._bring_in_line(progress.metrics, progress.decisions)
        return progress

    def _bring_in_line(self, metrics: list[Metrics], ledger: list[Decision]) -> None:
        """Make the two files what the checkpoint says: drop what goes beyond it or is torn, add what is missing."""
        text = _csv_lines([COLUMNS, *map(_cells, metrics)])
        if (self.path / "metrics.csv").read_bytes() != text.encode():
            self._metrics.truncate(0)
            self._metrics.write(text)
            self._metrics.flush()
        if self.run.asks_for_evidence:
            text = _csv_lines([decisions.COLUMNS, *map(_cells, ledger)])
            write_atomically(self.path / "decisions.csv", text.encode())

    def save_epoch(self, metrics: list[Metrics], ledger: list[Decision], state: Mapping[str, Any]) -> None:
        """Keep an epoch: the checkpoint first, which counts, then its row of each file."""
        contents = {
            "format": CHECKPOINT_FORMAT,
            "hash": self.run.hash(),
            "metrics": [list(astuple(row)) for row in metrics],
            "decisions": [list(astuple(row)) for row in ledger],
            **{key: _own_memory(value) for key, value in state.items()},
        }
        buffer = io.BytesIO()
        torch.save(contents, buffer)
        write_atomically(self.path / "checkpoint.pt", buffer.getvalue())
        self._metrics.write(_csv_lines([_cells(metrics[-1])]))
        self._metrics.flush()
        if ledger:
            with (self.path / "decisions.csv").open("a", newline="") as file:
                file.write(_csv_lines([_cells(ledger[-1])]))

    def finish(self, metrics: list[Metrics], state: Mapping[str, Any], device: torch.device, prunable: int) -> None:
        """Write the final weights, then the summary that says the run is finished."""
        weights = {name: tensor.cpu().contiguous() for name, tensor in state["parameters"].items()}
        write_atomically(self.path / "weights.safetensors", safetensors_bytes(weights))
        summary = {
            "dataset": self.run.dataset["name"],
            "model": self.run.model["name"],
            "pruner": self.run.pruner.name,
            "sparsity": self.run.sparsity,
            "seed": self.run.seed,
            "protocol": asdict(self.run.protocol),
            "hash": self.run.hash(),
            "epochs": self.run.epochs,
            "metrics": asdict(metrics[-1]),
            "parameters": sum(tensor.numel() for tensor in weights.values()),
            "prunable_weights": prunable,
            "wall_seconds": sum(row.seconds for row in metrics),
            "device": _device_name(device),
            "versions": {"python": platform.python_version(), "torch": torch.__version__, "bayes_pruning": __version__},
            "git_commit": git_commit(),
        }
        write_atomically(self.path / "summary.json", json.dumps(summary, indent=2).encode())

    def fail(self, reason: str, epoch: int) -> None:
        """Say why the run can not go on; the next start of the same run tries again from its checkpoint."""
        write_atomically(self.path / "failure.json", json.dumps({"epoch": epoch, "reason": reason}, indent=2).encode())


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step: whenever the process is killed, the old file or the new one is there."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)


def _own_memory(value: Any) -> Any:
    """Copies of tensors, on the CPU: torch.save would store the whole stack behind a view of one member."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {key: _own_memory(item) for key, item in value.items()}
    return value


def _cells(row: Metrics | Decision) -> list[str]:
    """Numbers as text that reads back exactly: Python's shortest representation of a float; nothing for None."""
    return ["" if value is None else repr(value) for value in astuple(row)]


def _csv_lines(rows: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """The commit of the checkout that this package runs from, None outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
