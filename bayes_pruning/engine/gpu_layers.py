"""The layers of a stack as a GPU takes them: batched products in the stack's precision, convolution blocks as one.

Activations are [members, batch, ...], or [1, batch, ...] where all members see the same input; parameters are
[members, ...]. An input that members share makes one wide layer of all their first layers. All of it runs on a CPU too
(the tests hold it against layers.py there), only slower than what that has.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_pruning.config.schema import BF16
from bayes_pruning.engine.convolutions import Block
from bayes_pruning.engine.layers import Stage, is_two_by_two
from bayes_pruning.engine.precision import rounded


class _Linear(torch.autograd.Function):
    """Linear layers of all members; gradients come out contiguous, as Adam wants them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, precision: str) -> Tensor:
        ctx.precision = precision
        x, weight = rounded(precision, x, weight)
        ctx.save_for_backward(x, weight)
        members, outputs, inputs = weight.shape
        if len(x) == 1:  # one wide layer
            wide = (x[0] @ weight.view(members * outputs, inputs).t()).float() + bias.view(-1)
            return wide.view(-1, members, outputs).transpose(0, 1)
        if precision == BF16:
            return torch.bmm(x, weight.transpose(1, 2)).float() + bias.unsqueeze(1)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        (signal,) = rounded(ctx.precision, gradient)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.bmm(signal, weight).float()
            grad_x = grad_x.sum(0, keepdim=True) if len(x) == 1 else grad_x
        if len(x) == 1:
            wide = signal.transpose(0, 1).reshape(signal.shape[1], -1)
            grad_weight = (wide.t() @ x[0]).float().view_as(weight)
        else:
            grad_weight = torch.bmm(signal.transpose(1, 2), x).float()
        return grad_x, grad_weight, gradient.sum(1), None


def linear(precision: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x [members | 1, batch, inputs], weight [members, outputs, inputs], bias [members, outputs]."""
    return _Linear.apply(x, weight, bias, precision)  # type: ignore[no-any-return]


def stages(model: nn.Module, precision: str) -> list[Stage]:
    """The layers of a stackable `model`; a convolution takes the ReLU and the 2 x 2 pooling after it along."""
    left = list(enumerate(model.children()))
    found: list[Stage] = []
    while left:
        (index, layer), *left = left
        names = tuple(f"{index}.{name}" for name, _ in layer.named_parameters())
        if isinstance(layer, nn.Conv2d):
            relu = bool(left) and isinstance(left[0][1], nn.ReLU)
            pool = relu and len(left) > 1 and is_two_by_two(left[1][1])
            left = left[relu + pool :]
            found.append(Stage(Block(layer, relu, pool, precision), names))
        elif isinstance(layer, nn.Linear):
            found.append(Stage(partial(linear, precision), names))
        else:
            found.append(Stage(partial(_of_each_member, layer), names))
    return found


def _of_each_member(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer without parameters, of [members, batch, ...]."""
    if isinstance(layer, nn.Flatten):
        return x.flatten(2)
    if isinstance(layer, nn.ReLU):
        return F.relu(x)
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # type: ignore[no-any-return]
