"""Backpropagation written out against autograd, and which product is whose."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_pruning.engine import layers, perceptron
from bayes_pruning.engine.stack import Stack
from bayes_pruning.models import networks

CPU = torch.device("cpu")


def batch(size: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(size, 1, 4, 4, generator=generator), torch.randint(0, 10, (size,), generator=generator)


def network(*row: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *copy.deepcopy(row))


ROWS = {
    "the paper's": ([nn.Linear(16, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 10)], [True, True, False]),
    "one layer": ([nn.Linear(16, 10)], [False]),
    "no ReLU between two": ([nn.Linear(16, 9), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 10)], [False, True, False]),
    "ReLU at the end": ([nn.Linear(16, 9), nn.ReLU(), nn.Linear(9, 10), nn.ReLU()], [True, True]),
    "ReLU twice": ([nn.Linear(16, 9), nn.ReLU(), nn.ReLU(), nn.Linear(9, 10)], [True, False]),
}


@pytest.mark.parametrize("name", ROWS)
def test_loss_and_gradients_are_autograds(name: str) -> None:
    """In float64, of a batch of 7, where a unit of the hidden layers is dead for some images."""
    row, relus = ROWS[name]
    model = network(*row).double()
    assert perceptron.relus(model) == relus
    images, labels = batch()
    images = images.double()
    wanted = F.cross_entropy(model(images), labels)
    loss, gradients = perceptron.loss_and_gradients(relus, list(model.parameters()), images, labels)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-13)
    assert not loss.requires_grad
    for found, gradient in zip(gradients, torch.autograd.grad(wanted, list(model.parameters())), strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-11, atol=1e-14)
        assert found.is_contiguous()  # as Adam walks them


@pytest.mark.parametrize(
    "row",
    [
        [nn.Linear(16, 9), nn.Tanh(), nn.Linear(9, 10)],
        [nn.ReLU(), nn.Linear(16, 10)],
        [nn.Linear(16, 10), nn.Softmax(-1)],
        [nn.Linear(16, 10, bias=False)],
    ],
    ids=["tanh", "ReLU first", "softmax", "no bias"],
)
def test_other_networks_are_left_to_autograd(row: list[nn.Module]) -> None:
    assert perceptron.relus(network(*row)) is None
    assert perceptron.relus(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 10))) is None  # its images come in rows
    assert perceptron.relus(networks.cnn((1, 4, 4), 10, [2, 2], 3, 5)) is None


def test_a_stack_leaves_a_network_with_a_frozen_layer_to_autograd() -> None:
    model = network(*ROWS["the paper's"][0])
    assert Stack([model], 0.001, CPU).relus == [True, True, False]
    model[1].weight.requires_grad_(False)
    stack = Stack([model], 0.001, CPU)
    assert stack.relus is None
    before = {name: parameter.detach().clone() for name, parameter in stack.parameters.items()}
    images, labels = batch()
    stack.step_of(0, images, labels)
    moved = {name for name, parameter in stack.parameters.items() if not torch.equal(parameter, before[name])}
    assert moved == set(before) - {"1.weight"}


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Let oneDNN be preferred on this processor; return what it multiplies."""
    asked: list[tuple[int, ...]] = []
    own = layers.onednn_product

    def noted(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        asked.append((*a.shape, len(b)))
        return own(a, b, bias)

    monkeypatch.setattr(layers, "USES_ONEDNN", True)
    monkeypatch.setattr(layers, "onednn_product", noted)
    return asked


def test_onednn_is_preferred_on_amds_processors_with_avx512_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """By /proc/cpuinfo as Linux writes it."""
    monkeypatch.setattr(layers.Path, "read_text", lambda _: "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t: 17\n")
    kinds = [
        (vendor, widest) for vendor in (layers.processor_vendor(), "GenuineIntel") for widest in ("AVX2", "AVX512")
    ]
    assert [kind for kind in kinds if layers.prefers_onednn(*kind)] == [("AuthenticAMD", "AVX512")]


@pytest.mark.parametrize(("rows", "theirs"), [(49, False), (50, True)])
def test_large_products_are_onednns_and_both_are_right(
    rows: int, theirs: bool, onednn: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From five million multiplications on, where the processor is one that prefers it."""
    if not layers._HAS_ONEDNN:
        pytest.fail("this torch has no oneDNN, so nothing was compared")
    a, b, bias = torch.randn(rows, 400), torch.randn(250, 400), torch.randn(250)
    torch.testing.assert_close(layers.product(a, b, bias), F.linear(a, b, bias), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layers.product(a, b), F.linear(a, b), rtol=1e-4, atol=1e-4)
    transposed = layers.product(a.t().contiguous().t(), b.t().contiguous().t())
    torch.testing.assert_close(transposed, F.linear(a, b), rtol=1e-4, atol=1e-4)
    assert onednn == [(rows, 400, 250)] * 3 * theirs
    layers.product(a.double(), b.double())  # oneDNN multiplies no float64
    monkeypatch.setattr(layers, "USES_ONEDNN", False)
    layers.product(a, b)
    assert onednn == [(rows, 400, 250)] * 3 * theirs


def test_a_gradient_is_not_lost_in_a_product(onednn: list[tuple[int, ...]]) -> None:
    """A large layer outside of an evaluation is autograd's; the evaluation's is oneDNN's."""
    x, weight, bias = torch.randn(64, 400), torch.randn(250, 400, requires_grad=True), torch.randn(250)
    assert layers.linear(x, weight, bias).requires_grad
    assert not onednn
    with torch.no_grad():
        layers.linear(x, weight, bias)
        layers.linear(torch.randn(8, 8, 400), weight, bias)  # more axes are PyTorch's
    assert onednn == [(64, 400, 250)]
