"""Exact counts and equation 1 of the paper: which weights of a network stay, and the network without the others."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.registry import SELECTORS
from bayes_pruning.config.schema import PruningConfig
from bayes_pruning.pruning.network import Network
from bayes_pruning.pruning.selectors import Layer


def pruned_count(size: int, sparsity: float) -> int:
    """Return how many zeros a layer of `size` weights has once pruned: n * r of Algorithms 2 and 3, half to even."""
    return round(size * sparsity)


def keep_mask(score: Tensor, count: int) -> Tensor:
    """Return the mask of weights that stay: all but the `count` lowest scores. Of equal scores the first go first.

    Args:
        score: any shape and real type, no NaN.
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


def masks(run: PruningConfig, network: Network, sparsity: float) -> dict[str, Tensor]:
    """Return the masks of a network that is pruned to `sparsity` now (lines 5 to 13 of Algorithm 2, 5 to 10 of 3).

    In scope "layer" exactly `pruned_count` of each layer's weights go, in scope "global" of all of them together. What
    is zero goes first, whatever the selector says: else a weight without influence could take its place, and one whose
    mask is kept would be free to grow back.

    Returns:
        By prunable parameter, bool, shaped as it: True where a weight stays.

    Raise UserError for scores that are NaN, or not shaped as the layer's weights.
    """
    weights = {name: network.parameters[name] for name in network.prunable}
    scores = {}
    for name, weight in weights.items():
        layer = Layer(name, weight.clone(), run.seed, network.epoch, network)
        scores[name] = _score(run, layer, network).where(weight != 0, -math.inf)
    if run.pruner.scope == "layer":
        return {name: keep_mask(score, pruned_count(score.numel(), sparsity)) for name, score in scores.items()}
    together = torch.cat([score.flatten() for score in scores.values()])
    keep = keep_mask(together, pruned_count(len(together), sparsity))
    parts = keep.split([score.numel() for score in scores.values()])
    return {name: part.view(weights[name].shape) for name, part in zip(scores, parts, strict=True)}


def _score(run: PruningConfig, layer: Layer, network: Network) -> Tensor:
    """Return a layer's scores, checked. Those of a network that has diverged may be NaN: its losses end its run."""
    score: Tensor = SELECTORS.call(run.pruner.selector, layer, run.pruner.selector_options)
    wanted = layer.weight.shape
    if not isinstance(score, Tensor):
        wrong = f"a {type(score).__name__}"
    elif score.shape != wanted:
        wrong = f"scores of shape {tuple(score.shape)}"
    elif score.isnan().any() and not diverged(network):
        wrong = f"{int(score.isnan().sum())} scores that are NaN"
    else:
        return score.nan_to_num(math.nan, math.inf)  # -inf, as of a logarithm, is the lowest number: zeros go before it
    where = f"for {layer.name} in epoch {layer.epoch}: a selector gives a tensor of a number a weight, in their shape"
    raise UserError(f"pruner.selector={run.pruner.selector} gave {wrong} {where} {tuple(wanted)}.")


def diverged(network: Network) -> list[str]:
    """Return the names of the parameters that hold an infinity or NaN."""
    names = (name for name, _ in network.model.named_parameters())
    return [name for name in names if not network.parameters[name].isfinite().all()]


def pruned(parameters: Mapping[str, Tensor], keep: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters of the pruned network: equation 1, w <- w * m, where there is a mask, else as they are."""
    return {name: weight * keep[name] if name in keep else weight for name, weight in parameters.items()}
