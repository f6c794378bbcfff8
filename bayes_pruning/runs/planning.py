"""Cut a sweep into stacks: find which runs can share one, and which cut lets all workers end first."""

import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from bayes_pruning.data import datasets
from bayes_pruning.engine import capacity, device
from bayes_pruning.models import networks
from bayes_pruning.runs import layout
from bayes_pruning.runs.train import Job, prepare

SHARED = ("output_dir", "data_root", "device", "deterministic", "compile", "checkpoint_seconds", "log_evidence")
# In the time that a member takes. Members take turns, so a stack gains only by what they share: the batches, which are
# gathered once for all members of a seed. An epoch's took 0.2 s beside 1.4 s of steps (FCN on MNIST, EPYC, one thread).
A_STACK_ITSELF = 0.15
SEVERAL_SEEDS = 0.05  # more for each member, if the members of a stack do not all see the same batches


def stack_key(job: Job) -> str:
    """Return a text that is the same for jobs that can share a stack.

    They have the same data, network, batches and optimiser, and prune the same parameters, whatever else differs.
    """
    run = job.run
    same = [dict(run.dataset), dict(run.model), run.batch_size, run.learning_rate, run.epochs, run.precision]
    same += [run.optimizer, run.momentum]
    return json.dumps([*same, run.protocol.prunes, *(job.values.get(name) for name in SHARED)], sort_keys=True)


class _Stack(NamedTuple):
    jobs: list[Job]
    done: int  # epochs that each of its runs has done
    cost: float


def plan(
    jobs: Sequence[Job], most_members: Callable[[Job], int], workers: int = 1, prefer_one_seed: bool = False
) -> list[list[Job]]:
    """Cut the unfinished of distinct `jobs` into stacks of at most `most_members`, for `workers` at a time.

    Runs cut short come with those cut short at the same epoch, the furthest first; after that the longest stacks come
    first. All cuts into stacks of about one size are compared by when the last worker would end: stacks should be
    large, but leave no worker alone at the end. `prefer_one_seed` compares cuts at the seeds too: on a CPU the batches
    are gathered once for all members that see them.
    """
    groups: dict[tuple[str, int], list[Job]] = {}
    for job in jobs:
        if not layout.is_finished(job.folder):
            groups.setdefault((stack_key(job), layout.epochs_done(job.folder)), []).append(job)
    first_of = {key: group[0] for (key, _), group in groups.items()}
    most = {key: most_members(job) for key, job in first_of.items()}
    prices = {key: price(job) if len(first_of) > 1 and workers > 1 else 1.0 for key, job in first_of.items()}
    several_seeds = SEVERAL_SEEDS if prefer_one_seed else 0.0

    def cut(size: int, at_seeds: bool) -> list[_Stack]:
        stacks = []
        for (key, done), group in groups.items():
            for stack in _parts(group, min(size, most[key]), at_seeds):
                is_mixed = stack[0].run.seed != stack[-1].run.seed
                members = len(stack) * (1 + several_seeds * is_mixed) + A_STACK_ITSELF
                stacks.append(_Stack(stack, done, prices[key] * (stack[0].run.epochs - done) * members))
        return sorted(stacks, key=lambda stack: (-stack.done, -stack.cost))

    largest = max(map(len, groups.values()), default=0)
    best: list[_Stack] = []
    for size in sorted({-(-largest // count) for count in range(1, largest + 1)}, reverse=True):
        for at_seeds in (False, True) if prefer_one_seed else (False,):
            stacks = cut(size, at_seeds)
            if not best or _last_end(stacks, workers) < 0.999 * _last_end(best, workers):
                best = stacks
    return [stack.jobs for stack in best]


def _parts(jobs: Sequence[Job], size: int, at_seeds: bool) -> Iterator[list[Job]]:
    """Yield the jobs, sorted by seed, in parts of at most `size`, as even as can be; each of one seed if asked."""
    by_seed = sorted(jobs, key=lambda job: job.run.seed)
    for _, each in groupby(by_seed, key=lambda job: job.run.seed if at_seeds else 0):
        part = list(each)
        count = -(-len(part) // size)
        ends = [len(part) * number // count for number in range(count + 1)]
        for start, end in pairwise(ends):
            yield part[start:end]


def _last_end(stacks: Sequence[_Stack], workers: int) -> float:
    """Return when the last of `workers` ends, if each takes the next stack as it becomes free."""
    ends = [0.0] * workers
    for stack in stacks:
        heapq.heapreplace(ends, ends[0] + stack.cost)
    return max(ends)


def price(job: Job) -> float:
    """Return what an epoch of a run like `job` costs: the operations of its training images' forward pass."""
    data, footprint = _data_and_footprint(job)
    return float(len(data.train) * max(1, footprint.operations))


def members_that_fit(job: Job, sharing: int = 1) -> int:
    """Return how many runs like `job` fit in a stack, by the memory at hand, which `sharing` workers share."""
    torch_device = device.pick(job.values["device"])
    prepare(job, torch_device)
    _, footprint = _data_and_footprint(job)
    share = capacity.free_memory(torch_device) // sharing
    return capacity.most_members(footprint, job.run.batch_size, torch_device, share)


def _data_and_footprint(job: Job) -> tuple[datasets.Dataset, capacity.Footprint]:
    data = datasets.load(job.run.dataset, job.values["data_root"], device.pick(job.values["device"]))
    network = networks.build(job.run.model, data.shape, datasets.CLASSES, seed=0)
    return data, capacity.footprint(network, data.shape)
