"""Jobs -> finished run folders: opens the folders, resumes, trains a stack epoch by epoch, writes, reports.

A job is one composed config. `train_stack` trains jobs that can share a stack; a single run is a stack of one.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bayes_pruning import datasets, device, models, runs, tracking
from bayes_pruning.config import RunConfig, run_config
from bayes_pruning.errors import ConfigError, UserError
from bayes_pruning.pruning import GATES, SELECTORS
from bayes_pruning.reporting import Display, describe
from bayes_pruning.training import Metrics, Trainer

FINISHED, SKIPPED, STOPPED, FAILED = "finished", "skipped", "stopped", "failed"


@dataclass(frozen=True)
class Job:
    """One composed config, and what it says the run is. `hydra` is Hydra's own node, None outside Hydra."""

    config: DictConfig
    hydra: DictConfig | None = None
    run: RunConfig = field(init=False)

    def __post_init__(self) -> None:
        run = run_config(self.config)
        for registry, name in (
            (datasets.LOADERS, run.dataset["loader"]),
            (models.BUILDERS, run.model["builder"]),
            (SELECTORS, run.pruner.selector),
            (GATES, run.pruner.gate),
        ):
            registry.find(name)
        object.__setattr__(self, "run", run)

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return runs.folder_of(self.run, self.config.output_dir)


@dataclass(frozen=True)
class Outcome:
    """What became of a job: finished now, skipped (it was finished), stopped in time, or failed with a reason."""

    status: str
    folder: Path
    reason: str = ""
    metrics: Metrics | None = None


class Clock:
    """The time that `max_minutes` leaves; None leaves any."""

    def __init__(self, max_minutes: float | None) -> None:
        if max_minutes is not None and not (isinstance(max_minutes, (int, float)) and max_minutes > 0):
            raise ConfigError("max_minutes", max_minutes, "a number above 0, or null for no limit")
        self.deadline = float("inf") if max_minutes is None else time.monotonic() + 60 * max_minutes

    def allows(self, seconds: float) -> bool:
        """Whether something that takes `seconds` would end in time."""
        return time.monotonic() + seconds < self.deadline


class _Member:
    """One job while it trains: its folder, its metrics so far and its W&B run."""

    def __init__(self, job: Job, folder: runs.RunFolder, progress: runs.Progress | None) -> None:
        self.job, self.folder, self.progress = job, folder, progress
        self.metrics = list(progress.metrics) if progress else []
        self.tracker = tracking.start(job.run, job.config, folder.path)
        self.outcome: Outcome | None = None
        for row in self.metrics:
            self.tracker.log(row)

    def end(self, status: str, reason: str = "") -> None:
        last = self.metrics[-1] if self.metrics else None
        self.outcome = Outcome(status, self.folder.path, reason, last)
        self.tracker.finish(last if status == FINISHED else None, failed=status == FAILED)

    def fail(self, reason: str, epoch: int) -> None:
        self.end(FAILED, reason)
        try:
            self.folder.fail(reason, epoch)
        except OSError:
            pass  # the folder itself is what failed; the outcome carries the reason

    def keep_epoch(self, row: Metrics, trainer: Trainer, index: int) -> None:
        """Save one finished epoch, and the whole run if it was the last; a folder that can not be written ends it."""
        self.metrics.append(row)
        state = trainer.state(index)
        try:
            self.folder.save_epoch(self.metrics, state)
            with (self.folder.path / "train.log").open("a") as log:
                log.write(describe(row, self.job.run.epochs) + "\n")
            self.tracker.log(row)
            if row.epoch == self.job.run.epochs:
                self.folder.finish(self.metrics, state, trainer.device, trainer.weights)
                self.end(FINISHED)
        except OSError as error:
            self.fail(f"{self.folder.path} can not be written in epoch {row.epoch} ({error.strerror})", row.epoch)


def train_stack(jobs: Sequence[Job], display: Display, clock: Clock) -> list[Outcome]:
    """Train jobs that can share a stack to their ends, each in its own folder; outcomes in the order of `jobs`.

    Jobs already finished are skipped; those cut short go on from their checkpoints. Raises UserError, before anything
    is written, for a device or data set that can not be had, and for any trouble with the folder of a lone job.
    """
    outcomes: dict[int, Outcome] = {
        i: Outcome(SKIPPED, job.folder) for i, job in enumerate(jobs) if runs.is_finished(job.folder)
    }
    settings = jobs[0].config
    place = device.pick(settings.device)
    data = datasets.load(jobs[0].run.dataset, settings.data_root, place)
    models.build(jobs[0].run.model, data.shape, datasets.CLASSES, seed=0)  # complains before anything is written
    with ExitStack() as folders:
        members: dict[int, _Member] = {}
        for i, job in enumerate(jobs):
            if i in outcomes:
                continue
            try:
                folder = folders.enter_context(runs.RunFolder(job.run, settings.output_dir, job.config, job.hydra))
                members[i] = _Member(job, folder, folder.progress())
            except UserError as error:
                if len(jobs) == 1:
                    raise
                outcomes[i] = Outcome(FAILED, job.folder, str(error))
        for epoch in sorted({len(member.metrics) for member in members.values()}):
            group = [member for member in members.values() if len(member.metrics) == epoch and not member.outcome]
            _train_members(group, data, place, display, clock)
        outcomes |= {i: member.outcome for i, member in members.items() if member.outcome}
    return [outcomes[i] for i in range(len(jobs))]


def _train_members(members: list[_Member], data: datasets.Dataset, place: Any, display: Display, clock: Clock) -> None:
    """Train members that have done the same number of epochs, as one stack."""
    trainer = Trainer([member.job.run for member in members], data, place)
    for i, member in enumerate(members):
        if member.progress is not None:
            trainer.load_state(i, member.progress.state)
            member.progress = None
    slowest = 0.0
    try:
        for _ in range(trainer.epoch, members[0].job.run.epochs):
            if not clock.allows(slowest):
                break
            start = time.monotonic()
            rows = trainer.run_epoch()
            for i, (member, row) in enumerate(zip(members, rows, strict=True)):
                if member.outcome is None and row is None:
                    member.fail(trainer.failures[i], trainer.epoch)
                elif member.outcome is None and row is not None:
                    member.keep_epoch(row, trainer, i)
            display.epoch([member.job.run for member in members], rows)
            slowest = max(slowest, time.monotonic() - start)
            if all(member.outcome is not None for member in members):
                break
    except BaseException:
        for member in members:
            if member.outcome is None:
                member.tracker.finish(None, failed=True)
        raise
    for member in members:
        if member.outcome is None:
            member.end(STOPPED, f"max_minutes was reached after epoch {len(member.metrics)}")
