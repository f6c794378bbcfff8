"""Say where a run lives, what its summary says it is, and how far it is.

It is told without torch, so that asking takes no time.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bayes_pruning.config.schema import RunConfig


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
        "protocol_read": sorted(run.identity()["protocol"]),
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


def epochs_done(folder: Path) -> int:
    """Return the epochs in the folder's metrics.csv, for planning and display; the checkpoint is what counts."""
    try:
        return max(0, (folder / "metrics.csv").read_bytes().count(b"\n") - 1)
    except OSError:
        return 0
