"""Three ways to convolve many members at once, at the paper's shapes, on this device.

    python scripts/bench_convolutions.py [--device cuda] [--members 1 4 16]

- loop: one convolution a member (what bayes_pruning/layers.py does);
- grouped: one convolution with a group a member, which is what vmap makes of it;
- unfold: patches as a matrix, then one batched matrix product.

Timed is a block of the paper's network, convolution, ReLU and pooling, forward and backward, because the memory order
that a convolution leaves decides how fast pooling is. All three are checked against each other first. Microseconds a
member, medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bayes_pruning import device as devices
from bayes_pruning import layers

SHAPES = {  # batch 64: channels, filters, height = width
    "MNIST, first": (1, 32, 28),
    "MNIST, second": (32, 64, 14),
    "CIFAR-10, first": (3, 32, 32),
    "CIFAR-10, second": (32, 64, 16),
}
BATCH = 64


def loop(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The engine's own."""
    return layers.conv2d(torch.nn.Conv2d(1, 1, 3, padding=1), x, weight, bias)


def grouped(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Members as groups of one convolution: [members, batch, c, h, w] -> [batch, members * c, h, w]."""
    members = len(weight)
    inputs = x.transpose(0, 1).flatten(1, 2)
    out = F.conv2d(inputs, weight.flatten(0, 1), bias.flatten(), padding=1, groups=members)
    return out.unflatten(1, (members, -1)).transpose(0, 1)


def unfold(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Patches [members, batch * positions, c * 9] times kernels [members, c * 9, filters]."""
    members, batch, _, height, width = x.shape
    patches = F.unfold(x.flatten(0, 1), 3, padding=1).unflatten(0, (members, batch))
    rows = patches.transpose(2, 3).flatten(1, 2)
    out = torch.baddbmm(bias.unsqueeze(1), rows, weight.flatten(2).transpose(1, 2))
    return out.view(members, batch, height, width, -1).permute(0, 1, 4, 2, 3)


def block(convolve: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolution, ReLU and 2 x 2 max pooling."""
    return layers.max_pool2d(torch.nn.MaxPool2d(2, 2), F.relu(convolve(x, weight, bias)))


def seconds(convolve: Callable[..., Tensor], tensors: list[Tensor], gradient: Tensor) -> float:
    """Median time of a forward and a backward pass; the images of the first layer need no gradient."""
    wanted = [tensor for tensor in tensors if tensor.requires_grad]

    def once() -> None:
        torch.autograd.grad(block(convolve, *tensors), wanted, gradient)
        if gradient.is_cuda:
            torch.cuda.synchronize()

    times = []
    for turn in range(8):
        start = time.perf_counter()
        once()
        if turn > 1:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 4, 16])
    arguments = parser.parse_args()
    device = devices.pick(arguments.device)
    print("| layer | members | loop | grouped | unfold |\n|---|---:|---:|---:|---:|")
    for name, (channels, filters, side) in SHAPES.items():
        for members in arguments.members:
            torch.manual_seed(0)
            x = torch.randn(members, BATCH, channels, side, side, device=device, requires_grad="second" in name)
            weight = torch.randn(members, filters, channels, 3, 3, device=device, requires_grad=True)
            bias = torch.randn(members, filters, device=device, requires_grad=True)
            gradient = torch.randn(members, BATCH, filters, side // 2, side // 2, device=device)
            found = [block(convolve, x, weight, bias) for convolve in (loop, grouped, unfold)]
            for other in found[1:]:
                torch.testing.assert_close(other, found[0], rtol=1e-3, atol=1e-3)
            times = [seconds(convolve, [x, weight, bias], gradient) for convolve in (loop, grouped, unfold)]
            cells = " | ".join(f"{1e6 * t / members:.0f}" for t in times)
            print(f"| {name} | {members} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
