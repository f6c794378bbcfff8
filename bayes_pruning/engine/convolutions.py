"""Convolution blocks of all members on a GPU: several ways to the same result, of which the fastest is chosen.

A block is a convolution and, where the model has them after it, ReLU and 2 x 2 max pooling. Which way is fastest
depends on the shapes, the precision and the device, so `Block.choose` measures at the start of a stack. On a CPU the
engine keeps to layers.conv2d.
"""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_pruning.engine import graphs
from bayes_pruning.engine.precision import rounded

FIRST = "loop"  # until it is measured which way is faster
log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def fused() -> Any:
    """The blocks that are Triton kernels, None where there is no Triton."""
    try:
        from bayes_pruning.engine import fused as found
    except ImportError:
        return None
    return found


def loop(layer: nn.Conv2d, x: Tensor, weight: Tensor, precision: str) -> Tensor:
    """One convolution a member. As all ways: x [members | 1, n, c, h, w], weight [members, f, c, k, k], no bias."""
    x, weight = rounded(precision, x, weight)
    images = [a.contiguous(memory_format=torch.channels_last) for a in x.expand(len(weight), *x.shape[1:])]
    each = [F.conv2d(a, w, groups=layer.groups, **_settings(layer)) for a, w in zip(images, weight, strict=True)]
    return torch.stack([out.permute(0, 2, 3, 1) for out in each]).permute(0, 1, 4, 2, 3).float()  # as cuDNN left them


def grouped(layer: nn.Conv2d, x: Tensor, weight: Tensor, precision: str) -> Tensor:
    """Members as groups of one convolution, which is what vmap makes of it."""
    x, weight = rounded(precision, x.expand(len(weight), *x.shape[1:]), weight)
    groups = layer.groups * len(weight)
    out = F.conv2d(x.transpose(0, 1).flatten(1, 2), weight.flatten(0, 1), groups=groups, **_settings(layer))
    return out.unflatten(1, (len(weight), -1)).transpose(0, 1).float()


def unfold(layer: nn.Conv2d, x: Tensor, weight: Tensor, precision: str) -> Tensor:
    """Patches as rows of a matrix (F.unfold would copy them image by image), then one batched product."""
    x, weight = rounded(precision, x, weight)
    (down, across), (y, z) = layer.kernel_size, _padding(layer)
    padded = F.pad(x.permute(0, 1, 3, 4, 2), (0, 0, z, z, y, y))
    windows = padded.unfold(2, down, 1).unfold(3, across, 1)  # [members, n, h, w, c, k, k]
    rows = windows.flatten(-3).flatten(1, 3).expand(len(weight), -1, -1)
    out = torch.bmm(rows, weight.flatten(2).transpose(1, 2))
    return out.float().view(len(weight), *windows.shape[1:4], -1).permute(0, 1, 4, 2, 3)


def _settings(layer: nn.Conv2d) -> dict[str, Any]:
    return {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    assert not isinstance(layer.padding, str)
    y, z = layer.padding
    return y, z


CONVOLUTIONS = {"loop": loop, "grouped": grouped, "unfold": unfold}


def finish(x: Tensor, bias: Tensor, relu: bool, pool: bool) -> Tensor:
    """What follows a convolution: bias [members, f], and ReLU and 2 x 2 max pooling of x [members, n, f, h, w]."""
    if relu and pool and fused() and fused().pools(*x.shape[-2:]) and _runs_kernels(x):
        return fused().BiasReluPool.apply(x.permute(0, 1, 3, 4, 2).contiguous(), bias).permute(0, 1, 4, 2, 3)
    x = x + bias.view(len(bias), 1, -1, 1, 1)
    x = F.relu(x) if relu else x
    return F.max_pool2d(x.flatten(0, 1), 2, 2).unflatten(0, x.shape[:2]) if pool else x


def _runs_kernels(x: Tensor) -> bool:
    return x.is_cuda or bool(fused() and fused().INTERPRETED)


class Block:
    """One convolution of a stack, with the ReLU and pooling after it, in one of several ways.

    Args:
        layer: the convolution's settings.
        relu: whether ReLU follows.
        pool: whether 2 x 2 max pooling follows that.
        precision: of the products.

    Attributes:
        way: the name of the way in use, for training (True) and for evaluation (False).
    """

    def __init__(self, layer: nn.Conv2d, relu: bool, pool: bool, precision: str) -> None:
        self.layer, self.relu, self.pool, self.precision = layer, relu, pool, precision
        self.way = {True: FIRST, False: FIRST}

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """x [members | 1, n, c, h, w], weight [members, f, c, k, k], bias [members, f] -> [members, n, f, h', w']."""
        return self.ways(x)[self.way[torch.is_grad_enabled()]](x, weight, bias)

    def ways(self, x: Tensor) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
        """Those that can be gone with inputs like x."""
        plain = self.layer.stride == self.layer.dilation == (1, 1) and self.layer.groups == 1
        names = [name for name in CONVOLUTIONS if name != "unfold" or (plain and isinstance(self.layer.padding, tuple))]
        found: dict[str, Any] = {name: partial(self._convolve, CONVOLUTIONS[name]) for name in names}
        same_size = plain and self.layer.padding == (self.layer.kernel_size[0] // 2,) * 2
        square = self.layer.kernel_size[0] == self.layer.kernel_size[1]
        if self.relu and self.pool and same_size and square and fused() and _runs_kernels(x):
            layer = self.layer
            if fused().fits(layer.in_channels, layer.out_channels, layer.kernel_size[0], *x.shape[-2:]):
                found |= {f"triton, {name}": partial(self._fused, tile) for name, tile in fused().TILES.items()}
        return found

    def _convolve(self, way: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return finish(way(self.layer, x, weight, self.precision), bias, self.relu, self.pool)

    def _fused(self, tile: tuple[int, int], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x, weight = x.permute(0, 1, 3, 4, 2).contiguous(), weight.permute(0, 1, 3, 4, 2).contiguous()
        out = fused().ConvBlock.apply(x, weight, bias.contiguous(), self.precision, tile)
        return out.permute(0, 1, 4, 2, 3)

    def choose(self, inputs: Sequence[Tensor], images_need_gradient: bool) -> dict[str, float]:
        """Time each way, with its backward pass if gradients are enabled, and keep to the fastest.

        Args:
            inputs: x, weight and bias, as a call takes them.
            images_need_gradient: whether the backward pass is to x too.

        Returns:
            Seconds by way; infinite for one that this device can not go.
        """
        training = torch.is_grad_enabled()
        x, weight, bias = inputs
        x = x.detach().requires_grad_(training and images_need_gradient)
        wanted = [tensor for tensor in (x, weight, bias) if tensor.requires_grad] if training else []
        times = {name: _seconds(way, (x, weight, bias), wanted) for name, way in self.ways(x).items()}
        self.way[training] = min(times, key=lambda name: times[name])
        return times


def _seconds(way: Callable[..., Tensor], inputs: tuple[Tensor, ...], wanted: list[Tensor]) -> float:
    """Of one pass forward, and backward to `wanted`. What fails, for want of memory or of a kernel, takes forever."""

    def once() -> None:
        out = way(*inputs)
        if wanted:
            torch.autograd.grad(out, wanted, torch.ones_like(out))

    try:
        return graphs.seconds(once, inputs[0].device)
    except Exception as error:  # Triton, cuDNN and the allocator each raise their own
        log.warning("a way to convolve is left out: %s", str(error).splitlines()[0] if str(error) else repr(error))
        torch.cuda.synchronize()
        return float("inf")
