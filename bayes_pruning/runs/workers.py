"""Train the stacks of a sweep side by side in worker processes: one thread on each core, or one worker a GPU.

This process plans, hands out stacks, shows progress, talks to W&B and keeps the clock. A worker that is free takes the
next stack. Each worker has a pipe of its own, because a worker that dies while it writes spoils its pipe: so a death
costs one stack, and another worker takes over.

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
import traceback
from collections.abc import Sequence
from contextlib import suppress
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
from bayes_pruning.runs.train import Clock, Job, Outcome, check_data, job_of, outcome_in_folder
from bayes_pruning.training.metrics import Metrics

STOP_PATIENCE = 5.0  # seconds that stacks at work have to come to an orderly end when the user stops the sweep
PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that a process gets when the one that started it dies
log = logging.getLogger(__name__)

Seat = str | None  # the GPU that a worker sees, None for a core


def seats(workers: int | None, name: str) -> list[Seat]:
    """Return a seat for each worker on the device called `name`; without a number one for each core or GPU at hand.

    Cores are those that this process may use: its affinity and the limits of its container count, and so do GPUs that
    CUDA_VISIBLE_DEVICES leaves out. Raise ConfigError for more workers than GPUs.
    """
    torch_device = device.pick(name)
    if torch_device.type == "cpu":
        return [None] * (workers or device.cores())
    if torch_device.index is not None:
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
    """Train every run among `jobs` that is not finished; return what became of each, by folder.

    With one worker, or a single stack, all of it happens in this process.
    """
    worker_seats = seats(workers, jobs[0].values["device"])
    train_stacks = partial(_train_stacks, worker_seats)
    return sweep.run_sweep(jobs, max_members, train_stacks, len(worker_seats), on_cores=worker_seats[0] is None)


def _train_stacks(
    worker_seats: Sequence[Seat], stacks: Sequence[list[Job]], display: Display, clock: Clock
) -> dict[Path, Outcome]:
    """Train the planned stacks (a sweep.TrainStacks). However this ends, no worker is left."""
    for stack in stacks:  # once for all workers; and before anything is written
        check_data(stack[0], torch.device("cpu"))
    if worker_seats[0] is not None:
        datasets.forget()
    if min(len(worker_seats), len(stacks)) < 2:
        return sweep.one_after_the_other(stacks, display, clock)
    outcomes: dict[Path, Outcome] = {}
    waiting = list(enumerate(stacks, 1))
    workers = [_Worker(seat, clock) for seat in worker_seats[: len(stacks)]]
    try:
        while waiting or any(worker.stack for worker in workers):
            for worker in workers:
                if not worker.stack and waiting:
                    number, stack = waiting.pop(0)
                    worker.begin(stack, f"stack {number}/{len(stacks)}")
            for outcome in _listen(workers, display):
                outcomes[outcome.folder] = outcome
    except BaseException:
        _stop(workers, display)
        raise
    finally:
        for worker in workers:
            worker.close()
    return outcomes


def _listen(workers: Sequence["_Worker"], display: Display, seconds: float | None = None) -> list[Outcome]:
    """Wait for messages of busy workers, for some seconds at most; return what became of the stacks that ended."""
    busy = {worker.pipe: worker for worker in workers if worker.stack}
    return [outcome for pipe in wait(list(busy), seconds) for outcome in busy[pipe].take_message(display)]


def _stop(workers: Sequence["_Worker"], display: Display) -> None:
    """End the stacks at work: in order, if they manage within STOP_PATIENCE."""
    for worker in workers:
        if worker.process is not None:
            worker.process.terminate()
    deadline = time.monotonic() + STOP_PATIENCE
    while any(worker.stack for worker in workers) and (left := deadline - time.monotonic()) > 0:
        _listen(workers, display, left)


class _Worker:
    """Train one stack after the other in a process. It starts with the first, and anew with the next if it has died."""

    def __init__(self, seat: Seat, clock: Clock) -> None:
        self.seat, self.clock = seat, clock
        self.process: Any = None
        self.pipe: Any = None
        self.stack: list[Job] = []  # what it trains now

    def begin(self, stack: list[Job], title: str) -> None:
        """Have it train a stack."""
        configs = [job.compose() for job in stack]
        self.stack = stack
        if self.process is None:
            context: Any = multiprocessing.get_context("fork" if self.seat is None else "spawn")
            self.pipe, other_end = context.Pipe()
            self.process = context.Process(target=_work, args=(other_end, self.clock, os.getpid(), self.seat))
            self.process.start()
            other_end.close()  # only the worker has it now, so that its death is the end of the pipe
        with suppress(OSError):  # it has died while it was idle: its next message says so
            self.pipe.send((configs, title))

    def take_message(self, display: Display) -> list[Outcome]:
        """Take one message; return what became of the stack if it has ended, else nothing."""
        try:
            kind, *content = self.pipe.recv()
        except (EOFError, OSError):  # it has died, maybe in the middle of a message
            return self._died()
        if kind == "epoch":
            display.title, members, rows = content
            display.epoch(members, rows)
        elif kind == "say":
            display.say(*content)
        elif kind == "wandb":
            tracking.send(*content)
        elif kind == "ended":
            self.stack = []
            [outcomes] = content
            return list(outcomes)
        elif kind == "interrupted":
            self.stack = []
            raise KeyboardInterrupt
        else:
            reason, trace = content
            log.error("A stack of %d runs failed.\n%s", len(self.stack), trace)
            return self._fail(reason)
        return []

    def _died(self) -> list[Outcome]:
        self.process.join()
        reason = _how_it_ended(self.process.exitcode)
        self.pipe.close()
        self.process = None
        for job in self.stack:
            if job.values["wandb"]["mode"] != "disabled":
                tracking.finish_left_open(job.folder)
        return self._fail(reason)

    def _fail(self, reason: str) -> list[Outcome]:
        stack, self.stack = self.stack, []
        return [outcome_in_folder(job.folder, reason) for job in stack]

    def close(self) -> None:
        """Let an idle process end, and kill a busy one."""
        if self.process is None:
            return
        if self.stack:
            self.process.kill()
        with suppress(OSError):
            self.pipe.send(None)
        self.process.join()
        self.pipe.close()


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"its worker process ended by itself with exit status {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"  # 40, for instance
    memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its worker process was ended by {name}{memory}"


class _RemoteDisplay(Display):
    """Hand what is to be shown to the process that shows it."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__("none", total=0)
        self._send = pipe.send

    def epoch(self, members: Sequence[RunConfig], rows: Sequence[Metrics | None]) -> None:
        self._send(("epoch", self.title, members, rows))

    def say(self, line: str) -> None:
        self._send(("say", line))


class _TerminatedError(BaseException):
    """Report that SIGTERM came while a worker trained."""


def _work(pipe: Connection, clock: Clock, parent: int, seat: Seat) -> None:
    """Train the stacks that come through the pipe, one after the other: all that a worker process does."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    device.use_cores(1)
    if seat is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = seat
    tracking.send_through(lambda message: pipe.send(("wandb", message)))
    display = _RemoteDisplay(pipe)
    while (task := pipe.recv()) is not None:
        configs, display.title = task
        pipe.send(_train(configs, display, clock))


def _train(configs: Sequence[tuple[Any, Any]], display: Display, clock: Clock) -> tuple[Any, ...]:
    """Train a stack; return the message that says what became of it.

    SIGTERM ends the stack in order, as Ctrl-C does elsewhere, so that no file is half written; then it ends the worker.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return "ended", sweep.train_or_fail([job_of(*config) for config in configs], display, clock)
    except _TerminatedError:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        raise
    except KeyboardInterrupt:
        return ("interrupted",)
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}", traceback.format_exc()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(*_: object) -> None:
    raise _TerminatedError


def _die_with(parent: int) -> None:
    """Have the system kill this process when its parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has died already
            os._exit(1)
