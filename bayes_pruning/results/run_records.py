"""One finished run as it was logged, whatever it was read from, and the reading of run folders (design, section 3).

Every source of runs (folders here, W&B in wandb_runs.py, archives in archive.py) ends in the same `LoggedRun`s, from
which results.py builds the one frame.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.presets import protocol_text
from bayes_pruning.results.declared import Declared, of_config, of_summary
from bayes_pruning.results.paper import UNPRUNED
from bayes_pruning.runs.files import read_table
from bayes_pruning.training.metrics import COLUMNS, OPTIONAL

Incomplete = list[tuple[str, str]]  # (run name, reason) of runs that are not finished


@dataclass(frozen=True)
class LoggedRun:
    """What a run is, and its metrics: one row an epoch, the columns of metrics.csv."""

    run: str  # folder name
    hash: str
    dataset: str
    model: str
    pruner: str
    target_sparsity: float  # as asked; 0 for the unpruned baseline
    seed: int
    protocol: str  # see protocol_text
    epochs: int
    twin: str  # of its pruner, see declared
    reads: str
    rows: Sequence[Sequence[float]]


def logged_run(name: str, values: Mapping[str, Any], rows: Sequence[Sequence[float]], declared: Declared) -> LoggedRun:
    """Return a LoggedRun from the fields of summary.json and what its pruner declares.

    Raises KeyError or ValueError if a field is missing or unusable.
    """
    return LoggedRun(
        run=name,
        hash=str(values["hash"]),
        dataset=str(values["dataset"]),
        model=str(values["model"]),
        pruner=UNPRUNED if declared.unpruned else str(values["pruner"]),
        target_sparsity=0.0 if declared.unpruned else float(values["sparsity"]),
        seed=int(values["seed"]),
        protocol=protocol_text(values["protocol"]),
        epochs=int(values["epochs"]),
        twin=declared.twin,
        reads=declared.reads,
        rows=rows,
    )


def read_folders(source: Path) -> tuple[list[LoggedRun], Incomplete]:
    """The runs in the folders below `source`, or in `source` itself if it is a run's folder.

    Raises UserError for a file of a finished run that can not be read, naming file and line.
    """
    folders = (
        [source] if is_run_folder(source) else [folder for folder in sorted(source.iterdir()) if is_run_folder(folder)]
    )
    runs, incomplete = [], []
    for folder in folders:
        if (folder / "summary.json").exists():
            runs.append(read_folder(folder))
        else:
            incomplete.append((folder.name, _why_incomplete(folder)))
    return runs, incomplete


def is_run_folder(folder: Path) -> bool:
    """Whether a run was started in `folder`."""
    return (folder / "metrics.csv").is_file() or (folder / ".hydra" / "config.yaml").is_file()


def read_folder(folder: Path) -> LoggedRun:
    """A finished run's folder. Raises UserError, naming the file, if it can not be read."""
    values, path = read_json(folder / "summary.json"), folder / "metrics.csv"
    try:
        run = logged_run(folder.name, values, read_metrics(path), of_summary(values) or _declared_in(folder))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / 'summary.json'} is not a run's summary ({type(error).__name__}: {error})."
        ) from error
    if len(run.rows) != run.epochs:
        raise UserError(
            f"{path} has {len(run.rows)} epochs but summary.json says {run.epochs}: one of them was changed."
        )
    return run


def _declared_in(folder: Path) -> Declared:
    """Return what a run's saved config declares of its pruner."""
    config: Any = OmegaConf.load(folder / ".hydra" / "config.yaml")
    return of_config(config.pruner)


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises UserError if it can not be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can not be read as JSON ({error}).") from error


def read_metrics(path: Path) -> list[list[float]]:
    """The rows of a metrics.csv, exactly as written, NaN for an empty cell (a number that was not computed).

    Raises UserError, naming file and line, for a damaged file.
    """
    return [_row(cells, epoch, where) for epoch, (cells, where) in enumerate(read_table(path, COLUMNS), start=1)]


def _row(cells: Sequence[str], epoch: int, where: str) -> list[float]:
    try:
        row = [
            math.nan if cell == "" and name in OPTIONAL else float(cell)
            for name, cell in zip(COLUMNS, cells, strict=True)
        ]
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from error
    if row[0] != epoch:
        raise UserError(f"{where}: epoch {cells[0]} where {epoch} is expected.")
    if not all(math.isfinite(value) for value, cell in zip(row, cells, strict=True) if cell != ""):
        raise UserError(f"{where}: a number that is not finite.")
    return row


def _why_incomplete(folder: Path) -> str:
    failure = folder / "failure.json"
    if failure.exists():
        found = read_json(failure)
        return f"failed: {found.get('reason', 'no reason given')}"
    try:
        done = len(read_metrics(folder / "metrics.csv"))
    except UserError:  # its last line may be torn: it is being written
        return "not finished"
    return f"not finished: {counted(done, 'epoch')} so far"


def counted(n: int, noun: str) -> str:
    """'1 epoch', '2 epochs'."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
