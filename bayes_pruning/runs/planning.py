"""How a sweep is cut into stacks: which runs can share one, and which cut lets all workers end first."""

import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

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

    They have the same data, network, batches and learning rate, whatever else differs.
    """
    run = job.run
    same = [dict(run.dataset), dict(run.model), run.batch_size, run.learning_rate, run.epochs, run.precision]
    return json.dumps([*same, *(job.values.get(name) for name in SHARED)], sort_keys=True)


@dataclass(frozen=True)
class _Group:
    """Jobs that can share a stack, sorted by seed: the epochs each has done, and what a stack may hold and costs."""

    jobs: list[Job]
    done: int
    most: int
    epoch: float  # the price of a member's epoch

    def stacks(self, size: int, at_seeds: bool, mixed: float) -> Iterator["_Stack"]:
        """The group in parts of at most `size`, as even as can be; each of one seed if asked."""
        seeds = sorted({job.run.seed for job in self.jobs})
        for part in [[job for job in self.jobs if job.run.seed == seed] for seed in seeds] if at_seeds else [self.jobs]:
            count = -(-len(part) // min(size, self.most))
            ends = [len(part) * number // count for number in range(count + 1)]
            for start, end in pairwise(ends):
                worth = (end - start) * (1 + mixed * (part[start].run.seed != part[end - 1].run.seed)) + A_STACK_ITSELF
                cost = self.epoch * (part[start].run.epochs - self.done) * worth
                yield _Stack(part[start:end], self.done, cost)


@dataclass(frozen=True)
class _Stack:
    jobs: list[Job]
    done: int
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
    unfinished: dict[tuple[str, int], list[Job]] = {}
    for job in jobs:
        if not layout.is_finished(job.folder):
            unfinished.setdefault((stack_key(job), layout.epochs_done(job.folder)), []).append(job)
    kinds = {kind: found[0] for (kind, _), found in unfinished.items()}
    most = {kind: most_members(job) for kind, job in kinds.items()}
    epochs = {kind: price(job) if len(kinds) > 1 and workers > 1 else 1.0 for kind, job in kinds.items()}
    groups = [
        _Group(sorted(found, key=lambda job: job.run.seed), done, most[kind], epochs[kind])
        for (kind, done), found in unfinished.items()
    ]
    largest = max((len(group.jobs) for group in groups), default=0)
    mixed = SEVERAL_SEEDS if prefer_one_seed else 0.0
    best: list[_Stack] = []
    for size in sorted({-(-largest // count) for count in range(1, largest + 1)}, reverse=True):
        for at_seeds in (False, True) if prefer_one_seed else (False,):
            cut = [stack for group in groups for stack in group.stacks(size, at_seeds, mixed)]
            cut.sort(key=lambda stack: (-stack.done, -stack.cost))
            if not best or _last_end(cut, workers) < 0.999 * _last_end(best, workers):
                best = cut
    return [stack.jobs for stack in best]


def _last_end(stacks: Sequence[_Stack], workers: int) -> float:
    """When the last of `workers` ends, if each takes the next stack as it becomes free."""
    ends = [0.0] * workers
    for stack in stacks:
        heapq.heapreplace(ends, ends[0] + stack.cost)
    return max(ends)


def price(job: Job) -> float:
    """What an epoch of a run like `job` costs beside others: operations of its training images' forward pass."""
    data = datasets.load(job.run.dataset, job.values["data_root"], device.pick(job.values["device"]))
    network = networks.build(job.run.model, data.shape, datasets.CLASSES, seed=0)
    return float(len(data.train) * max(1, capacity.footprint(network, data.shape).operations))


def members_that_fit(job: Job, sharing: int = 1) -> int:
    """Members for a stack of runs like `job`, from the memory at hand, which `sharing` workers share."""
    torch_device = device.pick(job.values["device"])
    prepare(job, torch_device)
    shape = datasets.load(job.run.dataset, job.values["data_root"], torch_device).shape
    network = networks.build(job.run.model, shape, datasets.CLASSES, seed=0)
    share = capacity.free_memory(torch_device) // sharing
    return capacity.most_members(capacity.footprint(network, shape), job.run.batch_size, torch_device, share)
