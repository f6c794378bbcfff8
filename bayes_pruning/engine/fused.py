"""Convolution blocks and pooling by the kernels of kernels.py, with their gradients."""

from typing import Any

import torch
import triton
from torch import Tensor

from bayes_pruning.config.schema import BF16, FULL, TF32
from bayes_pruning.engine import kernels

INTERPRETED = bool(triton.knobs.runtime.interpret)
PRODUCTS = {FULL: "tf32x3", TF32: "tf32", BF16: "bf16"}  # three TF32 products make one of float32's accuracy
TILES = {"64 rows": (64, 4), "128 rows": (128, 8)}  # positions a program, warps
FEW_CHANNELS = 8  # or fewer are summed together with the taps
SPLIT_ROWS = 512  # pooled positions that one program sums a weight's gradient over, about
MOST_SPLITS = 16
POOL_ELEMENTS = 1024


def fits(channels: int, filters: int, kernel: int, height: int, width: int) -> bool:
    """Whether `conv_block` takes these: sizes that fill a matrix unit's tiles, and windows that fill the image."""
    powers = filters in (16, 32, 64, 128) and (channels <= FEW_CHANNELS or channels in (16, 32, 64, 128))
    return powers and kernel % 2 == 1 and kernel * kernel * min(channels, FEW_CHANNELS) <= 256 and pools(height, width)


def pools(height: int, width: int) -> bool:
    """Whether `bias_relu_pool` takes images of this size: 2 x 2 windows leave nothing over."""
    return height % 2 == 0 and width % 2 == 0


def _flat(channels: int, kernel: int) -> int:
    """Taps times channels as one power of two of at least 16, or 0 if they are summed tap by tap."""
    return 0 if channels > FEW_CHANNELS else max(16, triton.next_power_of_2(kernel * kernel * channels))


def block_forward(
    x: Tensor, weight: Tensor, bias: Tensor, precision: str, tile: tuple[int, int], keep_choice: bool
) -> tuple[Tensor, Tensor]:
    """Pooled activations and which position of its window each is (empty unless kept): [members, n, h / 2, w / 2, f].

    Args:
        x: [members | 1, n, h, w, c], contiguous as all of these.
        weight: [members, f, k, k, c].
        bias: [members, f].
        precision: of the products.
        tile: one of TILES.
        keep_choice: whether there will be a backward pass.
    """
    members, filters, kernel, _, channels = weight.shape
    _, images, height, width, _ = x.shape
    pooled = (members, images, height // 2, width // 2, filters)
    out = torch.empty(pooled, device=x.device)
    choice = torch.empty(pooled if keep_choice else (0,), dtype=torch.uint8, device=x.device)
    block_f, (rows, warps) = min(filters, 64), tile
    grid = (triton.cdiv(images * height * width, rows), members, filters // block_f)
    stride = x.stride(0) if len(x) > 1 else 0
    kernels.block_forward[grid](
        x, weight, bias, out, choice, stride, images, height, width,
        C=channels, F=filters, K=kernel, FLAT=_flat(channels, kernel), BLOCK_F=block_f, KEEP_CHOICE=keep_choice,
        PRODUCT=PRODUCTS[precision], ROWS=rows, num_warps=warps,
    )  # fmt: skip
    return out, choice


def block_backward(
    x: Tensor, weight: Tensor, choice: Tensor, gradient: Tensor, precision: str, tile: tuple[int, int], inputs: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients of x (None unless `inputs`), weight and bias, shaped as in `block_forward`, from that of its result."""
    members, filters, kernel, _, channels = weight.shape
    _, images, height, width, _ = x.shape
    product, (rows, warps) = PRODUCTS[precision], tile
    pooled_images = images * (height // 2) * (width // 2)
    splits = max(1, min(MOST_SPLITS, pooled_images // SPLIT_ROWS))
    flat = _flat(channels, kernel)
    parts = torch.empty(members, splits, filters, kernel * kernel * channels, device=x.device)
    bias_parts = torch.empty(members, splits, filters, device=x.device)
    stride = x.stride(0) if len(x) > 1 else 0
    kernels.block_backward_weights[(splits, members, 1 if flat else kernel * kernel)](
        x, gradient, choice, parts, bias_parts, stride, images, height, width, splits,
        C=channels, F=filters, K=kernel, FLAT=flat, PART=triton.cdiv(pooled_images, splits),
        PRODUCT=product, ROWS=rows // 2, num_warps=4,
    )  # fmt: skip
    grad_x = None
    if inputs:
        grad_x = torch.empty((members, *x.shape[1:]), device=x.device)
        turned = weight.permute(0, 2, 3, 4, 1).contiguous()
        kernels.block_backward_inputs[(triton.cdiv(images * height * width, rows), members)](
            gradient, choice, turned, grad_x, images, height, width,
            C=channels, BLOCK_C=max(16, triton.next_power_of_2(channels)), F=filters, K=kernel,
            PRODUCT=product, ROWS=rows, num_warps=warps,
        )  # fmt: skip
        grad_x = grad_x if len(x) > 1 or members == 1 else grad_x.sum(0, keepdim=True)
    return grad_x, parts.sum(1).view_as(weight), bias_parts.sum(1)


class ConvBlock(torch.autograd.Function):
    """Convolution, bias, ReLU and 2 x 2 max pooling, of x and weight as `block_forward` takes them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, precision: str, tile: tuple[int, int]) -> Tensor:
        keep = any(ctx.needs_input_grad)
        out, choice = block_forward(x, weight, bias, precision, tile, keep)
        if keep:
            ctx.save_for_backward(x, weight, choice)
            ctx.precision, ctx.tile = precision, tile
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, choice = ctx.saved_tensors
        inputs = ctx.needs_input_grad[0]
        found = block_backward(x, weight, choice, gradients[0].contiguous(), ctx.precision, ctx.tile, inputs)
        return (*found, None, None)


class BiasReluPool(torch.autograd.Function):
    """Bias, ReLU and 2 x 2 max pooling of x [members, n, h, w, f], contiguous, with bias [members, f]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        members, images, height, width, filters = x.shape
        keep = any(ctx.needs_input_grad)
        pooled = (members, images, height // 2, width // 2, filters)
        out = torch.empty(pooled, device=x.device)
        choice = torch.empty(pooled if keep else (0,), dtype=torch.uint8, device=x.device)
        kernels.pool[(triton.cdiv(out.numel(), POOL_ELEMENTS),)](
            x, bias, out, choice, out.numel() // filters, images, height, width,
            F=filters, KEEP_CHOICE=keep, ELEMENTS=POOL_ELEMENTS,
        )  # fmt: skip
        if keep:
            ctx.save_for_backward(choice)
            ctx.shape = x.shape
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (choice,), gradient = ctx.saved_tensors, gradients[0].contiguous()
        _, _, height, width, filters = ctx.shape
        out = torch.empty(ctx.shape, device=gradient.device)
        kernels.unpool[(triton.cdiv(gradient.numel(), POOL_ELEMENTS),)](
            gradient, choice, out, gradient.numel() // filters, height, width, F=filters, ELEMENTS=POOL_ELEMENTS
        )
        return out, torch.where(choice < 4, gradient, 0.0).sum((1, 2, 3))
