"""Train jobs to finished run folders: open the folders, resume, train a stack epoch by epoch, write, report.

A job is one composed config. `train_stack` trains jobs that can share a stack; a single run is a stack of one.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.schema import RunConfig, as_trained, check_settings, run_config
from bayes_pruning.data import datasets
from bayes_pruning.engine import device
from bayes_pruning.models import networks
from bayes_pruning.pruning import decision
from bayes_pruning.runs import layout, run_folder, tracking
from bayes_pruning.runs.files import most_open_folders
from bayes_pruning.runs.progress import Display
from bayes_pruning.training.metrics import Metrics
from bayes_pruning.training.trainer import Trainer

Status = Literal["finished", "skipped", "stopped", "failed"]


@dataclass(frozen=True)
class Job:
    """Describe one run that was asked for.

    Args:
        values: the composed config as plain values.
        compose: the same as Hydra saves it, (config, hydra's own node); called only once the run starts.

    Raise ConfigError for a value, or the name of a function, that is not accepted.
    """

    values: Mapping[str, Any]
    compose: Callable[[], tuple[DictConfig, DictConfig | None]]
    run: RunConfig = field(init=False)

    def __post_init__(self) -> None:
        run = run_config(self.values)
        datasets.LOADERS.find(run.dataset["loader"])
        networks.BUILDERS.find(run.model["builder"])
        decision.check(run)
        check_settings(self.values)
        object.__setattr__(self, "run", run)

    @property
    def folder(self) -> Path:
        """Return the folder of the run."""
        return layout.folder_of(self.run, self.values["output_dir"])


def job_of(config: DictConfig, hydra: DictConfig | None = None) -> Job:
    """Return the job of a composed config."""
    values: Any = OmegaConf.to_container(config, resolve=True)
    return Job(values, lambda: (config, hydra))


@dataclass(frozen=True)
class Outcome:
    """Say what became of a job: finished now, skipped (it was finished), stopped in time, or failed with a reason."""

    status: Status
    folder: Path
    reason: str = ""
    metrics: Metrics | None = None


def skipped(folder: Path, status: Status = "skipped") -> Outcome:
    """Return the outcome of a job whose run was finished before: `status`, but failed for a damaged summary."""
    try:
        return Outcome(status, folder, metrics=layout.final_metrics(folder))
    except UserError as error:
        return Outcome("failed", folder, str(error).rstrip("."))


def refused(job: Job, error: UserError) -> Outcome:
    """Return the outcome of a job that can not be trained."""
    return Outcome("failed", job.folder, str(error).rstrip("."))


def outcome_in_folder(folder: Path, reason: str) -> Outcome:
    """Return the outcome of a job whose process ended without a word: finished if its folder says so, else failed."""
    return skipped(folder, "finished") if layout.is_finished(folder) else Outcome("failed", folder, reason)


def check_data(job: Job, torch_device: torch.device) -> datasets.Dataset:
    """Return the data set of `job`. Raise UserError if it can not be had, or if its model takes no such images."""
    data = datasets.load(job.run.dataset, job.values["data_root"], torch_device)
    networks.build(job.run.model, data.shape, datasets.CLASSES, seed=0)
    return data


class Clock:
    """Keep the time that `max_minutes` leaves; None sets no limit. An epoch starts only if the last one would fit."""

    def __init__(self, max_minutes: float | None) -> None:
        self.deadline = float("inf") if max_minutes is None else time.monotonic() + 60 * max_minutes
        self.started = time.monotonic()
        self.last_epoch = 0.0

    def allows_epoch(self) -> bool:
        """Return whether one more epoch would end in time."""
        self.started = time.monotonic()
        return self.started + self.last_epoch < self.deadline

    def epoch_done(self) -> None:
        """Note that the epoch which `allows_epoch` allowed has ended."""
        self.last_epoch = time.monotonic() - self.started


class Intervals:
    """Say when a stack writes a checkpoint: after an epoch that ends at least `seconds` after the last checkpoint."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last = time.monotonic()

    def due(self) -> bool:
        """Return whether it is time; if so, the next interval begins."""
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


class _Member:
    """Hold a job while it trains: its open folder, its epochs so far and its W&B run; once it ended, its outcome."""

    def __init__(self, job: Job, folders: ExitStack) -> None:
        composed, hydra = job.compose()
        config = as_trained(composed, job.run)
        self.job = job
        self.folder = folders.enter_context(run_folder.RunFolder(job.run, job.values["output_dir"], config, hydra))
        self.outcome: Outcome | None = None
        self.checkpoint_is_behind = False  # older than the last epoch
        last = self.folder.resume()
        self.state, self.metrics, self.decisions = last.state, last.metrics, last.decisions
        if layout.is_finished(self.folder.path):  # by another process, since this one looked
            self.outcome = skipped(self.folder.path)
            return
        self.tracker = tracking.Tracker(job.run, config, self.folder.path)
        for row in self.metrics:
            self.tracker.log(row)

    def end(self, status: Status, reason: str = "") -> None:
        last = self.metrics[-1] if self.metrics else None
        self.outcome = Outcome(status, self.folder.path, reason, last)
        self.tracker.finish(last if status == "finished" else None, failed=status == "failed")

    def fail(self, reason: str, epoch: int, trace: str = "") -> None:
        self.end("failed", reason)
        with suppress(OSError):  # the folder itself may be what failed; the outcome carries the reason
            self.folder.fail(reason, epoch, trace)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Fail the run if its folder can not be written."""
        try:
            yield
        except OSError as error:
            epoch = len(self.metrics)
            self.fail(f"{self.folder.path} can not be written in epoch {epoch} ({error.strerror})", epoch)

    def load_into(self, trainer: Trainer, index: int) -> None:
        """Hand the checkpoint's state to the trainer; one of another network's shapes ends the run."""
        state, self.state = self.state, None
        if state is None:
            return
        wanted = {name: tensor[0].shape for name, tensor in trainer.stack.parameters.items()}
        if {name: tensor.shape for name, tensor in state["parameters"].items()} != wanted:
            path = self.folder.checkpoint
            reason = f"{path} is of a network with other layers than {self.job.run.model['builder']} builds now"
            self.fail(f"{reason}: remove {path} to start the run anew", len(self.metrics))
            return
        trainer.load_state(index, state)

    def keep_epoch(self, row: Metrics, trainer: Trainer, index: int, checkpoint: bool) -> None:
        """Save one finished epoch, with or without a checkpoint."""
        self.metrics.append(row)
        if index in trainer.decisions:
            self.decisions.append(trainer.decisions[index])
        with self._writing():
            self.folder.save_epoch(self.metrics, self.decisions, trainer.state(index) if checkpoint else None)
            self.checkpoint_is_behind = not checkpoint
            self.tracker.log(row)

    def stop(self, trainer: Trainer, index: int, reason: str) -> None:
        """End at an epoch's end, to go on later from there."""
        with self._writing():
            if self.checkpoint_is_behind:
                self.folder.save_checkpoint(self.metrics, self.decisions, trainer.state(index))
            self.end("stopped", reason)

    def finish(self, trainer: Trainer, index: int) -> None:
        """Write what makes the run finished."""
        with self._writing():
            self.folder.finish(self.metrics, trainer.state(index), trainer.device, trainer.weights)
            self.end("finished")


def prepare(job: Job, torch_device: torch.device) -> None:
    """Set torch up for runs like `job`. Raise ConfigError for settings that the device does not have."""
    values = job.values
    device.prepare(job.run.precision, values["deterministic"], torch_device, values["compile"])


def train_stack(jobs: Sequence[Job], display: Display, clock: Clock) -> list[Outcome]:
    """Train jobs that can share a stack to their ends, each in its own folder; return the outcomes in their order.

    Jobs already finished are skipped; those cut short go on from their checkpoints. More jobs than a process may have
    folders open train in turns. Raise UserError, before anything is written, for a device or data set that can not be
    had, and for any trouble with the folder of a lone job.
    """
    most = most_open_folders()
    if len(jobs) > most:
        turns = [jobs[start : start + most] for start in range(0, len(jobs), most)]
        return [outcome for turn in turns for outcome in train_stack(turn, display, clock)]
    outcomes = {job.folder: skipped(job.folder) for job in jobs if layout.is_finished(job.folder)}
    unfinished = [job for job in jobs if job.folder not in outcomes]
    if not unfinished:
        return [outcomes[job.folder] for job in jobs]
    torch_device = device.pick(unfinished[0].values["device"])
    prepare(unfinished[0], torch_device)
    data = check_data(unfinished[0], torch_device)  # before anything is written
    with ExitStack() as folders:
        members: list[_Member] = []
        for job in unfinished:
            try:
                members.append(_Member(job, folders))
            except UserError as error:
                if len(jobs) == 1:
                    raise
                outcomes[job.folder] = refused(job, error)
        for epochs in sorted({len(member.metrics) for member in members if not member.outcome}):
            group = [member for member in members if len(member.metrics) == epochs and not member.outcome]
            _train_members(group, data, torch_device, display, clock)
        outcomes |= {member.job.folder: member.outcome for member in members if member.outcome}
    return [outcomes[job.folder] for job in jobs]


def _train_members(
    members: list[_Member], data: datasets.Dataset, torch_device: torch.device, display: Display, clock: Clock
) -> None:
    """Train members that have done the same number of epochs, as one stack."""
    try:
        settings = members[0].job.values
        intervals = Intervals(settings["checkpoint_seconds"])
        trainer = Trainer([member.job.run for member in members], data, torch_device, settings["log_evidence"])
        if settings["compile"]:
            trainer.stack.compile()
        for i, member in enumerate(members):
            member.load_into(trainer, i)
        while trainer.epoch < members[0].job.run.epochs and any(not member.outcome for member in members):
            if not clock.allows_epoch():
                break
            _train_epoch(members, trainer, intervals, display)
            clock.epoch_done()
        for i, member in enumerate(members):
            if member.outcome is None and trainer.epoch == member.job.run.epochs:
                member.finish(trainer, i)
            elif member.outcome is None:
                member.stop(trainer, i, f"max_minutes was reached after epoch {trainer.epoch}")
    except BaseException:
        for member in members:
            if member.outcome is None:
                member.tracker.finish(None, failed=True)
        raise


def _train_epoch(members: list[_Member], trainer: Trainer, intervals: Intervals, display: Display) -> None:
    rows = trainer.run_epoch()
    checkpoint = intervals.due() or trainer.epoch == members[0].job.run.epochs
    for i, (member, row) in enumerate(zip(members, rows, strict=True)):
        if member.outcome is None and row is None:
            member.fail(trainer.failures[i], trainer.epoch, trainer.traces.get(i, ""))
        elif member.outcome is None and row is not None:
            member.keep_epoch(row, trainer, i, checkpoint)
    display.epoch([member.job.run for member in members], rows)
