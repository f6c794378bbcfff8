"""Log posterior and Bayes factor of section 1.1 of the paper, in nats and in log space from end to end.

    log p(w | D) = log p(D | w) + log p(w) + const
    log BF       = log posterior (pruned) - log posterior (unpruned)

Over 60,000 images these are tens of thousands of nats, so nothing here is ever exponentiated; sums are in float64.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from bayes_pruning.config.schema import Prior


def log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Categorical log-likelihood, summed over the examples, for each member.

    Args:
        logits: float [members, examples, classes].
        labels: int64 [examples].

    Returns:
        float64 [members], in nats.
    """
    log_probabilities = torch.log_softmax(logits.double(), dim=-1)
    index = labels.view(1, -1, 1).expand(len(logits), -1, 1)
    return log_probabilities.gather(2, index).squeeze(2).sum(dim=1)


def log_prior(weights: Iterable[Tensor], prior: Prior) -> Tensor:
    """log N(w; mean, std^2), summed over all entries of one member's `weights`: a float64 scalar, in nats."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for weight in weights:
        total = total + (weight.double() - prior.mean).square_().sum().cpu()
        count += weight.numel()
    return total / (-2 * prior.std**2) - _normaliser(prior, count)


def log_priors(weights: Sequence[Tensor], priors: Sequence[Prior]) -> Tensor:
    """`log_prior` of each member, under its own prior: float64 [members], in nats.

    On a CPU one after the other: a sum over all of them would be split between threads by its size, and a member's bits
    depend on its company.

    Args:
        weights: float32, each [members, *shape].
        priors: one a member.
    """
    if weights[0].device.type != "cpu":
        return log_priors_at_once(weights, priors)
    return torch.stack([log_prior([weight[i] for weight in weights], prior) for i, prior in enumerate(priors)])


def log_priors_at_once(weights: Sequence[Tensor], priors: Sequence[Prior]) -> Tensor:
    """`log_priors` without waiting for the device once a member and layer."""
    means = torch.tensor([prior.mean for prior in priors], dtype=torch.float64, device=weights[0].device)
    squares = torch.zeros_like(means)
    for weight in weights:
        squares += (weight.flatten(1).double() - means.unsqueeze(1)).square_().sum(1)
    count = sum(weight[0].numel() for weight in weights)
    variances, normalisers = (
        torch.tensor(list(values), dtype=torch.float64)
        for values in ((p.std**2 for p in priors), (_normaliser(p, count) for p in priors))
    )
    return squares.cpu() / (-2 * variances) - normalisers


def _normaliser(prior: Prior, count: int) -> float:
    return count * (math.log(prior.std) + 0.5 * math.log(2 * math.pi))


def scaled(term: float, scale: str, count: int) -> float:
    """A summed log term under the protocol's scale: "sum" as it is, "mean" divided by its `count` of terms."""
    return term / count if scale == "mean" and count else term
