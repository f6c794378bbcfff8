"""The ways to convolve many members at once, at the paper's shapes, on this device.

    python benchmarks/bench_convolutions.py [--members 1 4 16]
    python benchmarks/bench_convolutions.py --device cuda --members 105 --precision tf32

- loop: one convolution a member (on a CPU what bayes_pruning/engine/layers.py does);
- grouped: one convolution with a group a member, which is what vmap makes of it;
- unfold: patches as a matrix, then one batched matrix product;
- triton, on a GPU: the whole block as one kernel each way (bayes_pruning/engine/kernels.py).

Timed is a block of the paper's network, convolution, ReLU and pooling, forward and backward, because the memory order
that a convolution leaves decides how fast pooling is. All are checked against each other first. Microseconds a member,
medians; on a GPU of recorded replays.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

import torch
from measuring import median_seconds
from torch import Tensor, nn

from bayes_pruning.config.schema import PRECISIONS
from bayes_pruning.engine import device as devices
from bayes_pruning.engine import graphs, layers, precision
from bayes_pruning.engine.convolutions import Block

SHAPES = {  # batch 64: channels, filters, height = width
    "MNIST, first": (1, 32, 28),
    "MNIST, second": (32, 64, 14),
    "CIFAR-10, first": (3, 32, 32),
    "CIFAR-10, second": (32, 64, 16),
}
BATCH = 64


def cpu_loop(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A block as the engine has it on a CPU."""
    [block] = layers.stages(nn.Sequential(layer, nn.ReLU(), nn.MaxPool2d(2, 2)))
    return torch.stack(
        [block.call(*member) for member in zip(x.expand(len(weight), *x.shape[1:]), weight, bias, strict=True)]
    )


def ways(layer: nn.Conv2d, x: Tensor, kind: str) -> dict[str, Callable[..., Tensor]]:
    """The ways that this device has."""
    found = Block(layer, relu=True, pool=True, precision=kind).ways(x)
    return found if x.is_cuda else found | {"loop": partial(cpu_loop, layer)}


def seconds(way: Callable[..., Tensor], tensors: list[Tensor], gradient: Tensor) -> float:
    """Median time of a forward and a backward pass; the images of the first layer need no gradient."""
    wanted = [tensor for tensor in tensors if tensor.requires_grad]

    def once() -> None:
        torch.autograd.grad(way(*tensors), wanted, gradient)

    return graphs.seconds(once, gradient.device) if gradient.is_cuda else median_seconds(once, 6)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    arguments = parser.parse_args()
    device = devices.pick(arguments.device)
    precision.prepare(arguments.precision, False, device)
    for number, (name, (channels, filters, side)) in enumerate(SHAPES.items()):
        layer = nn.Conv2d(channels, filters, 3, padding=1)
        for members in arguments.members:
            torch.manual_seed(0)
            x = torch.randn(members, BATCH, channels, side, side, device=device, requires_grad="second" in name)
            weight = torch.randn(members, filters, channels, 3, 3, device=device, requires_grad=True)
            bias = torch.randn(members, filters, device=device, requires_grad=True)
            gradient = torch.randn(members, BATCH, filters, side // 2, side // 2, device=device)
            found = ways(layer, x, arguments.precision)
            first, *others = (way(x, weight, bias) for way in found.values())
            for other in others:
                assert (other - first).norm() < 2e-2 * first.norm()
            if (number, members) == (0, arguments.members[0]):
                print(f"| layer | members | {' | '.join(found)} |\n|---|---:|{'---:|' * len(found)}")
            times = [seconds(way, [x, weight, bias], gradient) for way in found.values()]
            cells = " | ".join(f"{1e6 * t / members:.0f}" for t in times)
            print(f"| {name} | {members} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
