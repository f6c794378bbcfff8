"""The paper's two networks (Figures 2 and 3) as plain modules, and ResNet-18.

A builder takes the image's shape and the number of classes, and its own settings from conf/model, and returns an
`nn.Module` that maps [batch, channels, height, width] to logits [batch, classes]. A builder that takes `num_classes`
instead, as torchvision's do, is called with that. An `nn.Sequential` of the layers that bayes_pruning/engine/layers.py
knows trains fastest; any other module trains too, with BatchNorm's buffers and with dropout.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.weight_norm import WeightNorm

from bayes_pruning.config.errors import ConfigError, one_of
from bayes_pruning.config.random_streams import generator
from bayes_pruning.config.registry import Registry
from bayes_pruning.config.schema import PARAMETERS, WEIGHTS
from bayes_pruning.config.validation import Count, checked

BUILDERS = Registry("model.builder", __name__)
ACTIVATIONS: Mapping[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


@BUILDERS.register
def fcn(
    shape: tuple[int, ...],
    classes: int,
    hidden: Sequence[int],
    activation: str = "relu",
    initial_scale: float = 1.0,
    softmax: bool = False,
) -> nn.Module:
    """Return a fully connected network: layers of `hidden` units with an activation, then a linear one to the logits.

    `initial_scale` is a factor of the initial weights and biases. With `softmax` the cross-entropy takes probabilities
    for logits, as in code that has a softmax layer (experimental setup of the paper) and PyTorch's cross-entropy too.
    """
    _widths("model.hidden", hidden)
    if activation not in ACTIVATIONS:
        raise ConfigError("model.activation", activation, one_of(sorted(ACTIVATIONS)))
    widths = [torch.Size(shape).numel(), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    layers += [nn.Linear(widths[-1], classes), *([nn.Softmax(dim=-1)] if softmax else [])]
    network = nn.Sequential(*layers)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(initial_scale)
    return network


@BUILDERS.register
def cnn(shape: tuple[int, ...], classes: int, filters: Sequence[int], kernel_size: int, hidden: int) -> nn.Module:
    """Return convolutions of `filters` filters, each with ReLU and 2 x 2 max pooling, and two linear layers."""
    _widths("model.filters", filters)
    checked(Count, hidden, "model.hidden")
    if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
        raise ConfigError("model.kernel_size", kernel_size, "an odd whole number of at least 1")
    channels, height, width = shape
    layers: list[nn.Module] = []
    for inputs, outputs in zip([channels, *filters[:-1]], filters, strict=True):
        layers += [nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2), nn.ReLU(), nn.MaxPool2d(2, 2)]
        height, width = height // 2, width // 2
    features = filters[-1] * height * width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))


@BUILDERS.register
def resnet18(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return torchvision's ResNet-18 (He et al., 2016) for small images: its stem is one 3 x 3 convolution."""
    from torchvision.models import resnet18 as build_resnet18  # it takes a second to import

    network = build_resnet18(num_classes=classes)
    network.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's convolutions
    network.maxpool = nn.Identity()
    return network


def _widths(field: str, widths: Sequence[int]) -> None:
    listed = isinstance(widths, Sequence) and not isinstance(widths, str) and len(widths) > 0
    if not listed or any(not isinstance(width, int) or width < 1 for width in widths):
        raise ConfigError(field, widths, "whole numbers of at least 1")


def build(config: Mapping[str, Any], shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
    """Return the network of `config` (a file of conf/model) with the initial weights of `seed`, on the CPU.

    It is PyTorch's own initialisation, drawn from the seed's stream "initial weights": runs that share a seed start
    from the same weights. Raise ConfigError for an unknown builder or settings that it does not take.
    """
    builder = BUILDERS.find(config["builder"])
    settings = {key: value for key, value in config.items() if key not in ("name", "builder")}
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(seed, "initial weights").get_state())
        try:
            takes_classes = _takes_num_classes(builder)
            network = builder(num_classes=classes, **settings) if takes_classes else builder(shape, classes, **settings)
        except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            raise ConfigError("model", dict(config), f"the settings of {config['builder']} ({error})") from error
        _check_images(config, network, shape, classes)  # here, since lazy layers draw their weights in the first call
    return network


def _takes_num_classes(builder: Callable[..., Any]) -> bool:
    """Return whether a builder has the signature of torchvision's, and not (shape, classes, ...)."""
    parameters = inspect.signature(builder).parameters
    return "num_classes" in parameters or all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters.values())


def _check_images(config: Mapping[str, Any], network: nn.Module, shape: tuple[int, ...], classes: int) -> None:
    """Raise ConfigError unless `network` maps images of `shape` to logits that it can be trained by."""
    if not isinstance(network, nn.Module):
        accepted = f"a builder that returns an nn.Module (this returns a {type(network).__name__})"
        raise ConfigError("model.builder", config["builder"], accepted)
    try:
        with torch.enable_grad(), evaluating(network):
            out = network(torch.zeros(2, *shape))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError("model", dict(config), f"a network for images of shape {shape} ({reason})") from error
    given = tuple(out.shape)[1:] if isinstance(out, Tensor) else f"a {type(out).__name__}"
    empty = [name for name, parameter in network.named_parameters() if parameter.numel() == 0]
    hooked = [name for name, parameter in network.named_parameters() if _has_hook(parameter)]
    if given != (classes,):
        accepted = f"a network with {classes} logits an image (this gives {given})"
    elif not out.requires_grad:
        accepted = "a network with parameters to train (its logits depend on none that has requires_grad)"
    elif empty:
        accepted = f"a network without empty layers (its {empty[0]} has no elements)"
    elif hooked:
        accepted = (
            f"a network whose parameters have no hooks (its {hooked[0]} has one, which its copy in a stack lacks)"
        )
    elif not prunable(network):
        accepted = "a network with weights to prune (none of its parameters has two dimensions or more)"
    else:
        return
    raise ConfigError("model", dict(config), accepted)


def _has_hook(parameter: Any) -> bool:
    return bool(parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Have `model` in evaluation mode for a while; then each of its modules gets back the mode that it had itself."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def prunable(model: nn.Module, prunes: str = WEIGHTS) -> list[str]:
    """Return the names of the parameters that are pruned.

    Args:
        model: any.
        prunes: "weights" of two or more dimensions, thus no bias, or all "parameters" (`w_i in w` of Algorithms 2 and
            3, line 5), each of which then counts as a layer with a sparsity of its own.

    The lengths that PyTorch's weight_norm gives to the rows of a weight are none: one at zero is a row of zeros.
    """
    lengths = set(_lengths(model)) if prunes == WEIGHTS else set()
    several = [(name, each) for name, each in model.named_parameters() if each.ndim >= 2 or prunes == PARAMETERS]
    return [name for name, each in several if each not in lengths]


def _lengths(model: nn.Module) -> Iterator[Tensor]:
    """Yield the lengths of weight_norm, of torch.nn.utils.parametrizations and of the older one of torch.nn.utils."""
    for module in model.modules():
        computed: Any = module.parametrizations if is_parametrized(module) else nn.ModuleDict()
        yield from (each.original0 for each in computed.values() if isinstance(each[0], _WeightNorm))
        hooks = module._forward_pre_hooks.values()
        yield from (getattr(module, f"{hook.name}_g") for hook in hooks if isinstance(hook, WeightNorm))
