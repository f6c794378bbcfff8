"""What a GPU runs, as far as a CPU can run it with numbers: its layers, resident steps, recordings, settings.

What it would ask of a GPU is in test_gpu_rules.py, what needs one in test_gpu.py.
"""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from conftest import run_of
from torch import Tensor, nn

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.schema import Prior, RunConfig
from bayes_pruning.data.datasets import Dataset
from bayes_pruning.engine import device, gpu_layers, graphs, layers
from bayes_pruning.engine.optimizers import SGD, Adam
from bayes_pruning.engine.resident_epoch import ResidentEpoch, group_size
from bayes_pruning.engine.stack import Stack
from bayes_pruning.models import networks
from bayes_pruning.pruning import posterior
from bayes_pruning.pruning.selectors import Layer
from bayes_pruning.training.trainer import Trainer

CPU = torch.device("cpu")


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def network(kind: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    if kind == "settings":  # every kind of convolution: strided, not pooled, dilated, in groups, padded by a name
        convolutions = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2, padding=(1, 0))]
        convolutions += [nn.Conv2d(4, 4, 3, groups=2, padding="same"), nn.Conv2d(4, 2, (2, 1), dilation=2)]
        return nn.Sequential(*convolutions, nn.MaxPool2d(2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(4, 10))
    if kind == "rows":  # a linear layer of each row of an image
        return nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(40, 10))
    return networks.fcn((1, 8, 8), 10, [32, 17]) if kind == "fcn" else networks.cnn((1, 8, 8), 10, [16, 16], 3, 12)


def as_on_a_gpu(stack: Stack) -> Stack:
    """The same stack with a GPU's layers, and a step for all members at once."""
    stack.stages, stack.one_by_one = layers.stages(stack.model, gpu_layers.MANY_NETWORKS), False
    stack.parameters = {name: p.detach().contiguous().requires_grad_() for name, p in stack.parameters.items()}
    old = stack.optimizer
    stack.optimizer = (
        Adam(stack.parameters, old.learning_rate, one_by_one=False)
        if isinstance(old, Adam)
        else SGD(stack.parameters, old.learning_rate, old.momentum, one_by_one=False)
    )
    return stack


@pytest.mark.parametrize(
    ("kind", "momentum"), [("fcn", None), ("fcn", 0.9), ("cnn", None), ("settings", None), ("rows", None)]
)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_step_with_a_gpus_layers_is_a_cpus_step(kind: str, momentum: float | None, groups: int) -> None:
    """Of four members: all with the same images, two and two, each with its own; Adam, and SGD with momentum."""
    members = [network(kind, seed) for seed in range(4)]
    one, other = Stack(members, 0.001, CPU, momentum), as_on_a_gpu(Stack(members, 0.001, CPU, momentum))
    x, labels = images(groups, 8, 1, 8, 8), torch.arange(8 * groups).view(groups, 8).remainder(10)
    for _ in range(3):
        torch.testing.assert_close(one.step(x, labels), other.step(x, labels), rtol=1e-5, atol=1e-6)
    for name, parameter in one.parameters.items():
        torch.testing.assert_close(parameter, other.parameters[name], rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        logits = (stack.forward(x, stack.parameters) for stack in (one, other))
        torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("c", "f", "k", "padding", "stride"), [(1, 16, 3, 1, 1), (3, 8, 5, 2, 1), (16, 4, 3, 0, 2), (2, 3, 2, 1, 1)]
)
def test_both_ways_to_convolve_are_pytorchs_convolution(c: int, f: int, k: int, padding: int, stride: int) -> None:
    layer = nn.Conv2d(c, f, k, padding=padding, stride=stride)
    x, weight = images(2, 3, c, 6, 7).double(), images(4, f, c, k, k).double()
    wanted = torch.stack([nn.functional.conv2d(x[i // 2], weight[i], None, stride, padding) for i in range(4)])
    for way in (gpu_layers.patches, gpu_layers.grouped):
        found = way(layer, x, weight).unflatten(2, (2, f)).transpose(1, 2).flatten(0, 1)
        torch.testing.assert_close(found, wanted)


def test_the_papers_convolutions_are_products_with_patches() -> None:
    assert gpu_layers.way(nn.Conv2d(1, 32, 3, padding=1)) is gpu_layers.patches
    for other in ({"dilation": 2}, {"groups": 2}, {"padding": "same"}):
        assert gpu_layers.way(nn.Conv2d(2, 4, 3, **other)) is gpu_layers.grouped


@pytest.mark.parametrize("kind", ["fcn", "cnn"])
def test_gradients_lie_in_memory_as_adam_walks_them(kind: str) -> None:
    """Those of the first layers and of all linear ones, without a copy; Adam's step copies the others."""
    stack = as_on_a_gpu(Stack([network(kind, seed) for seed in range(4)], 0.001, CPU))
    losses = stack.losses(images(2, 8, 1, 8, 8), torch.zeros(2, 8, dtype=torch.int64), stack.parameters)
    gradients = torch.autograd.grad(losses.sum(), list(stack.parameters.values()))
    names = [name for name, g in zip(stack.parameters, gradients, strict=True) if not g.is_contiguous()]
    assert names == ([] if kind == "fcn" else ["3.weight"])


def test_losses_are_those_of_the_parameters_given() -> None:
    own, other = (as_on_a_gpu(Stack([network("fcn", seed)], 0.001, CPU)) for seed in (0, 1))
    x, labels = images(1, 8, 1, 8, 8), torch.arange(8).view(1, 8)
    assert torch.equal(own.losses(x, labels, other.parameters), other.losses(x, labels, other.parameters))
    assert not torch.equal(own.losses(x, labels, other.parameters), own.losses(x, labels, own.parameters))


def test_a_member_that_diverged_is_seen_and_harms_no_other() -> None:
    sick, healthy = (as_on_a_gpu(Stack([network("cnn", seed) for seed in range(4)], 0.001, CPU)) for _ in range(2))
    sick.parameters["0.weight"].detach()[1] = float("nan")
    x, labels = images(2, 8, 1, 8, 8), torch.zeros(2, 8, dtype=torch.int64)
    for _ in range(3):
        losses, _ = sick.step(x, labels), healthy.step(x, labels)
    assert torch.isnan(losses).tolist() == [False, True, False, False]
    for name, parameter in healthy.parameters.items():
        for i in (0, 2, 3):
            assert torch.equal(parameter[i], sick.parameters[name][i])


COMPILERS = ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]  # without and with making code


@pytest.mark.parametrize("backend", COMPILERS)
def test_a_compiled_step_is_the_plain_one(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses and gradients, in one graph of fixed shapes and without a break, or torch.compile raises."""
    plain, compiled = (as_on_a_gpu(Stack([network("cnn", seed) for seed in range(4)], 0.001, CPU)) for _ in range(2))
    compile_it = torch.compile
    asked: list[dict[str, Any]] = []

    def recorded(function: Any, **options: Any) -> Any:
        asked.append(options)
        return compile_it(function, backend=backend, **options)

    monkeypatch.setattr(torch, "compile", recorded)
    compiled.compile()
    assert asked == [{"fullgraph": True, "dynamic": False}]
    x, labels = images(2, 8, 1, 8, 8), torch.arange(16).view(2, 8).remainder(10)
    found = []
    for stack in (plain, compiled):
        losses = stack.losses(x, labels, stack.parameters)
        found.append([losses, *torch.autograd.grad(losses.sum(), list(stack.parameters.values()))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    for stack in (plain, compiled):
        stack.step(x, labels)
    for name, parameter in plain.parameters.items():
        torch.testing.assert_close(parameter, compiled.parameters[name], rtol=1e-3, atol=1e-4)


def test_neighbours_with_one_data_order_are_a_group() -> None:
    wanted = {(0, 0, 1, 1): 2, (0, 1, 0, 1): 1, (0, 0, 1): 1, (3, 3, 3): 3, (0, 0, 0, 0, 1, 1): 2, (5,): 1}
    assert {streams: group_size(streams) for streams in wanted} == wanted


def mixed_runs(batch_size: int = 64) -> list[RunConfig]:
    """Seeds, pruners, both readings of regrow."""
    return [
        run_of(
            f"pruner={pruner}", f"seed={seed}", "sparsity=0.9", f"protocol.regrow={regrow}", f"batch_size={batch_size}"
        )
        for seed, pruner, regrow in ((3, "none", "true"), (1, "bayes_magnitude", "false"), (3, "random", "false"))
    ]


@pytest.mark.parametrize(("members", "batch_size"), [(3, 64), (1, 100)])
def test_resident_steps_give_the_bits_of_batches_cut_out_one_by_one(
    members: int, batch_size: int, few_digits: Dataset
) -> None:
    """500 images in batches of 64, of which the last one is smaller, or of 100. Masks appear after the first epoch."""
    runs = mixed_runs(batch_size)[:members]
    usual, resident = Trainer(runs, few_digits, CPU), Trainer(runs, few_digits, CPU)
    resident.resident = ResidentEpoch(resident.stack, few_digits.train, batch_size, resident.streams)
    for _ in range(3):
        rows = [[vars(row) | {"seconds": 0} for row in t.run_epoch() if row] for t in (usual, resident)]
        assert rows[0] == rows[1]
    assert resident.stack.keep or len(runs) == 1
    for name, parameter in usual.stack.parameters.items():
        assert torch.equal(parameter, resident.stack.parameters[name])


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_an_epoch_as_on_a_gpu_is_an_epoch_of_the_cpu(model: str, few_digits: Dataset) -> None:
    """Two seeds with two members each, pruned and not; three epochs, over which no gate decides otherwise."""
    small = "model.filters=[4,4]" if model == "cnn" else "model.hidden=[32]"
    runs = [
        run_of(f"model={model}", small, f"pruner={pruner}", f"seed={seed}", "sparsity=0.5", f"protocol.regrow={regrow}")
        for seed in (3, 7)
        for pruner, regrow in (("bayes_magnitude", "true"), ("random", "false"))
    ]
    usual, other = Trainer(runs, few_digits, CPU), Trainer(runs, few_digits, CPU)
    as_on_a_gpu(other.stack)
    other.resident = ResidentEpoch(other.stack, few_digits.train, runs[0].batch_size, other.streams)
    assert other.resident.batch(64)[0].shape[0] == 2
    for _ in range(3):
        for one, two in zip(usual.run_epoch(), other.run_epoch(), strict=True):
            assert one is not None
            assert two is not None
            assert (two.pruned, two.sparsity) == (one.pruned, one.sparsity)
            assert two.train_loss == pytest.approx(one.train_loss, rel=1e-4)
            assert two.pruned_test_loss == pytest.approx(one.pruned_test_loss, rel=1e-3)
            assert two.log_prior == pytest.approx(one.log_prior, rel=1e-7)


class FakeGraph:
    """Notes what it is asked for in place of a recording."""

    def __init__(self, function: Any, notes: list[str]) -> None:
        self.notes = notes
        notes.append("record")

    def replay(self) -> None:
        self.notes.append("replay")


def test_a_step_is_called_then_recorded_then_replayed_and_again_if_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(graphs, "on_another_stream", lambda function, device: function())
    monkeypatch.setattr(graphs, "recorded", lambda function, place: FakeGraph(function, notes))
    version = ["no masks"]
    step = graphs.Replayed(lambda: notes.append("call"), torch.device("cuda"), lambda: version[0])
    for _ in range(5):
        step()
    assert notes == ["call"] * 3 + ["record", "replay", "replay"]
    version[0] = "masks"
    notes.clear()
    for _ in range(5):
        step()
    assert notes == ["call"] * 3 + ["record", "replay", "replay"]


def test_log_priors_of_many_are_those_of_each() -> None:
    weights, priors = [images(3, 4, 5), images(3, 7)], [Prior(0.0, 1.0), Prior(0.3, 0.01), Prior(-1.0, 2.0)]
    each = [posterior.log_prior([weight[i] for weight in weights], prior).item() for i, prior in enumerate(priors)]
    assert posterior.log_priors(weights, priors).tolist() == each
    assert posterior.log_priors_at_once(weights, priors).tolist() == pytest.approx(each, rel=1e-14)


def test_draws_of_one_seed_are_shared_and_no_one_can_change_them() -> None:
    layers = [Layer("1.weight", torch.zeros(4, 3), seed, epoch=2) for seed in (0, 0, 1)]
    first, second, other = (layer.uniform("random pruning") for layer in layers)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    first.zero_()
    assert torch.equal(layers[0].uniform("random pruning"), second)


@pytest.fixture
def _settings_restored() -> Iterator[None]:
    yield
    device.prepare("fp32", False, torch.device("cuda"))


@pytest.mark.usefixtures("_settings_restored")
@pytest.mark.parametrize(("kind", "on"), [("tf32", True), ("fp32", False)])
def test_settings_of_a_gpu_can_be_read_back_by_every_name(kind: str, on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's older names and its newer ones. Torch refuses to read one set that differs from the other."""
    device.prepare("fp32" if on else "tf32", on, torch.device("cuda"))  # another one before
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    device.prepare(kind, not on, torch.device("cuda"))
    assert torch.backends.cuda.matmul.allow_tf32 is on
    assert torch.backends.cudnn.allow_tf32 is on
    assert torch.get_float32_matmul_precision() == ("high" if on else "highest")
    newer = [torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn]
    assert all((each.fp32_precision == "tf32") is on for each in newer)
    assert torch.backends.mkldnn.matmul.fp32_precision != "tf32"  # what a CPU computes stays as it was
    assert torch.are_deterministic_algorithms_enabled() is not on
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.backends.cudnn.deterministic is not on
    assert torch.backends.cudnn.benchmark is on  # which tries kernels by their time
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (None if on else ":4096:8")  # as PyTorch's manual asks


def test_a_second_gpu_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording, and all that names no device, goes where the run is."""
    used: list[object] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    place = device.pick("cuda:1")
    assert place == torch.device("cuda", 1)
    device.prepare("fp32", False, place)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "Stream", lambda where: where)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: used.append(stream) or nullcontext())
    graphs.recorded(lambda: None, place)
    assert used == [place, place]
    with pytest.raises(ConfigError, match="this machine has 2"):
        device.pick("cuda:2")
    with pytest.raises(ConfigError, match=r"^device=meta is not accepted: device takes auto, cpu, cuda or cuda:N"):
        device.pick("meta")


def test_a_cpu_has_one_precision_and_compiles_nothing() -> None:
    device.prepare("fp32", True, CPU)
    with pytest.raises(ConfigError, match="precision=tf32 is not accepted: precision takes only fp32 on a CPU"):
        device.prepare("tf32", False, CPU)
    with pytest.raises(ConfigError, match="compile=True is not accepted: compile takes only false on a CPU"):
        device.prepare("fp32", False, CPU, compiled=True)


def test_precision_is_part_of_what_a_run_is_unless_it_is_full() -> None:
    """Runs made before there was a choice keep their folders; test_schedules.py holds the hash of such a run."""
    assert "precision" not in run_of("precision=fp32").identity()
    assert run_of("precision=fp32").hash() != run_of("precision=tf32").hash()
