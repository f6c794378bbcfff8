"""Show progress while runs train: a bar on a terminal, else one plain line an epoch."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from bayes_pruning.config.schema import RunConfig
from bayes_pruning.training.metrics import Metrics


def describe(row: Metrics, epochs: int) -> str:
    """Return one epoch of one run as a line."""
    gate = "pruned" if row.pruned else "not pruned"
    factor = "" if row.log_bayes_factor is None else f", log BF {row.log_bayes_factor:.1f}"
    return (
        f"epoch {row.epoch}/{epochs}  train loss {row.train_loss:.4f}  test loss {row.test_loss:.4f}  "
        f"accuracy {row.test_accuracy:.4f}  {gate}: accuracy {row.pruned_test_accuracy:.4f}, "
        f"sparsity {row.sparsity:.4f}{factor}  {row.seconds:.1f} s"
    )


def minutes(seconds: float) -> str:
    """Return a duration for people, e.g. 3:05."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def bar(name: str, done: int, total: int) -> str:
    """Return a name and a bar of how much of it is done, as one line: 'mnist fcn  ####....  50%'."""
    layout = f"{name:24}{{bar:30}} {{percentage:3.0f}}%"
    return str(tqdm.format_meter(done, total, elapsed=0, ascii=".#", bar_format=layout))


@contextmanager
def may_be_lost(stream: str) -> Iterator[None]:
    """Give up sys.stdout or sys.stderr from here on if it can not be written (a full disk, a closed pipe)."""
    try:
        yield
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), getattr(sys, stream).fileno())  # also for what Python flushes at exit


@may_be_lost("stdout")
def show(text: str) -> None:
    """Print what a run or a sweep says; that it can not be written is no reason not to train."""
    print(text, flush=True)


class Display:
    """Show progress over run epochs: `total` is epochs times runs of all that is to be trained.

    Time left is measured from what this display has seen, so it counts a resumed sweep right; one that goes back to
    older checkpoints has more left than is said. A terminal shows one bar, also of a sweep with workers: how many there
    are, epochs of all runs, time left and the latest accuracies.
    """

    def __init__(self, style: str, total: int, done: int = 0, workers: int = 1) -> None:
        self.workers = workers
        self.style = ("bar" if sys.stderr.isatty() else "lines") if style == "auto" else style
        self.total, self.done, self.first, self.start = total, done, done, time.monotonic()
        self.title = ""
        self.bar: Any = None
        if self.style == "bar":
            with may_be_lost("stderr"):
                self.bar = tqdm(total=total, initial=done, unit="epoch", dynamic_ncols=True)

    @may_be_lost("stderr")
    def epoch(self, members: Sequence[RunConfig], rows: Sequence[Metrics | None]) -> None:
        """Report one finished epoch of a stack."""
        self.done += len(members)
        alive = [row for row in rows if row is not None]
        if self.bar is not None:
            self.bar.set_description(
                f"{self.workers} workers" if self.workers > 1 else self.title or members[0].label()
            )
            if alive:
                self.bar.set_postfix_str(_accuracies(alive))
            self.bar.update(len(members))
        elif self.style == "lines" and alive:
            if len(members) == 1:
                show(f"{members[0].label()}  {describe(alive[0], members[0].epochs)}")
            else:
                left = (time.monotonic() - self.start) / (self.done - self.first) * max(0, self.total - self.done)
                epoch = f"epoch {alive[0].epoch}/{members[0].epochs} of {len(members)} runs"
                show(f"{self.title}  {epoch}  {_summary(alive)}  {minutes(left)} left")

    @may_be_lost("stderr")
    def say(self, line: str) -> None:
        """Show a line of text."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        elif self.style == "lines":
            show(line)

    @may_be_lost("stderr")
    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()


def _summary(rows: Sequence[Metrics]) -> str:
    """Return the means over the members of a stack."""
    opened = sum(row.pruned for row in rows)
    return (
        f"train loss {_mean(rows, 'train_loss'):.3f}, test loss {_mean(rows, 'test_loss'):.3f}, "
        f"{_accuracies(rows)}, sparsity {_mean(rows, 'sparsity'):.3f}, gate open {opened}/{len(rows)}"
    )


def _accuracies(rows: Sequence[Metrics]) -> str:
    """Return the accuracy before and after pruning, for which a bar has room."""
    return f"accuracy {_mean(rows, 'test_accuracy'):.4f} -> {_mean(rows, 'pruned_test_accuracy'):.4f}"


def _mean(rows: Sequence[Metrics], name: str) -> float:
    return float(sum(getattr(row, name) for row in rows) / len(rows))
