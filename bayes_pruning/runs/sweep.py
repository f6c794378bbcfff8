"""A sweep as a few stacks: which jobs are the same run, what became of each, and what the user is told at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from bayes_pruning.runs import run_folder
from bayes_pruning.runs.planning import members_that_fit, plan
from bayes_pruning.runs.progress import Display, minutes
from bayes_pruning.runs.train import FAILED, FINISHED, SKIPPED, STOPPED, Clock, Job, Outcome, skipped, train_stack

TrainStacks = Callable[[Sequence[list[Job]], Display, Clock], dict[Path, Outcome]]  # the outcomes by folder


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """One job a run: unpruned runs, for instance, do not depend on the sparsity that a grid crosses them with."""
    return list({job.folder: job for job in reversed(jobs)}.values())[::-1]


def train_in_time(stack: list[Job], display: Display, clock: Clock) -> list[Outcome]:
    """Train a stack unless the clock allows no epoch any more."""
    if not clock.allows_epoch():
        reason = "max_minutes was reached before it could go on"
        return [Outcome(STOPPED, job.folder, reason) for job in stack]
    return train_as_fits(stack, display, clock)


def one_after_the_other(stacks: Sequence[list[Job]], display: Display, clock: Clock) -> dict[Path, Outcome]:
    """Train stacks in this process while the clock allows it; outcomes by folder."""
    outcomes: dict[Path, Outcome] = {}
    for number, stack in enumerate(stacks, 1):
        display.title = f"stack {number}/{len(stacks)}"
        outcomes |= {outcome.folder: outcome for outcome in train_in_time(stack, display, clock)}
    return outcomes


@dataclass(frozen=True)
class Place:
    """Where the stacks of a sweep train: in this process, in workers beside it, on a cluster.

    Args:
        train_stacks: trains the planned stacks.
        workers: how many stacks at a time.
        sharing: how many of the workers share one memory.
        prefer_one_seed: whether members of one seed are faster in a stack of their own.
    """

    train_stacks: TrainStacks
    workers: int = 1
    sharing: int = 1
    prefer_one_seed: bool = False


HERE = Place(one_after_the_other)


def run_sweep(jobs: Sequence[Job], max_members: int | None, place: Place = HERE) -> dict[Path, Outcome]:
    """Train every run among `jobs` that is not finished; what became of each, by folder.

    Args:
        jobs: at least one; settings that concern the whole sweep (device, progress, max_minutes) are the first job's.
        max_members: of a stack; None chooses by the memory at hand.
        place: where the stacks train.
    """
    todo = distinct(jobs)
    outcomes = {job.folder: skipped(job.folder) for job in todo if run_folder.is_finished(job.folder)}
    clock = Clock(jobs[0].values["max_minutes"])
    most = partial(members_that_fit, sharing=place.sharing) if max_members is None else lambda job: max_members
    stacks = plan(todo, most, place.workers, place.prefer_one_seed)
    done = sum(run_folder.epochs_done(job.folder) for stack in stacks for job in stack)
    display = Display(jobs[0].values["progress"], sum(job.run.epochs for stack in stacks for job in stack), done)
    finished = f", {len(outcomes)} are finished already" if outcomes else ""
    busy = min(place.workers, len(stacks))
    by = f" by {busy} workers" if busy > 1 else ""
    display.say(f"{len(todo)} runs{finished}; {sum(map(len, stacks))} to train in {len(stacks)} stacks{by}")
    try:
        return outcomes | place.train_stacks(stacks, display, clock)
    finally:
        display.close()


def train_as_fits(stack: list[Job], display: Display, clock: Clock) -> list[Outcome]:
    """Train a stack; if it does not fit into memory after all, train its halves one after the other."""
    try:
        return train_stack(stack, display, clock)
    except (MemoryError, RuntimeError) as error:
        if len(stack) == 1 or not _out_of_memory(error):
            raise
    half = len(stack) // 2
    display.say(f"{len(stack)} members do not fit into memory: going on with {half} and {len(stack) - half}")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return [*train_as_fits(stack[:half], display, clock), *train_as_fits(stack[half:], display, clock)]


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def failures(outcomes: dict[Path, Outcome]) -> str:
    """A sentence that lists the runs that failed, empty if none did."""
    failed = [outcome for outcome in outcomes.values() if outcome.status == FAILED]
    lines = "".join(f"\n  {outcome.folder}: {outcome.reason}" for outcome in failed)
    return f"{len(failed)} of {len(outcomes)} runs failed:{lines}" if failed else ""


def summary(jobs: Sequence[Job], outcomes: dict[Path, Outcome], seconds: float) -> str:
    """A table of what the sweep's runs ended with, and how many are in which state.

    Means over seeds of the last epoch: accuracy before pruning, accuracy after, and the zeros of that last network.
    """
    cells: dict[tuple[str, ...], list[Outcome]] = {}
    for job in distinct(jobs):
        run, outcome = job.run, outcomes[job.folder]
        sparsity = "-" if run.pruner.gate == "never" else f"{run.sparsity:g}"
        cells.setdefault((run.dataset["name"], run.model["name"], run.pruner.name, sparsity), []).append(outcome)
    lines = [
        f"{'dataset':14} {'model':6} {'pruner':16} {'sparsity':>8} {'runs':>5} "
        f"{'accuracy':>9} {'pruned':>9} {'zeros':>7}"
    ]
    for key, members in cells.items():
        rows = [outcome.metrics for outcome in members if outcome.status in (FINISHED, SKIPPED) and outcome.metrics]
        columns = (("test_accuracy", 9), ("pruned_test_accuracy", 9), ("sparsity", 7))
        means = [
            f"{sum(getattr(row, name) for row in rows) / len(rows):{width}.4f}" if rows else f"{'-':>{width}}"
            for name, width in columns
        ]
        lines.append(f"{key[0]:14} {key[1]:6} {key[2]:16} {key[3]:>8} {len(rows):>5} {' '.join(means)}")
    states = {state: sum(outcome.status == state for outcome in outcomes.values()) for state in _STATES}
    lines.append(", ".join(f"{count} {state}" for state, count in states.items() if count) + f", {minutes(seconds)}")
    if states[STOPPED]:
        reasons = sorted({outcome.reason for outcome in outcomes.values() if outcome.status == STOPPED})
        lines.append(f"{', '.join(reasons)}; the same command goes on from there.")
    return "\n".join(lines)


_STATES = (FINISHED, SKIPPED, STOPPED, FAILED)
