"""A finished run's offline W&B run, made anew from the run's own folder."""

import math
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.schema import run_config
from bayes_pruning.results.run_records import read_json, read_metrics
from bayes_pruning.runs import tracking
from bayes_pruning.training.metrics import COLUMNS, OPTIONAL, WHOLE, Metrics

BATCH = 100  # runs that W&B is waited for at a time


def log_again(folders: Sequence[Path]) -> dict[str, str]:
    """Log finished runs as if they trained now, offline; the names of those that can not be logged, with the reason."""
    failed = {}
    for start in range(0, len(folders), BATCH):
        for folder in folders[start : start + BATCH]:
            try:
                _log_again(folder)
            except UserError as error:
                failed[folder.name] = str(error)
        tracking.close()
    return failed


def _log_again(folder: Path) -> None:
    rows = [_metrics(dict(zip(COLUMNS, row, strict=True))) for row in read_metrics(folder / "metrics.csv")]
    config = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert isinstance(config, DictConfig)
    config.wandb.mode, config.output_dir = "offline", str(folder.parent)
    commit = read_json(folder / "summary.json").get("git_commit")
    tracker = tracking.start(run_config(config), config, folder, commit)
    for row in rows:
        tracker.log(row)
    tracker.finish(rows[-1], failed=False)


def _metrics(row: dict[str, float]) -> Metrics:
    whole = {name: int(row[name]) for name in WHOLE}
    missing = {name: None for name in OPTIONAL if math.isnan(row[name])}
    return Metrics(**{**row, **whole, **missing})  # type: ignore[arg-type]
