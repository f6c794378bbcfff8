"""One network's forward pass, with parameters in place of the module's own, as PyTorch does it fastest on a CPU.

It differs from calling the module in two points, and only for a plain sequence of known layers:

- Pooling comes before the bias and ReLU. The largest of some numbers, shifted and cut off at zero, is the largest of
  the shifted and cut ones, and there are a quarter as many to shift and cut. Images lie in memory as
  [batch, h, w, channels], the order in which convolutions and pooling are fast.
- In an evaluation, linear layers call oneDNN instead of MKL where that is faster.

What a GPU does with a whole stack at a time is in gpu_layers.py.
"""

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

KNOWN = (nn.Linear, nn.Conv2d, nn.MaxPool2d, nn.Flatten, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softmax)


def prefers_onednn(vendor: str, instructions: str) -> bool:
    """Return whether oneDNN's matrix product is the faster one on a processor.

    PyTorch's own products call MKL, which uses AVX-512 only on Intel's processors. On one of AMD's that has it, oneDNN
    was 1.0 to 2.2 times as fast for large products; on one without it, MKL was as fast for large products and up to 6
    times as fast for small ones (docs/performance.md).

    Args:
        vendor: as /proc/cpuinfo has it, e.g. AuthenticAMD.
        instructions: the widest that PyTorch found, e.g. AVX2 or AVX512.
    """
    return vendor == "AuthenticAMD" and instructions.startswith("AVX512")


def processor_vendor() -> str:
    """Return the maker of this machine's processor, as Linux names it; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "")


ONEDNN_FROM = 5_000_000  # multiplications in a product
_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
USES_ONEDNN = _HAS_ONEDNN and prefers_onednn(processor_vendor(), torch.backends.cpu.get_cpu_capability())


def onednn_product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return a @ b.T + bias for float32 a [n, k] and b [m, k], contiguous or transposed, by oneDNN's inner product."""
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return a @ b.T + bias for a [n, k] and b [m, k] on a CPU, the fastest way on this processor; no gradient.

    A call of oneDNN's takes longer to begin than one of MKL's, so that it pays for large products only.
    """
    if USES_ONEDNN and len(a) * b.numel() >= ONEDNN_FROM and a.dtype == torch.float32:
        return onednn_product(a, b, bias)
    return torch.mm(a, b.t()) if bias is None else torch.addmm(bias, a, b.t())


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return F.linear of x [..., inputs] for weight [outputs, inputs]; without a gradient, the fastest way there is."""
    if torch.is_grad_enabled() or not x.is_cpu or x.ndim != 2:
        return F.linear(x, weight, bias)
    return product(x, weight, bias)


def _channels_last(images: Tensor) -> Tensor:
    """Return `images` [batch, channels, h, w] in the memory order [batch, h, w, channels], as convolutions do.

    With one channel both orders are the same memory, and PyTorch takes it for the other one unless the strides say so.
    """
    if images.shape[1] == 1 and images.is_contiguous() and not images.requires_grad:
        _, _, height, width = images.shape
        return images.as_strided(images.shape, (height * width, 1, width, 1))
    return images.contiguous(memory_format=torch.channels_last)


def max_pool2d(layer: nn.MaxPool2d, x: Tensor) -> Tensor:
    """Return `layer` of x [batch, channels, h, w]; in an evaluation 2 x 2 pooling does without the maxima's indices."""
    if torch.is_grad_enabled() or not is_two_by_two(layer):
        return layer(x)
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    rows = torch.maximum(x[:, :, 0:height:2, :width], x[:, :, 1:height:2, :width])
    return torch.maximum(rows[..., 0::2], rows[..., 1::2])


def is_two_by_two(layer: nn.MaxPool2d) -> bool:
    """Return whether a layer is the usual pooling, which halves height and width."""
    settings = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
    return settings in ((2, 2, 0, 1, False), ((2, 2), (2, 2), 0, 1, False))


def _convolution(layer: nn.Conv2d, pool: nn.MaxPool2d | None, relu: bool) -> Callable[..., Tensor]:
    """Return a convolution, with pooling if there is any, then bias and ReLU."""

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = F.conv2d(_channels_last(x), weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        x = x if pool is None else max_pool2d(pool, x)
        x = x + bias.view(-1, 1, 1)  # here its gradient is a sum over fewer numbers too
        return F.relu_(x) if relu else x

    return call


def _without_parameters(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    if isinstance(layer, nn.MaxPool2d):
        return partial(max_pool2d, layer)
    return F.relu if isinstance(layer, nn.ReLU) else layer  # a ReLU may be set to overwrite its input, the images


@dataclass(frozen=True)
class Operations:
    """What layers do: of one network on a CPU (`ONE_NETWORK`), or of many at once (gpu_layers.MANY_NETWORKS).

    Args:
        linear: (x, weight, bias) -> activations.
        convolution: makes one of a layer, the pooling after it or None, and whether ReLU follows too.
        without_parameters: makes one of any other layer.
    """

    linear: Callable[..., Tensor]
    convolution: Callable[[nn.Conv2d, nn.MaxPool2d | None, bool], Callable[..., Tensor]]
    without_parameters: Callable[[nn.Module], Callable[[Tensor], Tensor]]


ONE_NETWORK = Operations(linear, _convolution, _without_parameters)


@dataclass(frozen=True)
class Stage:
    """A layer, or several as one."""

    call: Callable[..., Tensor]  # (activations, *parameters) -> activations
    names: tuple[str, ...]  # of its parameters in the model


class WholeModel:
    """Any module, called with parameters and buffers in place of its own.

    A buffer that a layer changes in place, as BatchNorm its running mean, is changed in the tensor given. Such a call
    puts the tensors into the module for its time, so that each thread calls a copy of its own.

    Args:
        model: copied without its numbers; a parameter under two names, as of tied layers, is one in the copy too.

    Attributes:
        names: of its parameters, then its buffers: the order in which a call takes them.
        training: the mode of the next calls, of `nn.Module.train`.
    """

    def __init__(self, model: nn.Module) -> None:
        tensors = [*model.named_parameters(), *model.named_buffers()]
        self.names = tuple(name for name, _ in tensors)
        self.training = False
        # deepcopy refuses a tensor that a gradient hangs on, as a hidden state that a module keeps of its last call.
        kept = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]
        results = {id(value): value.detach() for value in kept if not value.is_leaf}
        # Module.to would make tensors of their own of a tied parameter's names: all but one stayed empty in a call.
        empty = {id(tensor): tensor.detach().to("meta") for _, tensor in tensors}
        self._model = copy.deepcopy(model, results | empty)
        self._threads = threading.local()

    def __call__(self, x: Tensor, *tensors: Tensor) -> Tensor:
        """Return the logits of `x` with these parameters and buffers, in the order of `names`."""
        if not hasattr(self._threads, "model"):
            self._threads.model = copy.deepcopy(self._model)
        model = self._threads.model.train(self.training)
        return functional_call(model, dict(zip(self.names, tensors, strict=True)), (x,))


def stages(model: nn.Module, operations: Operations = ONE_NETWORK) -> list[Stage]:
    """Return what the forward pass is made of, in order; a model that is not stackable is one stage of one network."""
    if not is_stackable(model):
        whole = WholeModel(model)
        return [Stage(whole, whole.names)]
    left = list(enumerate(model))
    sequence: list[Stage] = []
    while left:
        (index, layer), *left = left
        names = tuple(f"{index}.{name}" for name, _ in layer.named_parameters())
        if isinstance(layer, nn.Conv2d):
            before, left = _take(left, nn.ReLU)
            pool, left = _take(left, nn.MaxPool2d)
            after, left = _take(left, nn.ReLU)
            relu = before is not None or after is not None
            sequence.append(Stage(operations.convolution(layer, pool, relu), names))
        elif isinstance(layer, nn.Linear):
            sequence.append(Stage(operations.linear, names))
        else:
            sequence.append(Stage(operations.without_parameters(layer), names))
    return sequence


def _take(left: list[tuple[int, nn.Module]], kind: type[nn.Module]) -> tuple[Any, list[tuple[int, nn.Module]]]:
    """Return the next layer if it is of a kind, else None, and the layers after it."""
    return (left[0][1], left[1:]) if left and type(left[0][1]) is kind else (None, left)


def logits(network: Sequence[Stage], parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the logits [batch, classes] of `images` [batch, channels, height, width], for one network's `stages`.

    Those of many networks have one axis more, in front (gpu_layers.py).
    """
    x = images
    for stage in network:
        x = stage.call(x, *(parameters[name] for name in stage.names))
    return x


def is_stackable(model: nn.Module) -> TypeGuard[nn.Sequential]:
    """Return whether `model` is a sequence of layers that this module and gpu_layers.py know, without any hook."""
    if type(model) is not nn.Sequential:
        return False
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(getattr(module, kind) for module in model.modules() for kind in kinds):
        return False
    weighted = [index for index, layer in enumerate(model) if isinstance(layer, (nn.Linear, nn.Conv2d))]
    # `stages` finds parameters by their place in the sequence, so that each layer has to have its own, and both.
    own = [f"{index}.{part}" for index in weighted for part in ("weight", "bias")]
    return [name for name, _ in model.named_parameters()] == own and all(
        type(layer) in KNOWN
        and (type(layer) is not nn.Flatten or (layer.start_dim, layer.end_dim) == (1, -1))
        and (type(layer) is not nn.Conv2d or layer.padding_mode == "zeros")
        and (type(layer) is not nn.Softmax or layer.dim == -1)
        for layer in model
    )
