"""Train a sweep as a few stacks: tell which jobs are the same run, what became of each, and sum it up for the user."""

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import pandas as pd
import torch

from bayes_pruning.config.errors import UserError, out_of_memory
from bayes_pruning.runs import layout
from bayes_pruning.runs.planning import members_that_fit, plan
from bayes_pruning.runs.progress import Display, minutes
from bayes_pruning.runs.train import Clock, Job, Outcome, Status, outcome_in_folder, refused, skipped, train_stack

log = logging.getLogger(__name__)
TrainStacks = Callable[[Sequence[list[Job]], Display, Clock], dict[Path, Outcome]]  # the outcomes by folder


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """Return one job a run: unpruned runs, for instance, do not depend on the sparsity that a grid gives them."""
    return list({job.folder: job for job in reversed(jobs)}.values())[::-1]


def train_or_fail(stack: list[Job], display: Display, clock: Clock) -> list[Outcome]:
    """Train a stack unless the clock allows no epoch any more; a UserError fails all its runs with its sentence."""
    if not clock.allows_epoch():
        reason = "max_minutes was reached before it could go on"
        return [Outcome("stopped", job.folder, reason) for job in stack]
    try:
        return train_as_fits(stack, display, clock)
    except UserError as error:
        return [refused(job, error) for job in stack]


def one_after_the_other(stacks: Sequence[list[Job]], display: Display, clock: Clock) -> dict[Path, Outcome]:
    """Train stacks in this process while the clock allows it; return the outcomes by folder.

    What a stack fails by, a defect too, fails its own runs, and the others are trained.
    """
    outcomes: dict[Path, Outcome] = {}
    for number, stack in enumerate(stacks, 1):
        display.title = f"stack {number}/{len(stacks)}"
        try:
            ended = train_or_fail(stack, display, clock)
        except Exception as error:
            log.exception("A stack of %d runs failed.", len(stack))
            ended = [outcome_in_folder(job.folder, f"{type(error).__name__}: {error}") for job in stack]
        outcomes |= {outcome.folder: outcome for outcome in ended}
    return outcomes


def run_sweep(
    jobs: Sequence[Job], max_members: int | None, train_stacks: TrainStacks, workers: int = 1, on_cores: bool = False
) -> dict[Path, Outcome]:
    """Train every run among `jobs` that is not finished; return what became of each, by folder.

    Args:
        jobs: at least one; settings that concern the whole sweep (device, progress, max_minutes) are the first job's.
        max_members: how many runs share a stack; None chooses by the memory at hand.
        train_stacks: trains the planned stacks: in this process, in workers beside it, on a cluster.
        workers: how many stacks train at a time.
        on_cores: whether each worker is a core of this machine: they share its memory, and members of one seed are
            faster in a stack of their own.
    """
    todo = distinct(jobs)
    outcomes = {job.folder: skipped(job.folder) for job in todo if layout.is_finished(job.folder)}
    clock = Clock(jobs[0].values["max_minutes"])

    def most_members(job: Job) -> int:
        return max_members or members_that_fit(job, sharing=workers if on_cores else 1)

    stacks = plan(todo, most_members, workers, prefer_one_seed=on_cores)
    done = sum(layout.epochs_done(job.folder) for stack in stacks for job in stack)
    total, busy = sum(job.run.epochs for stack in stacks for job in stack), min(workers, len(stacks))
    finished = f", {len(outcomes)} finished already" if outcomes else ""
    by = f" by {busy} workers" if busy > 1 else ""
    with closing(Display(jobs[0].values["progress"], total, done, busy)) as display:
        display.say(f"{len(todo)} runs{finished}; {sum(map(len, stacks))} to train in {len(stacks)} stacks{by}")
        return outcomes | train_stacks(stacks, display, clock)


def train_as_fits(stack: list[Job], display: Display, clock: Clock) -> list[Outcome]:
    """Train a stack; if it does not fit into memory after all, train its halves one after the other."""
    try:
        return train_stack(stack, display, clock)
    except (MemoryError, RuntimeError) as error:
        if len(stack) == 1 or not out_of_memory(error):
            raise
    half = len(stack) // 2
    display.say(f"{len(stack)} members do not fit into memory: going on with {half} and {len(stack) - half}")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return [*train_as_fits(stack[:half], display, clock), *train_as_fits(stack[half:], display, clock)]


def summary(jobs: Sequence[Job], outcomes: dict[Path, Outcome], seconds: float) -> str:
    """Return a table of what the sweep's runs ended with, and how many are in which state.

    A row has the means over seeds of the last epoch: accuracy before pruning, accuracy after, and the zeros of that
    last network. Runs that differ in anything but their seed have rows of their own.
    """
    runs = distinct(jobs)
    rows = _settings(runs)
    settings = list(rows.columns)
    ended = [outcomes[job.folder] for job in runs]
    last_epochs = [outcome.metrics if outcome.status in ("finished", "skipped") else None for outcome in ended]
    for name, field in NUMBERS.items():
        rows[name] = [math.nan if row is None else getattr(row, field) for row in last_epochs]
    means = {name: (name, "mean") for name in NUMBERS}
    table = rows.groupby(settings, sort=False).agg(runs=("accuracy", "count"), **means)
    formats = dict.fromkeys(NUMBERS, "{:.4f}".format)
    lines = [table.reset_index().to_string(index=False, na_rep="-", formatters=formats, max_colwidth=None)]
    count = Counter(outcome.status for outcome in outcomes.values())
    states = [f"{count[state]} {state}" for state in get_args(Status) if count[state]]
    lines.append(f"{', '.join(states)}, {minutes(seconds)}")
    if count["stopped"]:
        reasons = sorted({outcome.reason for outcome in outcomes.values() if outcome.status == "stopped"})
        lines.append(f"{', '.join(reasons)}; the same command goes on from there.")
    return "\n".join(lines)


# Columns of the summary, and the fields of a run's last epoch that they average.
NUMBERS = {"accuracy": "test_accuracy", "pruned": "pruned_test_accuracy", "zeros": "sparsity"}


def _settings(jobs: Sequence[Job]) -> pd.DataFrame:
    """Return what tells the runs of `jobs` apart beside their seeds: what they are, then all fields that differ.

    A field of a file, as `pruner.selector`, is left out where the file's name says it all.
    """
    flat = pd.json_normalize([asdict(job.run) for job in jobs]).drop(columns="seed")
    flat = flat.map(lambda value: json.dumps(value).strip('"'))
    flat["sparsity"] = ["-" if job.run.unpruned else f"{job.run.sparsity:g}" for job in jobs]
    first = {"dataset.name": "dataset", "model.name": "model", "pruner.name": "pruner", "sparsity": "sparsity"}
    shown = []
    for name in flat.columns[flat.nunique() > 1].difference(list(first), sort=False):
        group = f"{name.partition('.')[0]}.name"
        named = group in flat and group != name and (flat.groupby(group)[name].nunique() == 1).all()
        shown += [] if named else [name]
    return flat[[*first, *shown]].rename(columns={**first, "protocol.name": "protocol"})
