"""Make a smaller dense network with the same outputs: remove dead units and filters, and fold their biases in.

A mask alone makes nothing faster: a zero is multiplied like any other number. What saves time without special kernels
is to leave out whole rows and columns. Here, in one sweep forward and one backward, which reach the fixed point:

    forward    a unit whose incoming weights are all zero has a constant output c, relu(bias): W_next c is added to the
               next layer's biases and W_next becomes zero for it, which may leave that layer units without inputs.
               ReLU, max pooling (it pads with minus infinity) and Flatten leave a constant image constant.
    backward   a unit whose outgoing weights are all zero is removed, which may leave units before it without outputs.

Border rule: a zero-padded convolution sees c inside and zeros around, so its answer to c is no constant and can not go
into a bias. Before such a layer only filters with c = 0 are folded; the other constant filters become a single one of
constant 1 with outgoing weights sum(c W_next), which is exact. Inputs that meet only zero weights (pixels of the first
layer, features where a convolution's images are flattened) are left out by a `Select`. Logits are never removed.
"""

import json
import warnings
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as numpy_bytes
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from scipy.sparse import csr_array
from torch import Tensor, nn

from bayes_pruning.config.errors import UserError, user_error
from bayes_pruning.engine.layers import is_stackable
from bayes_pruning.runs.files import write_file


class Select(nn.Module):
    """Keep the inputs at `index` (int32 [features]), in that order: [batch, inputs, ...] -> [batch, features, ...]."""

    index: Tensor

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        self.inputs, self.features = inputs, features
        self.register_buffer("index", torch.zeros(features, dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """Keep some of the inputs."""
        return x.index_select(1, self.index)


ARGUMENTS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features"),
    nn.Conv2d: ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    nn.Flatten: (),
    nn.ReLU: (),
    Select: ("inputs", "features"),
}
Weighted = nn.Linear | nn.Conv2d


def compact(model: nn.Module) -> nn.Sequential:
    """Return `model` without what is dead: a new network of the same outputs up to rounding, with no more parameters.

    Sums of folded constants are taken in float64 and rounded once. Compacting the result again changes nothing.
    Raise UserError unless `model` is a sequence of linear, convolution (groups=1, zero-padded or not), max pooling,
    Flatten and ReLU layers, or was made by this function.
    """
    layers = _without_selections(model)
    weighted = [position for position, layer in enumerate(layers) if isinstance(layer, Weighted)]
    with torch.no_grad():
        for here, after in pairwise(weighted):
            rectified = any(isinstance(layer, nn.ReLU) for layer in layers[here + 1 : after])
            _fold_constants(layers[here], layers[after], rectified)
        return nn.Sequential(*_without_dead(layers, weighted))


def _without_selections(model: nn.Module) -> list[Any]:
    """Return copies of the model's layers, with each Select written out as zero weights of the layer after it."""
    layers = list(model) if type(model) is nn.Sequential else []
    selects = {
        layer: before for before, layer in pairwise(layers) if type(before) is Select and isinstance(layer, Weighted)
    }
    plain = [layer for layer in layers if layer not in selects.values()]
    weighted = [layer for layer in plain if isinstance(layer, Weighted)]
    known = all(type(layer) in ARGUMENTS for layer in plain) and is_stackable(nn.Sequential(*plain))
    if not weighted or not known or any(getattr(w, "groups", 1) > 1 for w in weighted):
        raise UserError(
            f"This {type(model).__name__} can not be compacted: it takes an nn.Sequential of Linear, Conv2d "
            f"(groups=1), MaxPool2d, Flatten and ReLU layers, with biases."
        )
    return [_whole(layer, selects.get(layer)) if isinstance(layer, Weighted) else layer for layer in plain]


def _whole(layer: Any, select: Select | None) -> nn.Module:
    """Return a copy of `layer` for all inputs of the `select` before it."""
    weight = layer.weight.detach()
    if select is not None:
        weight = weight.new_zeros(len(weight), select.inputs, *weight.shape[2:])
        weight[:, select.index] = layer.weight.detach()
    return _with_weights(layer, weight, layer.bias)


def _fold_constants(layer: Any, following: Any, rectified: bool) -> None:
    """Take the units of `layer` without incoming weights out of `following`, in place (see the module's docstring)."""
    constant = ~layer.weight.flatten(1).any(1)
    value = layer.bias.double().relu() if rectified else layer.bias.double()
    outgoing = following.weight.view(len(following.weight), len(constant), -1)  # a view: [outputs, units, positions]
    padded = isinstance(following, nn.Conv2d) and following.padding not in ((0, 0), "valid")
    folded = constant & (value == 0) if padded else constant
    following.bias += (outgoing[:, folded].double().sum(2) @ value[folded]).to(following.bias.dtype)
    outgoing[:, folded] = 0
    merged = (constant & outgoing.any(2).any(0)).nonzero().flatten()
    if len(merged) > 1:
        total = (outgoing[:, merged].double() * value[merged, None]).sum(1)
        outgoing[:, merged] = 0
        outgoing[:, merged[0]] = total.to(outgoing.dtype)
        layer.bias[merged[0]] = 1


def _without_dead(layers: list[Any], weighted: list[int]) -> list[nn.Module]:
    """Return the layers without units that nothing later uses and without inputs that meet only zero weights."""
    small = list(layers)
    needed = torch.ones(len(layers[weighted[-1]].weight), dtype=torch.bool)
    for number, position in reversed(list(enumerate(weighted))):
        layer, previous = layers[position], layers[weighted[number - 1]] if number else None
        weight = layer.weight[needed]
        used = weight.transpose(0, 1).flatten(1).any(1)
        if isinstance(layer, nn.Conv2d) and not used.any():
            used[0] = True  # only constant filters are left: their images still need a size, any input gives it
            if previous is not None:
                previous.weight[0] = 0
        small[position] = _with_weights(layer, weight[:, used], layer.bias[needed])
        if not used.any():  # only the last layer comes to this: the logits are its biases, whatever the image
            return [nn.Flatten(), Select(1, 0), *small[position:]]
        needed = torch.ones_like(used) if previous is None else used.view(len(previous.weight), -1).any(1)
        features = used.view(len(needed), -1)[needed].flatten()
        if not features.all():
            select = Select(len(features), int(features.sum()))
            select.index = features.nonzero().flatten().int()
            small[position] = nn.Sequential(select, small[position])
    return [inner for layer in small for inner in (layer if isinstance(layer, nn.Sequential) else [layer])]


def _with_weights(layer: nn.Module, weight: Tensor, bias: Any) -> nn.Module:
    """Return a layer of the same kind with these parameters and the sizes that they have."""
    outputs, inputs = weight.shape[:2]
    names = ("in_features", "out_features") if isinstance(layer, nn.Linear) else ("in_channels", "out_channels")
    resized = _make(type(layer), _arguments(layer) | dict(zip(names, (inputs, outputs), strict=True)))
    parameters = {"weight": weight, "bias": bias}.items()
    copies = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in parameters}
    resized.load_state_dict(copies, assign=True)
    return resized


def _arguments(layer: nn.Module) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in ARGUMENTS[type(layer)]}


def _make(kind: type[nn.Module], arguments: Mapping[str, Any]) -> nn.Module:
    """Return a layer whose parameters are not set yet; no random numbers are drawn."""
    if issubclass(kind, Weighted):
        with warnings.catch_warnings():  # a constant network has a layer without inputs, which is meant
            warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
            return nn.utils.skip_init(kind, **arguments)
    return kind(**arguments)


def sparse_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """Return a sparse safetensors file of a network: weights as CSR [outputs, the rest], biases as they are.

    A weight becomes its non-zero values, their columns and the row pointers, each index in the smallest of uint8,
    uint16, uint32 that holds them all. Shapes are those of the model and not stored.
    """
    arrays: dict[str, Any] = {}
    for name, tensor in weights.items():
        if tensor.ndim < 2:
            arrays[name] = tensor.numpy()
            continue
        matrix = csr_array(tensor.flatten(1).numpy())
        arrays[f"{name}.values"] = matrix.data
        arrays[f"{name}.columns"] = matrix.indices.astype(np.min_scalar_type(matrix.shape[1] - 1))
        arrays[f"{name}.rows"] = matrix.indptr.astype(np.min_scalar_type(matrix.nnz))
    return numpy_bytes(arrays)


def multiply_adds(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the multiply-adds for an image of `shape`: of all weights, and of those that are not zero (no biases)."""
    counts: list[tuple[int, int]] = []

    def count(layer: Any, _: Any, output: Tensor) -> None:
        times = output.numel() // len(layer.weight)  # positions at which a weight is used
        counts.append((layer.weight.numel() * times, int(layer.weight.count_nonzero()) * times))

    handles = [layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, Weighted)]
    with torch.no_grad():
        model(torch.zeros(1, *shape))
    for handle in handles:
        handle.remove()
    return sum(every for every, _ in counts), sum(nonzero for _, nonzero in counts)


def save(model: nn.Sequential, folder: Path) -> None:
    """Write compact.safetensors (weights, biases, indices) and compact.json (kind and sizes of each layer) to `folder`.

    Raise UserError if that can not be done.
    """
    layers = [{"kind": type(layer).__name__} | _arguments(layer) for layer in model]
    write_file(folder / "compact.safetensors", safetensors_bytes(model.state_dict()))
    write_file(folder / "compact.json", json.dumps({"layers": layers}, indent=1))


def load(folder: Path) -> nn.Sequential:
    """Return the network that `save` wrote to `folder`: normalised images [batch, channels, height, width] to logits.

    Raise UserError if the files are missing, damaged or do not belong together.
    """
    kinds = {kind.__name__: kind for kind in ARGUMENTS}
    with user_error(f"{folder} holds no compacted network"):  # files, JSON, torch and safetensors each raise their own
        layers = json.loads((folder / "compact.json").read_text())["layers"]
        model = nn.Sequential(*(_make(kinds[layer.pop("kind")], layer) for layer in layers))
        model.load_state_dict(load_file(folder / "compact.safetensors"), assign=True)
    return model
