"""Hold one finished run as it was logged, whatever it was read from, and read run folders.

Every source of runs (folders here, W&B in wandb_server.py, archives in archive.py) says what a run is by `identity`,
from which frame.py builds the one frame.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from bayes_pruning.config.errors import UserError, user_error
from bayes_pruning.config.presets import protocol_text
from bayes_pruning.config.schema import other_settings
from bayes_pruning.results.declared import Declared, of_config
from bayes_pruning.results.paper import UNPRUNED
from bayes_pruning.runs import layout
from bayes_pruning.runs.files import read_table
from bayes_pruning.training.metrics import COLUMNS, OPTIONAL

Incomplete = list[tuple[str, str]]  # (run name, reason) of runs that are not finished
YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it


@dataclass(frozen=True)
class LoggedRun:
    """Hold what a run is (`identity`), and its metrics: one row an epoch, the columns of metrics.csv."""

    identity: Mapping[str, Any]
    rows: Sequence[Sequence[float]]


def identity(name: str, summary: Mapping[str, Any], declared: Declared, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the frame that say what a run is, from its summary.json and what its config says.

    Raise KeyError, TypeError or ValueError if a field is missing or unusable.
    """
    return {
        "run": name,  # of its folder
        "hash": str(summary["hash"]),
        "dataset": str(summary["dataset"]),
        "model": str(summary["model"]),
        "pruner": UNPRUNED if declared.unpruned else str(summary["pruner"]),
        "target_sparsity": 0.0 if declared.unpruned else float(summary["sparsity"]),
        "seed": int(summary["seed"]),
        "protocol": protocol_text(summary["protocol"]),
        "epochs": int(summary["epochs"]),
        "twin": declared.twin,
        "reads": declared.reads,
        "settings": json.dumps(settings, sort_keys=True),
    }


def read_folders(folders: Sequence[Path]) -> tuple[list[LoggedRun], Incomplete]:
    """Return the runs of some run folders.

    Raise UserError for a file of a finished run that can not be read, naming file and line.
    """
    finished = [folder for folder in folders if (folder / "summary.json").exists()]
    incomplete = [(folder.name, _why_incomplete(folder)) for folder in folders if folder not in finished]
    return [read_folder(folder) for folder in finished], incomplete


def is_run_folder(folder: Path) -> bool:
    """Return whether a run was started in `folder`."""
    return (folder / "metrics.csv").is_file() or (folder / ".hydra" / "config.yaml").is_file()


def read_folder(folder: Path) -> LoggedRun:
    """Return the run of a finished run's folder. Raise UserError, naming the file, if it can not be read."""
    about, path = folder / "summary.json", folder / "metrics.csv"
    summary, rows, (declared, settings) = read_json(about), read_metrics(path), _read_config(folder)
    with user_error(f"{about} is not a run's summary", (KeyError, TypeError, ValueError)):
        run = LoggedRun(identity(folder.name, summary, declared, settings), rows)
    if len(rows) != run.identity["epochs"]:
        raise UserError(
            f"{path} has {len(rows)} epochs but summary.json says {run.identity['epochs']}: one of them was changed."
        )
    return run


def _read_config(folder: Path) -> tuple[Declared, dict[str, Any]]:
    """Return what a run's config declares of its pruner, and its settings. Raise UserError if it can not be read."""
    path = folder / ".hydra" / "config.yaml"
    with user_error(f"{path} can not be read"):  # OmegaConf, yaml and the file system each raise their own
        text = path.read_text()
        config: Any = yaml.load(text, YAML)  # OmegaConf takes twenty times as long, and is needed for ${...} alone
        if "${" in text:
            config = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
        return of_config(config["pruner"]), other_settings(config)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raise UserError if it can not be read."""
    with user_error(f"{path} can not be read as JSON", (OSError, ValueError)):
        return json.loads(path.read_text())


def read_metrics(path: Path) -> list[list[float]]:
    """Return the rows of a metrics.csv, exactly as written, NaN for an empty cell (a number that was not computed).

    Raise UserError, naming file and line, for a damaged file.
    """
    return [_row(cells, epoch, where) for epoch, (cells, where) in enumerate(read_table(path, COLUMNS), start=1)]


def _row(cells: Sequence[str], epoch: int, where: str) -> list[float]:
    empty = [cell == "" and name in OPTIONAL for name, cell in zip(COLUMNS, cells, strict=True)]
    try:
        row = [math.nan if none else float(cell) for none, cell in zip(empty, cells, strict=True)]
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from error
    if row[0] != epoch:
        raise UserError(f"{where}: epoch {cells[0]} where {epoch} is expected.")
    if not all(none or math.isfinite(value) for none, value in zip(empty, row, strict=True)):
        raise UserError(f"{where}: a number that is not finite.")
    return row


def _why_incomplete(folder: Path) -> str:
    if reason := layout.failure(folder):
        return f"failed: {reason}"
    try:
        return f"not finished: {counted(len(read_metrics(folder / 'metrics.csv')), 'epoch')} so far"
    except UserError:  # its last line may be torn: it is being written
        return "not finished"


def counted(n: int, noun: str) -> str:
    """Return '1 epoch', '2 epochs'."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
