"""The W&B mirror of a run. Training never waits for it and never fails because of it.

With `wandb.mode=disabled` nothing of W&B is imported.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bayes_pruning.config import RunConfig
from bayes_pruning.errors import ConfigError
from bayes_pruning.training import Metrics

MODES = ("offline", "online", "disabled")
log = logging.getLogger(__name__)


class Tracker:
    """One W&B run, or nothing: after a first failure it says so once and then does nothing."""

    def __init__(self, run: Any = None) -> None:
        self._run = run

    def log(self, row: Metrics) -> None:
        """Send one epoch; `epoch` is the step."""
        self._try(lambda run: run.log(asdict(row), step=row.epoch))

    def finish(self, last: Metrics | None, failed: bool) -> None:
        """Close the W&B run, with the last metrics as its summary if the run is finished."""
        if last is not None:
            self._try(lambda run: run.summary.update(asdict(last)))
        self._try(lambda run: run.finish(exit_code=int(failed)))
        self._run = None

    def _try(self, action: Callable[[Any], Any]) -> None:
        if self._run is None:
            return
        try:
            action(self._run)
        except Exception as error:  # whatever W&B raises, the run's own files are what counts
            log.warning("W&B stopped mirroring this run (%s: %s); training goes on.", type(error).__name__, error)
            self._run = None


def check_mode(mode: str) -> None:
    """Raises ConfigError unless W&B has such a mode."""
    if mode not in MODES:
        raise ConfigError("wandb.mode", mode, "offline, online or disabled")


def start(run: RunConfig, config: DictConfig, folder: Path) -> Tracker:
    """Open a W&B run for `run`, its settings in the config node `wandb`. Raises ConfigError for an unknown mode."""
    settings = config.wandb
    if settings.mode not in MODES:
        raise ConfigError("wandb.mode", settings.mode, "offline, online or disabled")
    if settings.mode == "disabled":
        return Tracker()
    try:
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        plain: Any = OmegaConf.to_container(config, resolve=True)
        opened = wandb.init(
            mode=settings.mode,
            project=settings.project,
            entity=settings.entity,
            group=settings.group,
            job_type=run.pruner.name,
            name=run.label(),
            id=folder.name,
            tags=[run.dataset["name"], run.model["name"], f"sparsity {run.sparsity:g}"],
            config={**plain, "hash": run.hash()},
            dir=config.output_dir,
            reinit="create_new",
            resume="allow" if settings.mode == "online" else None,
            settings=wandb.Settings(silent=True, console="off", init_timeout=20),
        )
        return Tracker(opened)
    except Exception as error:  # no key, no network, no disk: the run's own files are what counts
        log.warning("W&B does not mirror this run (%s: %s); training goes on.", type(error).__name__, error)
        return Tracker()
