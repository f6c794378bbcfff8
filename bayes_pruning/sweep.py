"""A sweep as a few stacks: which jobs are the same run, which can share a stack, in which order they train."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from bayes_pruning import capacity, datasets, device, models, precision, runs
from bayes_pruning.execute import FAILED, FINISHED, SKIPPED, STOPPED, Clock, Job, Outcome, skipped, train_stack
from bayes_pruning.reporting import Display, minutes

SHARED_SETTINGS = ("output_dir", "data_root", "device", "deterministic", "checkpoint_seconds")
TrainStacks = Callable[[Sequence[list[Job]], Display, Clock], dict[Path, Outcome]]  # the outcomes by folder


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """One job a run: unpruned runs, for instance, do not depend on the sparsity that a grid crosses them with."""
    return list({job.folder: job for job in reversed(jobs)}.values())[::-1]


def can_share(job: Job) -> str:
    """Equal for jobs that can share a stack: same data, network, batches and learning rate, whatever else differs."""
    run = job.run
    same = [dict(run.dataset), dict(run.model), run.batch_size, run.learning_rate, run.epochs, run.precision]
    return json.dumps([*same, *(job.values.get(name) for name in SHARED_SETTINGS)], sort_keys=True)


def plan(jobs: Sequence[Job], most_members: Callable[[Job], int]) -> Iterator[list[Job]]:
    """Split the unfinished of distinct `jobs` into stacks of at most `most_members`.

    Runs cut short come with those cut short at the same epoch. Within a stack runs of one seed stay together, because
    they see the same batches and share their first layer's input.
    """
    groups: dict[tuple[str, int], list[Job]] = {}
    for job in jobs:
        if not runs.is_finished(job.folder):
            groups.setdefault((can_share(job), runs.epochs_done(job.folder)), []).append(job)
    for group in sorted(groups.values(), key=lambda group: -runs.epochs_done(group[0].folder)):
        most = most_members(group[0])
        group.sort(key=lambda job: job.run.seed)
        stacks = -(-len(group) // most)
        size = -(-len(group) // stacks)  # even stacks rather than full ones and a rest
        for start in range(0, len(group), size):
            yield group[start : start + size]


def members_that_fit(job: Job) -> int:
    """Members for a stack of runs like `job`, from the memory at hand."""
    place = device.pick(job.values["device"])
    precision.prepare(job.run.precision, job.values.get("deterministic", False), place)
    shape = datasets.load(job.run.dataset, job.values["data_root"], place).shape
    network = models.build(job.run.model, shape, datasets.CLASSES, seed=0)
    return capacity.most_members(capacity.footprint(network, shape), job.run.batch_size, place)


def one_after_the_other(stacks: Sequence[list[Job]], display: Display, clock: Clock) -> dict[Path, Outcome]:
    """Train stacks in this process while the clock allows it; outcomes by folder."""
    outcomes: dict[Path, Outcome] = {}
    for number, stack in enumerate(stacks, 1):
        if not clock.allows_epoch():
            reason = "max_minutes was reached before it could go on"
            outcomes |= {job.folder: Outcome(STOPPED, job.folder, reason) for job in stack}
            continue
        display.title = f"stack {number}/{len(stacks)}"
        outcomes |= {outcome.folder: outcome for outcome in train_as_fits(stack, display, clock)}
    return outcomes


def run_sweep(
    jobs: Sequence[Job], max_members: int | None, train_stacks: TrainStacks = one_after_the_other
) -> dict[Path, Outcome]:
    """Train every run among `jobs` that is not finished; what became of each, by folder.

    Args:
        jobs: at least one; settings that concern the whole sweep (device, progress, max_minutes) are the first job's.
        max_members: of a stack; None chooses by the memory at hand.
        train_stacks: what trains the planned stacks.
    """
    todo = distinct(jobs)
    outcomes = {job.folder: skipped(job.folder) for job in todo if runs.is_finished(job.folder)}
    clock = Clock(jobs[0].values["max_minutes"])
    stacks = list(plan(todo, members_that_fit if max_members is None else lambda job: max_members))
    done = sum(runs.epochs_done(job.folder) for stack in stacks for job in stack)
    display = Display(jobs[0].values["progress"], sum(job.run.epochs for stack in stacks for job in stack), done)
    finished = f", {len(outcomes)} are finished already" if outcomes else ""
    display.say(f"{len(todo)} runs{finished}; {sum(map(len, stacks))} to train in {len(stacks)} stacks")
    try:
        return outcomes | train_stacks(stacks, display, clock)
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
