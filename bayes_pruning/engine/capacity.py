"""How many members a stack takes, and how many examples an evaluation pass, before memory gets in the way.

On a CPU the limit is speed: blocks over 32 MiB go back to the operating system after each step and every page of them
is faulted in again (device.keep_freed_memory), so no tensor of a step should be larger. On a GPU it is the free memory,
in which patches (gpu_layers.patches) take more than the activations; a pass should be large enough that its few dozen
launches do not count. tests/test_gpu_rules.py holds the estimates against the memory that a step and a pass ask for.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from bayes_pruning.engine.device import LARGEST_REUSED_BLOCK
from bayes_pruning.models.networks import evaluating

FLOAT_BYTES = 4
MOST_MEMBERS_ON_CPU = 16  # more brought nothing in measurement
MOST_EVALUATION_ROWS = 1000
LARGEST_ON_GPU = 2**31  # bytes of the largest tensor of an evaluation pass, all members together
LARGE_ON_GPU = 2  # how many tensors of that size there are at a time
MOST_ROWS_ON_GPU = 10_000
ACTIVATION_COPIES = 2  # of a step on a CPU
PATCHES_COPIES = 2  # of a step on a GPU: patches and their gradient
TRAINING_COPIES = 8  # parameters, gradients, two moments, mask, and three copies while a member is pruned and scored


@dataclass(frozen=True)
class Footprint:
    """Sizes of one network, in numbers (not bytes); activations are those of one example."""

    parameters: int
    largest_parameter: int
    activations: int
    largest_activation: int
    patches: int  # of all convolutions, as gpu_layers.patches makes them
    largest_patches: int
    operations: int  # multiplications and additions of a forward pass


def footprint(model: nn.Module, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Footprint:
    """Return the sizes of `model`, measured by sending one example of `shape` through it.

    The example has the device of the first parameter, and its data type if `dtype` says no other. A layer that gives a
    tuple, as nn.LSTM does, counts with the tensors in it.
    """
    sizes, patches, operations = [torch.Size(shape).numel()], [0], []

    def measure(layer: nn.Module, _: Any, out: Any) -> None:
        sizes.extend(part.numel() for part in (out if isinstance(out, tuple) else (out,)) if isinstance(part, Tensor))
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            positions = out[0, 0].numel() if out.ndim == 4 else 1
            operations.append(2 * layer.weight.numel() * positions)
            patches.append(layer.weight[0].numel() * positions if isinstance(layer, nn.Conv2d) else 0)

    leaves = [module for module in model.modules() if next(module.children(), None) is None]
    with torch.no_grad(), evaluating(model), ExitStack() as hooks:  # BatchNorm would count this example in its mean
        for leaf in leaves:
            hooks.enter_context(leaf.register_forward_hook(measure))
        model(next(model.parameters()).new_zeros(1, *shape, dtype=dtype))
    parameters = [parameter.numel() for parameter in model.parameters()]
    return Footprint(
        sum(parameters), max(parameters), sum(sizes), max(sizes), sum(patches), max(patches), sum(operations)
    )


def evaluation_rows(size: Footprint, device: torch.device | None = None, members: int = 1) -> int:
    """Return the examples of an evaluation pass of `members` networks at once, by default of one on a CPU.

    On a CPU they depend on the network alone, so that sums are always added in one order.
    """
    if device is not None and device.type != "cpu":
        largest = max(size.largest_activation, size.largest_patches)
        return max(1, min(MOST_ROWS_ON_GPU, LARGEST_ON_GPU // FLOAT_BYTES // largest // members))
    return max(1, min(MOST_EVALUATION_ROWS, LARGEST_REUSED_BLOCK // FLOAT_BYTES // size.largest_activation))


def most_members(size: Footprint, batch_size: int, device: torch.device, free: int | None = None) -> int:
    """Return the members that a stack takes on `device`, at least 1, in `free` bytes: by default all that are free."""
    free = free_memory(device) if free is None else free
    if device.type != "cpu":
        return max(1, int((0.8 * free - LARGE_ON_GPU * LARGEST_ON_GPU) / bytes_on_gpu(size, batch_size)))
    per_member = size.parameters * TRAINING_COPIES + ACTIVATION_COPIES * batch_size * size.activations
    largest = max(size.largest_parameter, batch_size * size.largest_activation)
    members = int(0.8 * free / FLOAT_BYTES / per_member)
    return max(1, min(members, LARGEST_REUSED_BLOCK // FLOAT_BYTES // largest, MOST_MEMBERS_ON_CPU))


def bytes_on_gpu(size: Footprint, batch_size: int) -> int:
    """Return the bytes that one member's training takes on a GPU, beside the data and evaluations."""
    example = size.activations + PATCHES_COPIES * size.patches
    return FLOAT_BYTES * (size.parameters * TRAINING_COPIES + batch_size * example)


def free_memory(device: torch.device) -> int:
    """Return the bytes that this process may still take on `device`."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
