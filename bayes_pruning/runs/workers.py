"""Worker processes that train the stacks of a sweep side by side: one thread on each core, or one worker a GPU.

This process plans, hands out stacks, shows progress, talks to W&B and keeps the clock; a worker that is free takes the
next stack. Each worker is an executor of one process, because an executor whose process dies takes no more work: so a
death costs one stack, and another worker takes the place.

On a CPU workers are forked once the data is loaded, so they start at once and share its memory. Threads do not survive
a fork, and torch has started none by then (see device). On GPUs workers are started anew: CUDA survives no fork.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.schema import RunConfig
from bayes_pruning.data import datasets
from bayes_pruning.engine import device
from bayes_pruning.runs import sweep, tracking
from bayes_pruning.runs.progress import Display
from bayes_pruning.runs.stack_task import StackTask
from bayes_pruning.runs.train import FAILED, Clock, Job, Outcome, check_data, left_in
from bayes_pruning.training.metrics import Metrics

STOP_PATIENCE = 5.0  # seconds that stacks at work have to come to an orderly end when the user stops the sweep
PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that a process gets when the one that started it dies
log = logging.getLogger(__name__)

Seat = str | None  # the GPU that a worker sees, None for a core


def seats(workers: int | None, name: str) -> list[Seat]:
    """A seat for each worker on the device called `name`; without a number one for each core or GPU at hand.

    Cores are those that this process may use: its affinity and the limits of its container count, and so do GPUs that
    CUDA_VISIBLE_DEVICES leaves out. Raises ConfigError for more workers than GPUs.
    """
    place = device.pick(name)
    if place.type == "cpu":
        return [None] * (workers or device.cores())
    if place.index is not None:
        gpus: list[Seat] = [name]
    else:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        count = torch.cuda.device_count()
        gpus = list(visible.split(",")[:count] if visible is not None else map(str, range(count)))
    if workers is not None and workers > len(gpus):
        raise ConfigError(
            "hydra.launcher.workers", workers, f"at most one worker a GPU, and device={name} has {len(gpus)}"
        )
    return gpus[:workers]


def run_sweep(jobs: Sequence[Job], max_members: int | None, workers: int | None) -> dict[Path, Outcome]:
    """Train every run among `jobs` that is not finished; what became of each, by folder.

    With one worker, or a single stack, all of it happens in this process.
    """
    own = seats(workers, jobs[0].values["device"])
    on_cpu = own[0] is None
    place = sweep.Place(
        train_stacks=partial(_train_stacks, own),
        workers=len(own),
        sharing=len(own) if on_cpu else 1,
        prefer_one_seed=on_cpu,
    )
    return sweep.run_sweep(jobs, max_members, place)


def _train_stacks(own: Sequence[Seat], stacks: Sequence[list[Job]], display: Display, clock: Clock) -> Any:
    """A sweep.TrainStacks."""
    if min(len(own), len(stacks)) < 2:
        return sweep.one_after_the_other(stacks, display, clock)
    for stack in stacks:  # once for all workers; and before anything is written
        check_data(stack[0], torch.device("cpu"))
    if own[0] is not None:
        datasets.forget()
    return _Crew(own[: len(stacks)], display, clock).train(stacks)


class _Crew:
    """The workers of one sweep."""

    def __init__(self, own: Sequence[Seat], display: Display, clock: Clock) -> None:
        self.display, self.clock = display, clock
        self.workers = [_Worker(seat, clock) for seat in own]
        self.done, self._bell = multiprocessing.Pipe(duplex=False)  # rings when a stack has come to its end

    def train(self, stacks: Sequence[list[Job]]) -> dict[Path, Outcome]:
        """Train all stacks; outcomes by folder. However this ends, no worker is left."""
        outcomes: dict[Path, Outcome] = {}
        waiting = list(enumerate(stacks, 1))
        try:
            while waiting or any(worker.future for worker in self.workers):
                for worker in self.workers:
                    if worker.future is None and waiting:
                        number, stack = waiting.pop(0)
                        worker.begin(stack, f"stack {number}/{len(stacks)}").add_done_callback(self._ring)
                self._listen(None)
                for index, worker in enumerate(self.workers):
                    if worker.future is not None and worker.future.done():
                        outcomes |= {outcome.folder: outcome for outcome in worker.outcomes()}
                        if worker.dead:
                            self.workers[index] = _Worker(worker.seat, self.clock)
        except BaseException:
            self._stop()
            raise
        finally:
            for worker in self.workers:
                worker.close()
        return outcomes

    def _ring(self, _: Any) -> None:
        self._bell.send(None)

    def _listen(self, seconds: float | None) -> None:
        """Take what workers say until a stack has come to its end, or for some seconds."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            speaking = {worker.messages: worker for worker in self.workers if worker.speaks}
            ready = wait([self.done, *speaking], left)
            for connection in ready:
                if connection is not self.done:
                    self._take(speaking[connection])  # type: ignore[index]
            if self.done in ready or not ready:
                break
        if self.done in ready:
            self.done.recv()
            for worker in self.workers:  # all that was said before
                while worker.speaks and worker.messages.poll():
                    self._take(worker)

    def _take(self, worker: "_Worker") -> None:
        """One message of a worker."""
        try:
            kind, *content = worker.messages.recv()
        except (EOFError, OSError):  # it has died, maybe in the middle of a message
            worker.speaks = False
            return
        if kind == "epoch":
            self.display.title, members, rows = content
            self.display.epoch(members, rows)
        elif kind == "say":
            self.display.say(*content)
        else:
            worker.tracked.take(*content)

    def _stop(self) -> None:
        """End the stacks at work: in order, if they manage within STOP_PATIENCE."""
        for worker in self.workers:
            worker.stop()
        deadline = time.monotonic() + STOP_PATIENCE
        while any(worker.is_busy for worker in self.workers) and (left := deadline - time.monotonic()) > 0:
            self._listen(left)


class _Worker:
    """A process of its own for one stack after the other; it starts with the first."""

    def __init__(self, seat: Seat, clock: Clock) -> None:
        self.seat = seat
        self.messages, self._sending = multiprocessing.Pipe(duplex=False)
        self.executor = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("fork" if seat is None else "spawn"),
            initializer=_begin,
            initargs=(self._sending, clock, os.getpid(), seat),
        )
        self.process: Any = None
        self.stack: Sequence[Job] = ()
        self.future: Future[list[Outcome]] | None = None
        self.speaks = False
        self.dead = False
        self.tracked = tracking.WorkerRuns()

    @property
    def is_busy(self) -> bool:
        """Whether a stack is at work."""
        return self.future is not None and not self.future.done()

    def begin(self, stack: Sequence[Job], title: str) -> "Future[list[Outcome]]":
        """Have it train a stack."""
        self.stack, task = stack, StackTask(stack)
        before = set(multiprocessing.active_children())
        self.future = self.executor.submit(_train, task, title)
        if self.process is None:
            [self.process] = set(multiprocessing.active_children()) - before
            self._sending.close()  # only the worker's own end is left: its death is the end of what it says
            self.speaks = True
        return self.future

    def outcomes(self) -> list[Outcome]:
        """What became of its stack. Raises what ended the worker's Python, such as KeyboardInterrupt."""
        assert self.future is not None
        error, done = self.future.exception(), self.future
        self.future = None
        if error is None:
            return done.result()
        if isinstance(error, BrokenProcessPool):
            self.dead = True
            self.close()
            self.tracked.end()
            reason = _how_it_ended(self.process.exitcode)
        elif isinstance(error, _EndedError):
            reason = _how_it_ended(-signal.SIGTERM)
        elif not isinstance(error, Exception):
            raise error
        else:
            reason = f"{type(error).__name__}: {error}"
            log.error("A stack of %d runs failed.", len(self.stack), exc_info=error)
        return [left_in(job.folder, FAILED, reason) for job in self.stack]

    def stop(self) -> None:
        """Ask it to end its stack."""
        if self.process is not None:
            self.process.terminate()

    def close(self) -> None:
        """Let an idle process end, and kill a busy one."""
        if self.is_busy and self.process is not None:
            self.process.kill()
        self.executor.shutdown(wait=True, cancel_futures=True)


def _how_it_ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its worker process ended by itself with exit status {code}"
    name = signal.Signals(-code).name
    memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its worker process was ended by {name}{memory}"


class _RemoteDisplay(Display):
    """Hands what is to be shown to the process that shows it."""

    def __init__(self, messages: Connection) -> None:
        super().__init__("none", total=0)
        self._send = messages.send

    def epoch(self, members: Sequence[RunConfig], rows: Sequence[Metrics | None]) -> None:
        self._send(("epoch", self.title, members, rows))

    def say(self, line: str) -> None:
        self._send(("say", line))


class _EndedError(BaseException):
    """SIGTERM came while a worker trained."""


_here: tuple[Display, Clock] | None = None  # in a worker: where its progress goes, and the sweep's clock


def _begin(messages: Connection, clock: Clock, parent: int, seat: Seat) -> None:
    """The first thing that a worker does."""
    global _here
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    device.use_cores(1)
    if seat is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = seat
    tracking.relay(lambda message: messages.send(("wandb", message)))
    _here = _RemoteDisplay(messages), clock


def _die_with(parent: int) -> None:
    """Have the system kill this process when its parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has died already
            os._exit(1)


def _train(task: StackTask, title: str) -> list[Outcome]:
    """Train a stack in a worker. As Ctrl-C does elsewhere, SIGTERM ends it in order here: no file is half written."""
    assert _here is not None
    display, clock = _here
    display.title = title
    signal.signal(signal.SIGTERM, _end)
    try:
        return task.train(task.jobs(), display, clock)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(*_: object) -> None:
    raise _EndedError
