"""The layers of a stack as a GPU takes them: every layer of all networks is one product or one convolution.

Activations are [groups, batch, ...]: networks that see the same input are a group, and its input is there once. All
groups are of one size, and networks of a group follow each other. A first layer has a group for each data order, whose
networks' weights beside each other are one wide layer; later layers have a group for each network. Parameters are
[networks, ...]. All of it runs on a CPU too: the tests hold it against layers.py there.

Convolutions go one of two ways, by the table in `way`. Neither has been measured on a GPU yet; the reasons are
counted bytes, and benchmarks/bench_convolutions.py measures both.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_pruning.engine.layers import Operations, is_two_by_two

Way = Callable[[nn.Conv2d, Tensor, Tensor], Tensor]


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return linear layers of all networks.

    Args:
        x: [groups, batch, ..., inputs].
        weight: [networks, outputs, inputs].
        bias: [networks, outputs].

    Returns:
        [networks, batch, ..., outputs].
    """
    networks, outputs, inputs = weight.shape
    groups, rows = len(x), x.shape[1:-1]
    x = x.flatten(1, -2)
    # The weights come first, so that their gradient comes out in their own order, as Adam wants it.
    wide = torch.baddbmm(bias.view(groups, -1, 1), weight.view(groups, -1, inputs), x.transpose(1, 2))
    return wide.view(networks, outputs, -1).transpose(1, 2).unflatten(1, rows)


def patches(layer: nn.Conv2d, x: Tensor, weight: Tensor) -> Tensor:
    """Return convolutions as a batched product with the patches under the kernel, without their bias.

    Args:
        layer: its settings, without groups and dilation.
        x: [groups, batch, channels, h, w].
        weight: [networks, filters, channels, k, k].

    Returns:
        [groups, batch, networks of a group * filters, h', w'], in the memory order [groups, batch, h', w', ...].
    """
    groups, batch, channels = x.shape[:3]
    assert not isinstance(layer.padding, str)
    (down, across), (y, z) = layer.kernel_size, layer.padding
    padded = F.pad(x.permute(0, 1, 3, 4, 2), (0, 0, z, z, y, y))
    windows = padded.unfold(2, down, layer.stride[0]).unfold(3, across, layer.stride[1])  # [..., h', w', c, k, k]
    columns = down * across * channels
    rows = windows.permute(0, 1, 2, 3, 5, 6, 4).reshape(groups, -1, columns)
    filters = weight.permute(0, 1, 3, 4, 2).reshape(groups, -1, columns)
    out = torch.bmm(rows, filters.transpose(1, 2))
    return out.view(groups, batch, *windows.shape[2:4], -1).permute(0, 1, 4, 2, 3)


def grouped(layer: nn.Conv2d, x: Tensor, weight: Tensor) -> Tensor:
    """Return the same as `patches`, for any settings, from one convolution whose groups are the networks."""
    x = x if layer.groups == 1 else x.repeat_interleave(len(weight) // len(x), 0)
    side_by_side = x.permute(1, 0, 2, 3, 4).flatten(1, 2).contiguous(memory_format=torch.channels_last)
    wide = weight.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    groups = len(x) * layer.groups
    out = F.conv2d(side_by_side, wide, None, layer.stride, layer.padding, layer.dilation, groups)
    return out.unflatten(1, (len(x), -1)).transpose(0, 1)


def way(layer: nn.Conv2d) -> Way:
    """Return how a convolution is done: `patches` or `grouped`.

    | layer                              | way     | reason                                                            |
    |------------------------------------|---------|-------------------------------------------------------------------|
    | plain (as all of the paper's)      | patches | its time follows from its bytes: patches are 4.5 times the        |
    |                                    |         | outputs of the paper's second layer, 0.01 to 0.04 times its first |
    | dilated, grouped, padded by a name | grouped | patches are not written for it                                    |
    """
    plain = layer.dilation == (1, 1) and layer.groups == 1 and not isinstance(layer.padding, str)
    return patches if plain else grouped


def pooled(layer: nn.MaxPool2d, x: Tensor) -> Tensor:
    """Return `layer` of x [n, c, h, w]; an evaluation does without the indices, more bytes than the results."""
    if torch.is_grad_enabled() or not is_two_by_two(layer):
        return layer(x)
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    return x[:, :, :height, :width].unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))


def convolution(
    layer: nn.Conv2d, pool: nn.MaxPool2d | None, relu: bool, convolve: Way | None = None
) -> Callable[..., Tensor]:
    """Return a convolution with what follows it: pooling if there is any, then bias and ReLU, as layers.py has it.

    It is done as `convolve` does it, by default as `way` says.
    """
    convolve = convolve or way(layer)

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return [networks, batch, f, h', w'] from x [groups, batch, c, h, w]."""
        networks, filters = bias.shape
        out = convolve(layer, x, weight).flatten(0, 1)
        out = out if pool is None else pooled(pool, out)
        apart = out.permute(0, 2, 3, 1).unflatten(3, (-1, filters)).unflatten(0, x.shape[:2])  # [groups, n, h, w, m, f]
        out = apart.permute(0, 4, 1, 2, 3, 5).flatten(0, 1) + bias.view(networks, 1, 1, 1, filters)
        return (F.relu(out) if relu else out).permute(0, 1, 4, 2, 3)

    return call


def _without_parameters(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a layer of [groups, batch, ...]."""
    if isinstance(layer, nn.Flatten):
        return lambda x: x.flatten(2)
    if isinstance(layer, nn.ReLU):
        return F.relu
    return lambda x: layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


MANY_NETWORKS = Operations(linear, convolution, _without_parameters)
