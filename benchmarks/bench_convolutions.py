"""Time the ways to convolve many members at once, at the paper's shapes, on this device.

    python benchmarks/bench_convolutions.py [--members 1 4 16]
    python benchmarks/bench_convolutions.py --device cuda --members 105 --precision tf32

- loop, on a CPU: one convolution a member, what bayes_pruning/engine/layers.py does;
- patches, grouped: the two of bayes_pruning/engine/gpu_layers.py.

Timed is a block of the paper's network, convolution, ReLU and pooling, forward and backward, because the memory order
that a convolution leaves decides how fast pooling is. A first layer has an input for each of five seeds, if the members
are a multiple of that. All ways are checked against each other first. Microseconds a member, medians; on a GPU of
recorded replays.
"""

import argparse
from collections.abc import Callable
from functools import partial

import checkout  # noqa: F401  (so that the package is found)
import torch
from measuring import median_seconds
from torch import Tensor, nn

from bayes_pruning.config.schema import PRECISIONS
from bayes_pruning.engine import device as devices
from bayes_pruning.engine import gpu_layers, graphs, layers

SHAPES = {  # batch 64: channels, filters, height = width
    "MNIST, first": (1, 32, 28),
    "MNIST, second": (32, 64, 14),
    "CIFAR-10, first": (3, 32, 32),
    "CIFAR-10, second": (32, 64, 16),
}
BATCH, SEEDS, REPEATS = 64, 5, 6


def cpu_loop(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return a block as the engine has it on a CPU."""
    [block] = layers.stages(nn.Sequential(layer, nn.ReLU(), nn.MaxPool2d(2, 2)))
    each = len(weight) // len(x)
    return torch.stack(
        [block.call(x[i // each], *parameters) for i, parameters in enumerate(zip(weight, bias, strict=True))]
    )


def ways(layer: nn.Conv2d, x: Tensor) -> dict[str, Callable[..., Tensor]]:
    """Return the ways that this device has."""
    blocks: dict[str, Callable[..., Tensor]] = {} if x.is_cuda else {"loop": partial(cpu_loop, layer)}
    for convolve in (gpu_layers.patches, gpu_layers.grouped):
        pool = nn.MaxPool2d(2, 2)
        blocks[convolve.__name__] = gpu_layers.convolution(layer, pool, relu=True, convolve=convolve)
    return blocks


def seconds(way: Callable[..., Tensor], tensors: list[Tensor], gradient: Tensor) -> float:
    """Return the median time of a forward and a backward pass; the images of the first layer need no gradient."""
    wanted = [tensor for tensor in tensors if tensor.requires_grad]

    def once() -> None:
        torch.autograd.grad(way(*tensors), wanted, gradient)

    if not gradient.is_cuda:
        return median_seconds(once, REPEATS)
    for _ in range(graphs.WARM_UPS):
        graphs.on_another_stream(once, gradient.device)
    return median_seconds(graphs.recorded(once, gradient.device).replay, REPEATS, gradient.device)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    arguments = parser.parse_args()
    device = devices.pick(arguments.device)
    devices.prepare(arguments.precision, False, device)
    for number, (name, (channels, filters, side)) in enumerate(SHAPES.items()):
        layer = nn.Conv2d(channels, filters, 3, padding=1)
        for members in arguments.members:
            torch.manual_seed(0)
            later = "second" in name
            groups = members if later else SEEDS if members % SEEDS == 0 else 1
            x = torch.randn(groups, BATCH, channels, side, side, device=device, requires_grad=later)
            weight = torch.randn(members, filters, channels, 3, 3, device=device, requires_grad=True)
            bias = torch.randn(members, filters, device=device, requires_grad=True)
            gradient = torch.randn(members, BATCH, filters, side // 2, side // 2, device=device)
            blocks = ways(layer, x)
            first, *others = (way(x, weight, bias) for way in blocks.values())
            for other in others:
                assert (other - first).norm() < 2e-2 * first.norm()
            if (number, members) == (0, arguments.members[0]):
                print(f"| layer | members | {' | '.join(blocks)} |\n|---|---:|{'---:|' * len(blocks)}")
            times = [seconds(way, [x, weight, bias], gradient) for way in blocks.values()]
            cells = " | ".join(f"{1e6 * t / members:.0f}" for t in times)
            print(f"| {name} | {members} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
