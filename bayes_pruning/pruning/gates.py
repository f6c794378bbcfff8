"""When a network is pruned: a gate decides once an epoch (line 4 of Algorithms 2 and 3 of the paper).

A gate declares whether it reads a Bayes factor, and its own estimate of it if that is not the paper's ratio of
posteriors. It is a function of its input alone. To add your own, write it, declare it and name it in a file of
conf/pruner. Nothing here imports torch before it is needed, because the identity of a run reads the declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayes_pruning.config.errors import ConfigError, UserError
from bayes_pruning.config.registry import GATES, Declared
from bayes_pruning.config.validation import Count, CountOrNull, Whole

if TYPE_CHECKING:
    from torch import Tensor

    from bayes_pruning.config.schema import Prior
    from bayes_pruning.pruning.network import Network


@dataclass(frozen=True)
class GateInput:
    """What a gate sees: one run at the end of one epoch.

    `log_bayes_factor` is, in nats, that of the epoch before under `decision: previous` (None before the first epoch:
    there is none yet) and that of this epoch's candidate under `decision: candidate`. None for a gate that declares to
    read none.
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


Gate = Callable[..., bool]  # (seen, **gate_options)
Estimate = Callable[..., float]  # (candidate, **gate_options) -> log Bayes factor in nats


def gate(
    reads_bayes_factor: bool = True, estimate: Estimate | None = None, of_a_reading: bool = False
) -> Callable[[Gate], Gate]:
    """Declare a gate.

    Args:
        reads_bayes_factor: whether it reads `log_bayes_factor`. If not, none is computed for it, and beta and the ratio
            are no part of the run.
        estimate: its own estimate of the log Bayes factor, in nats, which takes the gate's options too; None for the
            paper's ratio of posteriors.
        of_a_reading: whether the runs of a gate that reads none belong to one reading of the paper all the same.
    """
    if callable(reads_bayes_factor):
        raise UserError("@gate takes parentheses, as in @gate() or @gate(reads_bayes_factor=False).")
    return lambda function: GATES.register(function, Declared(reads_bayes_factor, estimate, of_a_reading))


@gate(reads_bayes_factor=False)
def never(seen: GateInput) -> bool:
    """Never prune: the unpruned baseline (schema.UNPRUNED_GATE)."""
    return False


@gate(reads_bayes_factor=False)
def always(seen: GateInput) -> bool:
    """Prune after every epoch, as the classic twin of a Bayes method does."""
    return True


@gate()
def bayes_factor(seen: GateInput) -> bool:
    """Prune if the Bayes factor exceeds beta (Algorithms 2 and 3, line 4); as `first_gate` says while there is none."""
    if seen.log_bayes_factor is None:
        return seen.opens_first
    return seen.log_bayes_factor > seen.log_beta


def _laplace(candidate: Candidate, examples: int | None = None, draws: int | None = None) -> float:
    """Return equation 4 of docs/laplace_evidence.md. The options are those of laplace.fisher_diagonal."""
    from bayes_pruning.pruning import laplace

    network, keep = candidate.network, candidate.keep
    likelihoods = candidate.log_likelihood_before, candidate.log_likelihood_after
    weights = {name: network.parameters[name] for name in keep}
    return laplace.log_evidence_ratio(*likelihoods, weights, keep, network.fisher(examples, draws), candidate.prior)


@gate(estimate=_laplace)
def laplace_evidence(seen: GateInput, examples: CountOrNull = None, draws: CountOrNull = None) -> bool:
    """Decide as `bayes_factor` does, by the ratio of the two models' evidence after Laplace (laplace.py)."""
    return bayes_factor(seen)


@gate(reads_bayes_factor=False)
def alternate(seen: GateInput, every: Count = 2) -> bool:
    """Prune in the first epoch and in each `every`-th after it: a control without a Bayes factor."""
    return (seen.epoch - 1) % every == 0


@gate(reads_bayes_factor=False, of_a_reading=True)
def matched_rate(seen: GateInput, openings: Whole) -> bool:
    """Prune in `openings` epochs, as many as a Bayes run's gate did, drawn from the seed: a control without one."""
    import torch

    from bayes_pruning.config.random_streams import generator

    if not 0 <= openings <= seen.epochs:
        accepted = f"a whole number from 0 to epochs={seen.epochs}"
        raise ConfigError("pruner.gate_options.openings", openings, accepted)
    drawn = torch.randperm(seen.epochs, generator=generator(seen.seed, "matched rate"))[:openings]
    return seen.epoch - 1 in drawn.tolist()
