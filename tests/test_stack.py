"""A stack against plain PyTorch, against its members alone, and with one that diverges."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.engine import device, gpu_layers, layers
from bayes_pruning.engine.stack import Stack, joined
from bayes_pruning.models import networks

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)


@pytest.fixture
def _several_threads() -> Iterator[None]:
    """Bits must not depend on the company even where a tensor's work is split between threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_several_threads")
def test_on_a_cpu_that_was_picked_pytorch_has_one_thread() -> None:
    assert device.pick("cpu") == CPU
    assert torch.get_num_threads() == 1


class Residual(nn.Module):
    """A module that is no sequence of known layers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        return self.out(x + torch.tanh(self.inner(x)))


# A module may come twice, and its place may have a name.
SEQUENCES: dict[str, Callable[..., nn.Module]] = {
    "relu twice": lambda first, relu, out: nn.Sequential(nn.Flatten(), first, relu, nn.Linear(64, 64), relu, out),
    "linear twice": lambda first, relu, out: nn.Sequential(nn.Flatten(), first, relu, first, relu, out),
    "named": lambda first, relu, out: nn.Sequential(OrderedDict(flat=nn.Flatten(), a=first, b=relu, c=out)),
}


def network(kind: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    if kind == "residual":
        return Residual()
    if kind in SEQUENCES:
        return SEQUENCES[kind](nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    if kind == "fcn":
        return networks.fcn(SHAPE, 10, [32, 17])
    if kind in networks.ACTIVATIONS:
        return networks.fcn(SHAPE, 10, [32, 17], activation=kind, softmax=True)
    return networks.cnn(SHAPE, 10, [6, 5], 3, 12)


def batch(members: int, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(members, size, *SHAPE, generator=generator)
    return images, torch.randint(0, 10, (members, size), generator=generator)


@pytest.mark.parametrize("kind", ["fcn", "tanh", "sigmoid", "cnn", "residual", *SEQUENCES])
@pytest.mark.parametrize("shared", [True, False])
def test_a_step_is_that_of_plain_pytorch_for_every_member(kind: str, shared: bool) -> None:
    members = [network(kind, seed) for seed in range(3)]
    stack = Stack(members, 0.001, CPU)
    images, labels = batch(1 if shared else 3)
    losses = [stack.step(images, labels) for _ in range(3)]
    for i, module in enumerate(members):
        plain = copy.deepcopy(module)
        optimizer = torch.optim.Adam(plain.parameters(), lr=0.001)
        own = 0 if shared else i
        for step in range(3):
            loss = F.cross_entropy(plain(images[own]), labels[own])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert losses[step][i].item() == pytest.approx(loss.item(), rel=1e-5)
        for name, parameter in plain.named_parameters():
            torch.testing.assert_close(stack.parameters[name][i].detach(), parameter.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1},
        {"stride": 2},
        {"padding": 2, "dilation": 2},
        {"groups": 2},
        {"stride": (1, 2), "padding": "valid"},
    ],
    ids=str,
)
def test_a_convolution_is_the_one_that_its_module_says(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    modules = [
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 4, 3, **options), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten())
        for _ in range(2)
    ]
    stack = Stack(modules, 0.001, CPU)
    images, _ = batch(2, 3)
    assert layers.is_stackable(modules[0])
    for found, module, own in zip(stack.forward(images, stack.parameters), modules, images, strict=True):
        torch.testing.assert_close(found, module(own))
    parameters = {name: parameter.detach() for name, parameter in modules[0].named_parameters()}
    torch.testing.assert_close(layers.logits(layers.stages(modules[0]), parameters, images[0]), modules[0](images[0]))


@pytest.mark.parametrize("channels", [1, 2])
def test_images_are_put_into_the_memory_order_of_convolutions(channels: int) -> None:
    images = torch.randn(3, channels, 5, 4)
    found = layers._channels_last(images)
    assert torch.equal(found, images)
    assert found.stride() == (5 * 4 * channels, 1, 4 * channels, channels)


@pytest.mark.parametrize("options", [{}, {"ceil_mode": True}, {"padding": 1}, {"stride": 1}, {"dilation": 2}], ids=str)
def test_pooling_is_that_of_its_module_in_an_evaluation_too(options: dict[str, Any]) -> None:
    """Of images with an odd height and width."""
    layer, images = nn.MaxPool2d(2, **options), torch.randn(3, 4, 7, 9)
    with torch.no_grad():
        for pooled in (layers.max_pool2d, gpu_layers.pooled):
            assert torch.equal(pooled(layer, images), layer(images))
    for kernel in (2, (2, 2)):  # the usual one is the quick one
        assert layers.is_two_by_two(nn.MaxPool2d(kernel, **options)) == (not options)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.Flatten(2), nn.Softmax(dim=0)], ids=str
)
def test_a_layer_of_another_setting_is_left_to_its_module(layer: nn.Module) -> None:
    assert layers.is_stackable(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(64, 10)))
    assert not layers.is_stackable(nn.Sequential(layer, nn.Flatten(), nn.Linear(64, 10)))


@pytest.mark.parametrize("operations", [layers.ONE_NETWORK, gpu_layers.MANY_NETWORKS], ids=["one", "many"])
def test_a_relu_that_overwrites_its_input_leaves_the_images_as_they_are(operations: layers.Operations) -> None:
    images = -torch.ones(2, 3, 8)
    operations.without_parameters(nn.ReLU(inplace=True))(images)
    assert (images == -1).all()


@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
def test_a_network_with_a_hook_is_left_to_its_module(kind: str) -> None:
    module = network("fcn", 0)
    getattr(module.get_submodule("1"), f"register_{kind}_hook")(lambda *_: None)
    assert not layers.is_stackable(module)


@pytest.mark.usefixtures("_several_threads")
@pytest.mark.parametrize("kind", ["fcn", "cnn"])
def test_a_member_has_the_same_bits_whatever_its_company(kind: str) -> None:
    members = [network(kind, seed) for seed in range(5)]
    images, labels = batch(5)
    together = Stack(members, 0.001, CPU)
    for _ in range(4):
        together.step(images, labels)
    for i, module in enumerate(members):
        alone = Stack([module], 0.001, CPU)
        for _ in range(4):
            alone.step(images[i : i + 1], labels[i : i + 1])
        for name, parameter in alone.parameters.items():
            assert torch.equal(parameter[0], together.parameters[name][i]), name


@pytest.mark.parametrize("shape", [(10,), (3, 5), (16,), (2, 1, 3, 3)])
@pytest.mark.parametrize("members", [1, 3])
def test_each_member_is_a_copy_that_begins_where_a_tensor_of_its_own_does(shape: tuple[int, ...], members: int) -> None:
    """At a multiple of 64 bytes: the last bits of MKL's products depend on it, so that no product here may show it."""
    each = [torch.randn(shape) for _ in range(members)]
    together = joined(each)
    assert torch.equal(together, torch.stack(each))
    assert joined([member.long() for member in each]).dtype == torch.int64  # BatchNorm counts its batches
    assert all(member.data_ptr() % 64 == 0 and member.is_contiguous() for member in together)
    together.zero_()
    assert all(member.all() for member in each)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("place", ["cpu", "meta"])
def test_weights_in_another_order_are_stacked_in_the_one_that_adam_walks(place: str, members: int) -> None:
    weight = torch.empty(2, 3, 3, 3, device=place).to(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert all(member.is_contiguous() for member in joined([weight] * members))


@pytest.mark.usefixtures("_several_threads")
def test_a_member_that_diverges_changes_no_bit_of_the_others() -> None:
    members = [network("fcn", seed) for seed in range(3)]
    images, labels = batch(1)
    healthy, sick = Stack(members, 0.001, CPU), Stack(members, 0.001, CPU)
    sick.parameters["1.weight"].detach()[1, 0, 0] = float("nan")
    for _ in range(3):
        healthy.step(images, labels)
        losses = sick.step(images, labels)
    assert torch.isnan(losses).tolist() == [False, True, False]
    for name in healthy.parameters:
        for i in (0, 2):
            assert torch.equal(healthy.parameters[name][i], sick.parameters[name][i])


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_frozen_zeros_stay_zero_through_the_moments(momentum: float | None) -> None:
    stack = Stack([network("fcn", 0), network("fcn", 1)], 0.01, CPU, momentum)
    images, labels = batch(1)
    for _ in range(3):  # so that the moments are not zero
        stack.step(images, labels)
    keep = torch.rand(stack.parameters["1.weight"][0].shape) > 0.5
    stack.replace(1, {"1.weight": stack.parameters["1.weight"].detach()[1] * keep})
    recorded = stack.version()
    stack.freeze_zeros(1, {"1.weight": keep})
    assert stack.version() != recorded  # a GPU records its steps anew
    before = stack.parameters["1.weight"].detach().clone()
    for _ in range(5):
        stack.step(images, labels)
    after = stack.parameters["1.weight"].detach()
    assert torch.equal(after[1] == 0, ~keep)
    assert not torch.any(after[1][keep] == before[1][keep])
    assert not torch.any(after[0] == 0)  # the other member is not masked


@pytest.mark.parametrize("momentum", [None, 0.0, 0.9])
def test_state_goes_on_with_the_same_bits(momentum: float | None) -> None:
    images, labels = batch(1)
    straight, first = (Stack([network("fcn", 0)], 0.01, CPU, momentum) for _ in range(2))
    for _ in range(6):
        straight.step(images, labels)
    for _ in range(3):
        first.step(images, labels)
    second = Stack([network("fcn", 9)], 0.01, CPU, momentum)
    second.load_state(0, copy.deepcopy(first.state(0)), steps=3)
    for _ in range(3):
        second.step(images, labels)
    for name in straight.parameters:
        assert torch.equal(straight.parameters[name], second.parameters[name])


def test_initial_weights_are_scaled_as_asked() -> None:
    torch.manual_seed(0)
    plain = networks.fcn(SHAPE, 10, [32, 17])
    torch.manual_seed(0)
    wider = networks.fcn(SHAPE, 10, [32, 17], initial_scale=2.0)
    for one, other in zip(plain.parameters(), wider.parameters(), strict=True):
        assert torch.equal(2 * one, other)


def test_a_network_has_the_activation_and_the_softmax_that_its_settings_name() -> None:
    x = torch.linspace(-2, 2, 5)
    for name in ("relu", "tanh", "sigmoid"):
        network = networks.fcn(SHAPE, 10, [32, 17], activation=name, softmax=True)
        assert all(torch.equal(network[place](x), getattr(torch, name)(x)) for place in (2, 4))
        assert network(torch.randn(3, *SHAPE)).sum(1).tolist() == pytest.approx([1.0] * 3)
        assert layers.is_stackable(network)


def test_the_papers_networks_take_the_fast_path_and_have_the_papers_layers() -> None:
    fcn = networks.fcn((1, 28, 28), 10, [256, 128])
    cnn = networks.cnn((3, 32, 32), 10, [32, 64], 3, 128)
    assert layers.is_stackable(fcn)
    assert layers.is_stackable(cnn)
    assert [p.shape for p in fcn.parameters() if p.ndim > 1] == [(256, 784), (128, 256), (10, 128)]
    convolutions = [(32, 3, 3, 3), (64, 32, 3, 3)]
    assert [p.shape for p in cnn.parameters() if p.ndim > 1] == [*convolutions, (128, 4096), (10, 128)]
    assert networks.cnn((1, 28, 28), 10, [4, 4, 4], 3, 8)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)  # 28, 14, 7, 3
    assert not layers.is_stackable(Residual())
    with pytest.raises(ConfigError, match=r"^model\.kernel_size=2 is not accepted: .* an odd whole number"):
        networks.cnn((1, 28, 28), 10, [4], 2, 8)


def test_a_weight_that_is_held_stays_held_whatever_a_later_mask_says() -> None:
    stack = Stack([network("fcn", 0), network("fcn", 1)], 0.01, CPU)
    every = torch.ones(stack.parameters["1.weight"][0].shape, dtype=torch.bool)
    first, second = every.clone(), every.clone()
    first[0], second[1] = False, False
    for keep in (first, second):
        stack.freeze_zeros(1, {"1.weight": keep})
    assert torch.equal(stack.keep["1.weight"][1] != 0, first & second)
    assert torch.equal(stack.keep["1.weight"][0] != 0, every)
    assert [list(stack.state(member)["keep"]) for member in (0, 1)] == [[], ["1.weight"]]  # as alone, where it has none
