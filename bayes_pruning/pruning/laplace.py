"""A Bayes factor proper: the evidence of the pruned model over that of the unpruned one, by Laplace's approximation.

The paper's ratio compares posterior densities at two points. Here the unpruned model has all weights free and the
pruned one has the removed weights fixed at zero; each model's evidence is its likelihood averaged over its prior.
docs/laplace_evidence.md derives the formula and says what it leaves out; nothing here is ever exponentiated.
"""

import math
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_pruning.config.schema import Prior
from bayes_pruning.config.validation import CountOrNull, checked
from bayes_pruning.engine import capacity, layers
from bayes_pruning.engine.device import LARGEST_REUSED_BLOCK
from bayes_pruning.models.networks import evaluating


def log_evidence_ratio(
    log_likelihood_before: float,
    log_likelihood_after: float,
    weights: Mapping[str, Tensor],
    keep: Mapping[str, Tensor],
    fisher: Mapping[str, Tensor],
    prior: Prior,
) -> float:
    """Return the log evidence of the pruned model minus that of the unpruned one (docs/laplace_evidence.md, eq. 4).

    A weight that is zero already is a parameter of neither model, so it counts as not removed.

    Args:
        log_likelihood_before: of the unpruned network, summed over the training images, in nats.
        log_likelihood_after: of the pruned one.
        weights: those of the unpruned network that may be pruned, any shapes.
        keep: bool, False where a weight is pruned, shaped as `weights`.
        fisher: `fisher_diagonal` at the unpruned network, shaped as `weights`.
        prior: N(mean, std^2) of every weight.

    Returns:
        Nats; 0 if nothing is removed and the likelihood is the same.
    """
    ratio = log_likelihood_after - log_likelihood_before
    for name, weight in weights.items():
        removed = ~keep[name] & (weight != 0)
        information = fisher[name][removed].double()
        distance = (weight[removed].double() - prior.mean).square() * information / (1 + prior.std**2 * information)
        ratio += (distance + torch.log1p(prior.std**2 * information)).sum().item() / 2
    return ratio


def fisher_diagonal(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    images: Tensor,
    names: Iterable[str],
    examples: int | None = None,
    draws: int | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Return the diagonal of the Fisher information of a softmax classifier, summed over the images.

    It is also that of the generalised Gauss-Newton matrix of the negative log-likelihood, the sum over the images of
    J' (diag p - p p') J, with J the derivative of an image's logits and p its class probabilities. No labels enter.

    Args:
        model: called in evaluation mode with `parameters`; its own are not used. Linear layers of a plain nn.Sequential
            are fast, and all other parameters take per-example gradients.
        parameters: all parameters and buffers of one network, by name, without member axis.
        images: [n, channels, height, width], all of them.
        names: the parameters whose diagonal is wanted.
        examples: use at most this many of the images, drawn without replacement, and scale up; None for all.
        draws: random signs an image, in place of the exact sum over the classes; None for the exact sum.
        generator: on the CPU; needed with `examples` or `draws`, which draw from it.

    Returns:
        By name, float64, shaped as the parameters.

    Raise ConfigError for `examples` or `draws` that are not accepted, ValueError if they lack a generator.
    """
    checked(CountOrNull, examples, "examples")
    checked(CountOrNull, draws, "draws")
    if generator is None and (examples, draws) != (None, None):
        raise ValueError("examples and draws are drawn at random: give a generator")
    total, names = len(images), list(names)
    fixed = {name: parameter.detach() for name, parameter in parameters.items()}
    if examples is not None and examples < total:
        images = images[torch.randperm(total, generator=generator)[:examples].to(images.device)]
    with evaluating(model):
        with torch.no_grad():
            logits = torch.func.functional_call(model, fixed, (images[:1],))
        signs = _signs(len(images), logits, draws, generator)
        fast = linear_signals(model, fixed, images[:1], signs[:, :1]).keys() & set(names)
        slow = [name for name in names if name not in fast]
        diagonal = {name: torch.zeros_like(fixed[name], dtype=torch.float64) for name in names}
        if fast:
            rows = capacity.evaluation_rows(_footprint(model, images))
            for chunk, chosen in zip(images.split(rows), signs.split(rows, dim=1), strict=True):
                for name, (inputs, signals) in linear_signals(model, fixed, chunk, chosen).items():
                    if name in fast:
                        diagonal[name] += signals.square().sum(0).t() @ inputs.square()
        if slow:
            rows = _rows_of_gradients(model, images, [fixed[name] for name in slow], len(signs))
            for chunk, chosen in zip(images.split(rows), signs.split(rows, dim=1), strict=True):
                for name, squares in _squared_gradients(model, fixed, chunk, chosen, slow).items():
                    diagonal[name] += squares
    return {name: sums * (total / len(images)) for name, sums in diagonal.items()}


def _signs(images: int, logits: Tensor, draws: int | None, generator: torch.Generator | None) -> Tensor:
    """Return what combines the classes' columns in `_columns`: [columns, images, classes].

    Exact: one column a class. Else random signs, scaled so that the sum of squares has the exact one as its mean.
    """
    classes = logits.shape[-1]
    if draws is None:
        return torch.eye(classes).to(logits).unsqueeze(1).expand(-1, images, -1)
    signs = torch.randint(0, 2, (draws, images, classes), generator=generator).to(logits)
    return (2 * signs - 1) / math.sqrt(draws)


def _columns(logits: Tensor, signs: Tensor) -> Tensor:
    """Return sum_c signs_c sqrt(p_c) (e_c - p): [columns, images, classes], from logits [images, classes].

    With signs e_1, ..., e_C these are the columns of a factor S of the softmax's Hessian: S S' = diag p - p p'. Small
    probabilities keep their digits, also where that of the predicted class rounds to 1.
    """
    probabilities = torch.softmax(logits, dim=-1)
    roots = probabilities.sqrt() * signs
    return roots - probabilities * roots.sum(dim=-1, keepdim=True)


def linear_signals(
    model: nn.Module, parameters: Mapping[str, Tensor], images: Tensor, signs: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the inputs and backpropagated columns of the linear layers of a plain sequence of known layers.

    The derivative of column k of image n by a layer's weight is the outer product of signals[k, n] and inputs[n].

    Args:
        model: any; only an nn.Sequential of the layers in bayes_pruning/engine/layers.py gives anything, because
            elsewhere a weight may be used in more places than can be seen.
        parameters: of one network, that need no gradient.
        images: [images, ...].
        signs: [columns, images, classes], see `_columns`.

    Returns:
        By the weight's name: inputs [images, inputs], signals [columns, images, outputs].
    """
    if not layers.is_stackable(model):
        return {}
    x, inputs, outputs = images, [], {}
    with torch.enable_grad():
        for index, layer in enumerate(model):
            of_layer = {name: parameters[f"{index}.{name}"] for name, _ in layer.named_parameters()}
            # A ReLU may be set to overwrite its input, which is the output that a signal is taken at.
            out = F.relu(x) if isinstance(layer, nn.ReLU) else torch.func.functional_call(layer, of_layer, (x,))
            if isinstance(layer, nn.Linear) and x.ndim == 2:
                inputs.append(x.detach())
                # The graph starts at the first such output: nothing before it is differentiated, and no weight.
                outputs[f"{index}.weight"] = out if out.requires_grad else out.requires_grad_()
            x = out
    if not outputs:
        return {}
    columns = _columns(x.detach(), signs)
    each = [torch.autograd.grad(x, list(outputs.values()), column, retain_graph=True) for column in columns]
    signals = [torch.stack(layer) for layer in zip(*each, strict=True)]
    return {name: (a, b) for name, a, b in zip(outputs, inputs, signals, strict=True)}


@torch.enable_grad()  # where a caller has turned it off, nn.LSTM keeps nothing of its forward pass to go back by
def _squared_gradients(
    model: nn.Module, parameters: Mapping[str, Tensor], images: Tensor, signs: Tensor, names: list[str]
) -> dict[str, Tensor]:
    """Return the squares of the per-example gradients of the columns, summed over columns and images, by name."""

    def squares(image: Tensor, chosen: Tensor) -> dict[str, Tensor]:
        def logits_of(free: dict[str, Tensor]) -> Tensor:
            return torch.func.functional_call(model, {**parameters, **free}, (image.unsqueeze(0),)).squeeze(0)

        logits, pull_back, *_ = torch.func.vjp(logits_of, {name: parameters[name] for name in names})
        (gradients,) = torch.func.vmap(pull_back)(_columns(logits, chosen))
        return {name: gradient.square().sum(0) for name, gradient in gradients.items()}

    each = torch.func.vmap(squares)(images, signs.transpose(0, 1))
    return {name: square.sum(0) for name, square in each.items()}


def _footprint(model: nn.Module, images: Tensor) -> capacity.Footprint:
    """Return the sizes of a model that takes such images; whole numbers may be words, and stay whole numbers."""
    return capacity.footprint(model, tuple(images.shape[1:]), None if images.is_floating_point() else images.dtype)


def _rows_of_gradients(model: nn.Module, images: Tensor, free: list[Tensor], columns: int) -> int:
    """Return how many images a pass takes, so that their gradients and activations fit into a block (capacity.py)."""
    largest = _footprint(model, images).largest_activation
    largest = max(largest, *(parameter.numel() for parameter in free))
    return max(1, LARGEST_REUSED_BLOCK // capacity.FLOAT_BYTES // (columns * largest))
