"""Log posterior and Bayes factor of section 1.1 of the paper, in nats and in log space from end to end.

    log p(w | D) = log p(D | w) + log p(w) + const
    log BF       = log posterior (pruned) - log posterior (unpruned)

Over 60,000 images these are tens of thousands of nats, so nothing here is ever exponentiated; sums are in float64.
torch is imported only where tensors are made, so that results can take ratios without waiting for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bayes_pruning.config.schema import PRINTED, Prior, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Terms(NamedTuple):
    """The two terms of one network's log posterior, in nats, scaled as the protocol says."""

    log_likelihood: float | None  # over the training images; None if nothing asked for it
    log_prior: float  # over the prunable weights


def terms(protocol: Protocol, log_likelihood: float | None, log_prior: float, images: int, weights: int) -> Terms:
    """Return the terms of a log posterior under `protocol`.

    Args:
        protocol: says of each term whether the sum counts or the mean.
        log_likelihood: summed over the training images, in nats; None if it was not computed.
        log_prior: summed over the prunable weights, in nats.
        images: in the training set.
        weights: prunable ones.
    """
    likelihood = None if log_likelihood is None else scaled(log_likelihood, protocol.log_likelihood, images)
    return Terms(likelihood, scaled(log_prior, protocol.log_prior, weights))


def scaled(term: float, scale: str, count: int) -> float:
    """Return a summed log term under its scale: "sum" as it is, "mean" divided by its `count` of terms."""
    return term / count if scale == "mean" and count else term


def log_posterior(network: Terms) -> float:
    """Return log p(w | D) in nats, up to the constant that both networks share."""
    assert network.log_likelihood is not None
    return network.log_likelihood + network.log_prior


def log_bayes_factor(after: Terms, before: Terms) -> float | None:
    """Return the log Bayes factor of the pruned network over the unpruned one; None if a likelihood is missing."""
    return None if None in (after[0], before[0]) else log_posterior(after) - log_posterior(before)


def log_ratio(after: float, before: float, ratio: str = PRINTED) -> float:
    """Return the logarithm, in nats, of what a gate holds against beta.

    Args:
        after: log posterior of the pruned network, up to the constant that both share.
        before: the same of the unpruned one.
        ratio: "pruned_over_unpruned" is section 1.1 of the paper; "unpruned_over_pruned" is what the subscript of
            BF_01 in its algorithms says, hypothesis 0 being the unpruned network; "of_logs" divides the log posteriors
            themselves, as code may that can not exponentiate them: -inf where they are of opposite signs.
    """
    if ratio == "unpruned_over_pruned":
        return before - after
    if ratio == "of_logs":
        quotient = after / before if before else 0.0
        return math.log(quotient) if quotient > 0 else -math.inf
    return after - before


def log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the categorical log-likelihood, summed over the examples, for each member.

    Args:
        logits: float [members, examples, classes].
        labels: int64 [examples].

    Returns:
        float64 [members], in nats.
    """
    log_probabilities = logits.double().log_softmax(dim=-1)
    index = labels.view(1, -1, 1).expand(len(logits), -1, 1)
    return log_probabilities.gather(2, index).squeeze(2).sum(dim=1)


def log_prior(weights: Iterable[Tensor], prior: Prior) -> Tensor:
    """Return log N(w; mean, std^2), summed over all entries of one member's `weights`: a float64 scalar, in nats."""
    import torch

    total, count = torch.zeros((), dtype=torch.float64), 0
    for weight in weights:
        total = total + (weight.double() - prior.mean).square_().sum().cpu()
        count += weight.numel()
    return total / (-2 * prior.std**2) - _normaliser(prior, count)


def log_priors(weights: Sequence[Tensor], priors: Sequence[Prior]) -> Tensor:
    """Return `log_prior` of each member, under its own prior: float64 [members], in nats.

    On a CPU they are computed one after the other: a sum over all of them would be split between threads by its size,
    and a member's bits would depend on its company.

    Args:
        weights: float32, each [members, *shape].
        priors: one a member.
    """
    import torch

    if weights[0].device.type != "cpu":
        return log_priors_at_once(weights, priors)
    return torch.stack([log_prior([weight[i] for weight in weights], prior) for i, prior in enumerate(priors)])


def log_priors_at_once(weights: Sequence[Tensor], priors: Sequence[Prior]) -> Tensor:
    """Return `log_priors`, with one wait for the device in place of one a member and layer."""
    import torch

    means = torch.tensor([prior.mean for prior in priors], dtype=torch.float64, device=weights[0].device)
    squares = torch.zeros_like(means)
    for weight in weights:
        squares += (weight.flatten(1).double() - means.unsqueeze(1)).square_().sum(1)
    count = sum(weight[0].numel() for weight in weights)
    variances = torch.tensor([prior.std**2 for prior in priors], dtype=torch.float64)
    normalisers = torch.tensor([_normaliser(prior, count) for prior in priors], dtype=torch.float64)
    return squares.cpu() / (-2 * variances) - normalisers


def _normaliser(prior: Prior, count: int) -> float:
    return count * (math.log(prior.std) + 0.5 * math.log(2 * math.pi))
