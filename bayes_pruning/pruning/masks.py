"""Which weights are pruned, and when: selectors, gates and exact masks (Algorithms 1 to 3 of the paper).

A selector scores the weights of one layer; the lowest scores are pruned. A gate decides, once an epoch, whether to
prune at all. A pruner is one of each. To add your own, write the function and name it in a file of conf/pruner.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bayes_pruning.config import random_streams
from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.random_streams import generator
from bayes_pruning.config.registry import Registry
from bayes_pruning.config.schema import Prior, RunConfig
from bayes_pruning.pruning import laplace
from bayes_pruning.pruning.network import Network
from bayes_pruning.pruning.schedules import SCHEDULES, Plan

SELECTORS = Registry("pruner.selector")
GATES = Registry("pruner.gate")


@dataclass(frozen=True)
class Layer:
    """What a selector sees: one layer of one run, after an epoch."""

    name: str
    weight: Tensor  # any shape
    seed: int
    epoch: int  # from 1
    network: Network | None = None  # that the layer is of, for what depends on the training images

    def uniform(self, purpose: str) -> Tensor:
        """Numbers uniform on [0, 1), float64, shaped as the weight, from the run's stream `purpose`.

        The same for every run with this seed, whatever its sparsity, on every device.
        """
        name = (self.seed, purpose, self.name, self.epoch)
        return random_streams.uniform(name, self.weight.shape, self.weight.device).clone()

    def gradient(self, examples: int | None = None) -> Tensor:
        """Gradient of the mean training loss in nats, shaped as the weight (network.Network.gradient)."""
        assert self.network is not None
        return self.network.gradient(examples)[self.name]

    def fisher(self, examples: int | None = None, draws: int | None = None) -> Tensor:
        """Diagonal of the Fisher information, float64, shaped as the weight (network.Network.fisher)."""
        assert self.network is not None
        return self.network.fisher(examples, draws)[self.name]


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
    opens_first: bool = True  # protocol.first_gate: whether to prune while there is no Bayes factor


@dataclass(frozen=True)
class Candidate:
    """What an estimate of the Bayes factor sees: a network, and what is to be pruned from it."""

    network: Network  # before pruning
    keep: Mapping[str, Tensor]  # bool, False where a weight goes, by the name of the prunable parameter
    log_likelihood_before: float  # summed over the training images, in nats
    log_likelihood_after: float
    prior: Prior


Selector = Callable[[Layer], Tensor]
Gate = Callable[[Evidence], bool]
Estimate = Callable[..., float]  # (candidate, **gate_options) -> log Bayes factor in nats
ESTIMATES: dict[str, Estimate] = {}  # by gate; a gate without one here gets the paper's ratio of posteriors


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


@SELECTORS.register
def snip(layer: Layer, examples: int | None = None) -> Tensor:
    """First-order saliency |w dL/dw| (SNIP; Lee, Ajanthan and Torr, 2019, equation 6, here of the trained network)."""
    return (layer.weight * layer.gradient(examples)).abs()


@SELECTORS.register
def evidence(layer: Layer, examples: int | None = None, draws: int | None = None, reliability: float = 1.0) -> Tensor:
    """Log-likelihood that a weight's removal costs to second order: docs/bayesian_schedule.md, equations 2 and 3.

    Args:
        layer: with its network.
        examples: for the Fisher information, as laplace.fisher_diagonal takes it; so are the draws.
        draws: random signs an image.
        reliability: of its logarithm. 1: w^2 F / 2, in nats; between 0 and 1: w^2 F^reliability / 2, in nats but for
            a factor that all weights share; 0: as `magnitude`.
    """
    return layer.weight.double().square() * layer.fisher(examples, draws) ** reliability / 2


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
    """Algorithms 2 and 3, line 4: prune if the Bayes factor exceeds beta; as `first_gate` says while there is none."""
    if evidence.log_bayes_factor is None:
        return evidence.opens_first
    return evidence.log_bayes_factor > evidence.log_beta


@GATES.register
def laplace_evidence(evidence: Evidence, examples: int | None = None, draws: int | None = None) -> bool:
    """As `bayes_factor`, for the ratio of the two models' evidence by Laplace's approximation (laplace.py)."""
    return bayes_factor(evidence)


def _laplace_estimate(candidate: Candidate, examples: int | None = None, draws: int | None = None) -> float:
    """Equation 4 of docs/laplace_evidence.md. Arguments as laplace.fisher_diagonal takes them."""
    network, keep = candidate.network, candidate.keep
    likelihoods = candidate.log_likelihood_before, candidate.log_likelihood_after
    weights = {name: network.parameters[name] for name in keep}
    return laplace.log_evidence_ratio(*likelihoods, weights, keep, network.fisher(examples, draws), candidate.prior)


ESTIMATES["laplace_evidence"] = _laplace_estimate


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
    if isinstance(openings, bool) or not isinstance(openings, int) or not 0 <= openings <= evidence.epochs:
        accepted = f"a whole number from 0 to epochs={evidence.epochs}"
        raise ConfigError("pruner.gate_options.openings", openings, accepted)
    drawn = torch.randperm(evidence.epochs, generator=generator(evidence.seed, "matched rate"))[:openings]
    return evidence.epoch - 1 in drawn.tolist()


def check(run: RunConfig) -> None:
    """Raise ConfigError, before anything is trained, if a function of the run's pruner does not take its options."""
    pruner = run.pruner
    SELECTORS.check(pruner.selector, pruner.selector_options)
    GATES.check(pruner.gate, pruner.gate_options)
    SCHEDULES.check(pruner.schedule, pruner.schedule_options)
    _check_numbers("pruner.selector_options", pruner.selector_options)
    _check_numbers("pruner.gate_options", pruner.gate_options)
    GATES.find(pruner.gate)(Evidence(1, run.epochs, None, run.log_beta, run.seed), **pruner.gate_options)
    plan = Plan(1, run.epochs, run.sparsity, 0.0, run.log_beta, lambda _: 0.0)
    SCHEDULES.find(pruner.schedule)(plan, **pruner.schedule_options)


def _check_numbers(field: str, options: Mapping[str, Any]) -> None:
    """Of the options that several functions here take by the same names."""
    for name in ("examples", "draws"):
        value = options.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigError(f"{field}.{name}", value, "a whole number of at least 1, or null")
    value = options.get("reliability", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"{field}.reliability", value, "a number from 0 to 1")


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
    # torch's kthvalue lets a single one of a GPU's multiprocessors do all the work
    threshold = flat.sort().values[count - 1] if flat.is_cuda else flat.kthvalue(count).values
    lower, tied = flat < threshold, flat == threshold
    needed = count - lower.sum()
    return ~(lower | tied & (tied.cumsum(0) <= needed)).view(score.shape)


def masks(run: RunConfig, network: Network, sparsity: float) -> dict[str, Tensor]:
    """What stays if a network is pruned to `sparsity` now: bool, True where a weight stays, by prunable parameter.

    In scope "layer" exactly `pruned_count` of each layer's weights go, in scope "global" of all of them together. What
    is zero goes first, whatever the selector says: else a weight without influence could take its place, and one whose
    mask is kept would be free to grow back.
    """
    selector, options = SELECTORS.find(run.pruner.selector), run.pruner.selector_options
    weights = {name: network.parameters[name] for name in network.prunable}
    scores = {
        name: selector(Layer(name, weight, run.seed, network.epoch, network), **options).where(weight != 0, -math.inf)
        for name, weight in weights.items()
    }
    if run.pruner.scope == "layer":
        return {name: keep_mask(score, pruned_count(score.numel(), sparsity)) for name, score in scores.items()}
    together = torch.cat([score.flatten() for score in scores.values()])
    keep = keep_mask(together, pruned_count(len(together), sparsity))
    parts = keep.split([score.numel() for score in scores.values()])
    return {name: part.view(weights[name].shape) for name, part in zip(scores, parts, strict=True)}
