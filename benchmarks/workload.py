"""Count from the networks the operations and bytes that training must cost: the floors of docs/performance.md.

Operations are multiplications and additions of the matrix products and convolutions. Bytes are the fewest that pass
through the memory if each layer, with its bias, ReLU and pooling, is one kernel that reads every input once and writes
every output once, in float32. A time can not be shorter than either count over the machine's rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import nn

FLOAT = 4  # bytes
ADAM_BYTES = 7 * FLOAT  # a parameter and step: read weight, gradient and two moments, write all but the gradient
DATA: Mapping[str, tuple[tuple[int, ...], int, int]] = {  # shape of an image, training images, test images
    "mnist": ((1, 28, 28), 60_000, 10_000),
    "fashion_mnist": ((1, 28, 28), 60_000, 10_000),
    "cifar10": ((3, 32, 32), 50_000, 10_000),
}


@dataclass(frozen=True)
class Cost:
    """Hold operations, and bytes to and from memory."""

    operations: float
    bytes: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, times: float) -> "Cost":
        return Cost(*(getattr(self, f.name) * times for f in fields(self)))

    def seconds(self, rate: float, bandwidth: float) -> tuple[float, float]:
        """Return the two floors: at `rate` operations a second, and at `bandwidth` bytes a second."""
        return self.operations / rate, self.bytes / bandwidth


@dataclass(frozen=True)
class Layer:
    """Hold a layer with weights and what follows it up to the next one; all but `parameters` are for one image."""

    parameters: int
    operations: int  # of the forward pass
    inputs: int  # numbers
    outputs: int  # numbers, after pooling
    pooled: bool = False


def layers(model: nn.Module, shape: tuple[int, ...]) -> list[Layer]:
    """Return the linear and convolutional layers of `model`, in order, as one image of `shape` passes through them."""
    counted: list[Layer] = []

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            positions = output[0, 0].numel() if output.ndim == 4 else 1
            parameters = sum(parameter.numel() for parameter in layer.parameters())
            counted.append(Layer(parameters, 2 * layer.weight.numel() * positions, inputs[0].numel(), output.numel()))
        elif counted:  # ReLU and pooling belong to the layer before them
            pooled = counted[-1].pooled or output.numel() < counted[-1].outputs
            counted[-1] = replace(counted[-1], outputs=output.numel(), pooled=pooled)

    leaves = [module for module in model.modules() if next(module.children(), None) is None]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    with torch.no_grad():
        model(torch.zeros(1, *shape))
    for handle in handles:
        handle.remove()
    return counted


def evaluation(model: nn.Module, shape: tuple[int, ...], images: int, passes: int) -> Cost:
    """Return the cost of one network over `images`, in `passes` parts (each reads the weights once)."""
    total = Cost(0, 0)
    for layer in layers(model, shape):
        numbers = images * (layer.inputs + layer.outputs) + passes * layer.parameters
        total += Cost(images * layer.operations, FLOAT * numbers)
    return total


def training_step(model: nn.Module, shape: tuple[int, ...], batch_size: int) -> Cost:
    """Return the cost of one network's step: forward, backward (no gradient of the images), Adam.

    Backward reads the gradient of the outputs twice, for weights and inputs, the inputs and the weights once, and
    writes both gradients; pooling's choice is a byte an output, written once and read twice.
    """
    total = evaluation(model, shape, batch_size, passes=1)
    for number, layer in enumerate(layers(model, shape)):
        gradient = Cost(
            batch_size * layer.operations, FLOAT * (batch_size * (layer.outputs + layer.inputs) + layer.parameters)
        )
        total += gradient * (2 if number > 0 else 1)
        total += Cost(0, ADAM_BYTES * layer.parameters + 3 * batch_size * layer.outputs * layer.pooled)
    return total


def steps(images: int, batch_size: int) -> int:
    """Return the optimiser steps of an epoch; the last batch may be smaller."""
    return -(-images // batch_size)


def training(model: nn.Module, shape: tuple[int, ...], images: int, batch_size: int) -> Cost:
    """Return the cost of one network's pass over the training images."""
    whole, rest = divmod(images, batch_size)
    total = training_step(model, shape, batch_size) * whole
    return total + training_step(model, shape, rest) if rest else total


def optimiser_bytes(model: nn.Module, images: int, batch_size: int) -> float:
    """Return the bytes that Adam alone moves in an epoch."""
    return steps(images, batch_size) * ADAM_BYTES * sum(parameter.numel() for parameter in model.parameters())
