"""Layers for many networks at once: each takes and returns activations with a leading member axis, here on a CPU.

Activations are [members, batch, ...], or [1, batch, ...] where all members see the same input. Parameters are
[members, ...]. An input that members share makes one wide layer of all their first layers. What a GPU does in place of
linear layers and convolutions is in gpu_layers.py.

A linear layer calls oneDNN, not MKL's batched product: measured twice as fast on AMD's processors, as fast
on Intel's, and a member's numbers are then the same to the bit whatever its company (docs/performance.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _onednn_product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a @ b.T + bias for a [n, k] and b [m, k], by oneDNN's inner product."""
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")  # type: ignore[no-any-return]


def _plain_product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a @ b.T + bias for a [n, k] and b [m, k]."""
    return F.linear(a, b, bias)


_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
_product = _onednn_product if _HAS_ONEDNN else _plain_product


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b.T for a [n, k] and b [m, k], on a CPU by what is fastest there."""
    return _product(a, b) if _is_for_onednn(a) else _plain_product(a, b)


def _is_for_onednn(x: Tensor) -> bool:
    return x.is_cpu and x.dtype == torch.float32


def _join(members: list[Tensor]) -> Tensor:
    """torch.stack, without a copy for a stack of one."""
    return torch.stack(members) if len(members) > 1 else members[0].unsqueeze(0)


class _CpuLinear(torch.autograd.Function):
    """Linear layers of all members: one product where the input is shared, else one a member."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        if len(x) == 1:
            members, outputs, inputs = weight.shape
            wide = _product(x[0], weight.view(members * outputs, inputs), bias.view(-1))
            return wide.view(-1, members, outputs).transpose(0, 1).contiguous()
        return _join([_product(*member) for member in zip(x, weight, bias, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
        (grad,) = gradients
        x, weight = ctx.saved_tensors
        grad_x, grad_weight = None, None
        if ctx.needs_input_grad[0]:
            grad_x = _join([_product(g, w.t()) for g, w in zip(grad, weight, strict=True)])
            grad_x = grad_x.sum(0, keepdim=True) if len(x) == 1 else grad_x
        if ctx.needs_input_grad[1] and len(x) == 1:
            wide = grad.transpose(0, 1).reshape(grad.shape[1], -1)
            grad_weight = _product(wide.t(), x[0].t()).view_as(weight)
        elif ctx.needs_input_grad[1]:
            grad_weight = _join([_product(g.t(), a.t()) for g, a in zip(grad, x, strict=True)])
        return grad_x, grad_weight, grad.sum(1)


def linear(layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x [members | 1, batch, inputs], weight [members, outputs, inputs], bias [members, outputs]."""
    return _CpuLinear.apply(x, weight, bias)  # type: ignore[no-any-return]


def _channels_last(images: Tensor) -> Tensor:
    """`images` [batch, channels, h, w] in the memory order [batch, h, w, channels], in which convolutions return too.

    With one channel both orders are the same memory, and PyTorch takes it for the other one unless the strides say so.
    """
    if images.shape[1] == 1 and images.is_contiguous() and not images.requires_grad:
        _, _, height, width = images.shape
        return images.as_strided(images.shape, (height * width, 1, width, 1))
    return images.contiguous(memory_format=torch.channels_last)


def conv2d(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x [members | 1, batch, channels, h, w], weight [members, filters, channels, k, k], bias [members, filters].

    One convolution a member: a grouped one, which vmap would make of them, measured slower (docs/performance.md).
    The result lies in memory as [members, batch, h, w, filters], the order in which pooling is fast.
    """
    inputs = [_channels_last(a) for a in x.expand(len(weight), *x.shape[1:])]
    outputs = [
        F.conv2d(a, w, b, layer.stride, layer.padding, layer.dilation, layer.groups).permute(0, 2, 3, 1).contiguous()
        for a, w, b in zip(inputs, weight, bias, strict=True)
    ]
    return _join(outputs).permute(0, 1, 4, 2, 3)


def max_pool2d(layer: nn.MaxPool2d, x: Tensor) -> Tensor:
    """x [members, batch, channels, h, w]."""
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # type: ignore[no-any-return]


def flatten(layer: nn.Flatten, x: Tensor) -> Tensor:
    """[members, batch, ...] -> [members, batch, features]."""
    return x.flatten(2)


def relu(layer: nn.ReLU, x: Tensor) -> Tensor:
    """Elementwise."""
    return F.relu(x)


def elementwise(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer that treats each element, or each row of the last axis, by itself."""
    return layer(x)  # type: ignore[no-any-return]


STACKED: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Linear: linear,
    nn.Conv2d: conv2d,
    nn.MaxPool2d: max_pool2d,
    nn.Flatten: flatten,
    nn.ReLU: relu,
    nn.Tanh: elementwise,
    nn.Sigmoid: elementwise,
    nn.Softmax: elementwise,
}


@dataclass(frozen=True)
class Stage:
    """A layer of a stack, or several as one."""

    call: Callable[..., Tensor]  # (activations, own parameters) -> activations
    names: tuple[str, ...]  # of its parameters in the model


def stages(model: nn.Module) -> list[Stage]:
    """The layers of a stackable `model`, one a stage."""
    return [
        Stage(partial(STACKED[type(layer)], layer), tuple(f"{index}.{name}" for name, _ in layer.named_parameters()))
        for index, layer in enumerate(model.children())
    ]


def apply(layer: nn.Module, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """One network's `layer` with `parameters` in place of its own, of x [batch, ...]; on a CPU as in a stack."""
    if not _is_for_onednn(x) or type(layer) not in STACKED:
        return torch.func.functional_call(layer, dict(parameters), (x,))  # type: ignore[no-any-return]
    own = [parameters[name].unsqueeze(0) for name, _ in layer.named_parameters()]
    return STACKED[type(layer)](layer, x.unsqueeze(0), *own).squeeze(0)


def logits(model: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """One network's logits [batch, classes] with `parameters` in place of its own."""
    if not is_stackable(model):
        return torch.func.functional_call(model, dict(parameters), (images,))  # type: ignore[no-any-return]
    x = images
    for index, layer in enumerate(model.children()):
        x = apply(layer, own_parameters(index, layer, parameters), x)
    return x


def own_parameters(index: int, layer: nn.Module, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a stackable model's `parameters` those of its layer number `index`, by the layer's own names."""
    return {name: parameters[f"{index}.{name}"] for name, _ in layer.named_parameters()}


def is_stackable(model: nn.Module) -> bool:
    """Whether `model` is a sequence of layers that this module has in stacked form."""
    if type(model) is not nn.Sequential:
        return False
    return all(
        type(layer) in STACKED
        and (type(layer) is not nn.Flatten or (layer.start_dim, layer.end_dim) == (1, -1))
        and (not isinstance(layer, (nn.Linear, nn.Conv2d)) or layer.bias is not None)
        and (type(layer) is not nn.Conv2d or layer.padding_mode == "zeros")
        and (type(layer) is not nn.MaxPool2d or not layer.return_indices)
        and (type(layer) is not nn.Softmax or layer.dim == -1)
        for layer in model
    )
