"""Where a run lives and how far it is, told from its files alone: without torch, so that asking takes no time."""

from pathlib import Path

from bayes_pruning.config.schema import RunConfig


def folder_of(run: RunConfig, output_dir: str | Path) -> Path:
    """Return where a run lives: a readable name, then the hash of its identity."""
    return Path(output_dir) / f"{run.label()}-{run.hash()}"


def is_finished(folder: Path) -> bool:
    """Return whether the run in `folder` was trained to its end."""
    return (folder / "summary.json").exists()


def epochs_done(folder: Path) -> int:
    """Return the epochs in the folder's metrics.csv, for planning and display; the checkpoint is what counts."""
    try:
        return max(0, (folder / "metrics.csv").read_bytes().count(b"\n") - 1)
    except OSError:
        return 0
