"""Which weights are pruned, and when: selectors, gates and exact masks (Algorithms 1 to 3 of the paper).

A selector scores the weights of one layer; the lowest scores are pruned. A gate decides, once an epoch, whether to
prune at all. A pruner is one of each. To add your own, write the function and name it in a file of conf/pruner.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bayes_pruning.registry import Registry
from bayes_pruning.streams import generator

SELECTORS = Registry("pruner.selector")
GATES = Registry("pruner.gate")


@dataclass(frozen=True)
class Layer:
    """What a selector sees: one layer of one run, after an epoch."""

    name: str
    weight: Tensor  # any shape
    seed: int
    epoch: int  # from 1

    def uniform(self, purpose: str) -> Tensor:
        """Numbers uniform on [0, 1), float64, shaped as the weight, from the run's stream `purpose`.

        The same for every run with this seed, whatever its sparsity, on every device.
        """
        stream = generator(self.seed, purpose, self.name, self.epoch)
        return torch.rand(self.weight.shape, dtype=torch.float64, generator=stream).to(self.weight.device)


@dataclass(frozen=True)
class Evidence:
    """What a gate sees: one run at the end of one epoch.

    `log_bayes_factor` is, in nats, that of the epoch before under `decision: previous` (None before the first epoch:
    there is none yet) and that of this epoch's candidate under `decision: candidate`.
    """

    epoch: int  # from 1
    epochs: int  # that the run has in all
    log_bayes_factor: float | None
    log_beta: float
    seed: int


Selector = Callable[[Layer], Tensor]
Gate = Callable[[Evidence], bool]


@SELECTORS.register
def none(layer: Layer) -> Tensor:
    """No preference; for the unpruned baseline, whose gate never opens."""
    return torch.zeros_like(layer.weight)


@SELECTORS.register
def magnitude(layer: Layer) -> Tensor:
    """Absolute value: the smallest weights go first (Algorithm 3, lines 8 and 9)."""
    return layer.weight.abs()


@SELECTORS.register
def random(layer: Layer) -> Tensor:
    """A uniform draw for every weight that is not zero yet; zeros count first (Algorithm 2, lines 8 to 12)."""
    return torch.where(layer.weight != 0, layer.uniform("random pruning"), -1.0)


@GATES.register
def never(evidence: Evidence) -> bool:
    """The unpruned baseline."""
    return False


@GATES.register
def always(evidence: Evidence) -> bool:
    """Prune after every epoch: the classic twin of a Bayes method."""
    return True


@GATES.register
def bayes_factor(evidence: Evidence) -> bool:
    """Algorithms 2 and 3, line 4: prune if the Bayes factor exceeds beta. Open while there is none."""
    return evidence.log_bayes_factor is None or evidence.log_bayes_factor > evidence.log_beta


@GATES.register
def alternate(evidence: Evidence, every: int = 2) -> bool:
    """A control without evidence: open in the first epoch and in each `every`-th after it."""
    return (evidence.epoch - 1) % every == 0


@GATES.register
def never_after(evidence: Evidence, epoch: int) -> bool:
    """A control without evidence: open up to and including `epoch`, then closed for good."""
    return evidence.epoch <= epoch


@GATES.register
def matched_rate(evidence: Evidence, openings: int) -> bool:
    """A control without evidence: open in `openings` epochs, as many as a Bayes run's gate, drawn from the seed."""
    drawn = torch.randperm(evidence.epochs, generator=generator(evidence.seed, "matched rate"))[:openings]
    return evidence.epoch - 1 in drawn.tolist()


def pruned_count(size: int, sparsity: float) -> int:
    """Zeros that a layer of `size` weights has once pruned: n * r of Algorithms 2 and 3, rounded (half to even)."""
    return round(size * sparsity)


def keep_mask(score: Tensor, count: int) -> Tensor:
    """True where a weight stays: all but the `count` lowest scores, ties going by index (the first go first).

    Args:
        score: any shape and real type.
        count: 0 to score.numel().

    Returns:
        bool, shaped as `score`, with exactly `count` False.
    """
    if count == 0:
        return torch.ones_like(score, dtype=torch.bool)
    flat = score.flatten()
    threshold = flat.kthvalue(count).values
    lower, tied = flat < threshold, flat == threshold
    needed = count - lower.sum()
    return ~(lower | tied & (tied.cumsum(0) <= needed)).view(score.shape)
