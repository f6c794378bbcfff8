"""Say where a run lives, what its summary says it is, and how far it is.

It is told without torch, so that asking takes no time.
"""

import fcntl
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.schema import RunConfig
from bayes_pruning.training.metrics import Metrics

STATES = ("finished", "training", "cut short", "failed", "missing")


def folder_of(run: RunConfig, output_dir: str | Path) -> Path:
    """Return where a run lives: a readable name, then the hash of its identity."""
    return Path(output_dir) / f"{run.label()}-{run.hash()}"


def summary_of(run: RunConfig) -> dict[str, Any]:
    """Return the part of summary.json that says what a run is."""
    return {
        "dataset": run.dataset["name"],
        "model": run.model["name"],
        "pruner": run.pruner.name,
        "twin": run.pruner.twin,
        "unpruned": run.unpruned,
        "reads_bayes_factor": run.gate_reads_bayes_factor,
        "sparsity": run.sparsity,
        "seed": run.seed,
        "protocol": asdict(run.protocol),
        "hash": run.hash(),
        "epochs": run.epochs,
    }


def is_finished(folder: Path) -> bool:
    """Return whether the run in `folder` was trained to its end."""
    return (folder / "summary.json").exists()


def failure(folder: Path) -> str | None:
    """Return why the run in `folder` failed, None if it did not."""
    path = folder / "failure.json"
    try:
        return str(json.loads(path.read_bytes())["reason"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError):
        return f"its {path.name} can not be read"


def in_use(folder: Path) -> bool:
    """Return whether a process that trains holds the lock of a run's folder (run_folder.RunFolder)."""
    try:
        with (folder / "metrics.csv").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError as error:
        return isinstance(error, BlockingIOError)


def final_metrics(folder: Path) -> Metrics:
    """Return the last epoch of the finished run in `folder`. Raise UserError for a damaged summary."""
    path = folder / "summary.json"
    try:
        return Metrics(**json.loads(path.read_bytes())["metrics"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} can not be read ({type(error).__name__}): remove it, and the same command writes it anew."
        ) from error


def state_of(folder: Path, epochs: int) -> tuple[str, int, str]:
    """Return which of STATES a run of so many epochs is in, how many it has done, and what there is to say of it."""
    if is_finished(folder):
        try:
            final_metrics(folder)
        except UserError as error:
            return "failed", 0, f"failed: {error}"
        return "finished", epochs, ""
    if reason := failure(folder):
        return "failed", 0, f"failed: {reason}"
    if not folder.exists():
        return "missing", 0, ""
    done = epochs_done(folder)
    if in_use(folder):
        return "training", done, f"is being trained, now after epoch {done} of {epochs}"
    return "cut short", done, f"was cut short after epoch {done} of {epochs}"


def epochs_done(folder: Path) -> int:
    """Return the epochs in the folder's metrics.csv, for planning and display; the checkpoint is what counts."""
    try:
        return max(0, (folder / "metrics.csv").read_bytes().count(b"\n") - 1)
    except OSError:
        return 0
