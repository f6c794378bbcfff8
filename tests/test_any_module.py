"""Modules that are no plain sequence of layers: BatchNorm's buffers, dropout, ResNet-18."""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import QUIET, run_of
from faults.contents import contents
from torch import Tensor, nn
from torch.func import functional_call

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.random_streams import data_order
from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.engine import device
from bayes_pruning.engine.capacity import footprint
from bayes_pruning.engine.layers import WholeModel
from bayes_pruning.engine.stack import Stack
from bayes_pruning.models.networks import build, prunable
from bayes_pruning.pruning import laplace
from bayes_pruning.pruning.selectors import Layer
from bayes_pruning.training.trainer import Trainer

CPU = torch.device("cpu")
Command = Callable[..., tuple[Any, str]]


class Normalised(nn.Module):
    """A network with what a plain sequence lacks: running means, a draw in each step, a way around a layer."""

    def __init__(self, num_classes: int, hidden: list[int], rate: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(784, hidden[0])
        self.norm = nn.BatchNorm1d(hidden[0])
        self.second = nn.Linear(hidden[0], hidden[0])
        self.out = nn.Linear(hidden[0], num_classes)
        self.rate = rate

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.norm(self.first(images.flatten(1)).relu())
        return self.out(hidden + F.dropout(self.second(hidden), self.rate, self.training))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def data(digits: Dataset) -> Dataset:
    """150 images: two whole batches of 64 and one of 22."""
    train, test = digits.train, digits.test
    return Dataset(Split(train.images[:150], train.labels[:150]), Split(test.images[:50], test.labels[:50]))


class Tied(nn.Module):
    """A network that goes through one matrix twice, by two names."""

    def __init__(self, num_classes: int, hidden: list[int]) -> None:
        super().__init__()
        [width] = hidden
        self.first, self.inner, self.again = nn.Linear(784, width), nn.Linear(width, width), nn.Linear(width, width)
        self.again.weight = self.inner.weight
        self.out = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.inner(self.first(images.flatten(1)).relu()).relu()
        return self.out(self.again(hidden).relu())  # type: ignore[no-any-return]


class Frozen(nn.Module):
    """A network that trains neither its first layer, whose weights are frozen, nor one that it does not call."""

    def __init__(self, num_classes: int, hidden: list[int]) -> None:
        super().__init__()
        [width] = hidden
        self.first, self.unused = nn.Linear(784, width).requires_grad_(False), nn.Linear(width, width)
        self.out = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.first(images.flatten(1)).relu())  # type: ignore[no-any-return]


def frozen_sequence(shape: tuple[int, ...], classes: int, hidden: list[int]) -> nn.Module:
    network = build({"name": "fcn", "builder": "fcn", "hidden": hidden}, shape, classes, 0)
    network.get_parameter("1.weight").requires_grad_(False)
    return network


def of_module(kind: Callable[..., nn.Module], *overrides: str) -> Any:
    return run_of("model.name=own", f"model.builder={__name__}.{kind.__name__}", "model.hidden=[16]", *overrides)


def trained_by_pytorch(run: Any, data: Dataset) -> nn.Module:
    """Return the run's network after an epoch of a loop of PyTorch's own."""
    model = build(run.model, data.shape, 10, run.seed)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=run.learning_rate)
    for batch in data_order(run.seed, 1, len(data.train)).split(run.batch_size):
        optimizer.zero_grad()
        F.cross_entropy(model(data.train.images[batch]), data.train.labels[batch]).backward()
        optimizer.step()
    return model


def normalised(*overrides: str, rate: float = 0.0) -> Any:
    model = (
        "model.name=normalised",
        f"model.builder={__name__}.Normalised",
        "model.hidden=[16]",
        f"+model.rate={rate}",
    )
    return run_of(*model, "epochs=3", *overrides)


def state(trainer: Trainer, member: int = 0) -> dict[str, Tensor]:
    found = trainer.stack.state(member)
    return {name: tensor.detach().clone() for name, tensor in (found["parameters"] | found["buffers"]).items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_where_a_stack_keeps_a_module() -> None:
    """All on its device, buffers too; whoever takes turns has parameters of its own to step with."""
    for where in ("meta", "cpu"):
        stack = Stack([Normalised(10, [4]) for _ in range(2)], 0.001, torch.device(where))
        assert {tensor.device.type for tensor in (stack.parameters | stack.buffers).values()} == {where}
        assert {step.device.type for steps in stack.optimizer.steps for step in steps} == {where}
        assert len(stack.alone) == 2
    plain = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert not Stack([plain, plain], 0.001, torch.device("meta")).alone


def test_batchnorm_trains_as_in_a_loop_of_pytorchs_own(data: Dataset) -> None:
    """Running means included, and the accuracy is that of the module in evaluation mode."""
    run = normalised("pruner=none")
    trainer = Trainer([run], data, CPU)
    model = build(run.model, data.shape, 10, run.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate)
    for epoch in (1, 2):
        [row] = trainer.run_epoch()
        order = data_order(run.seed, epoch, len(data.train))
        model.train()
        for batch in order.split(run.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(data.train.images[batch]), data.train.labels[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            correct = (model(data.test.images).argmax(1) == data.test.labels).double().mean()
        assert row is not None
        assert row.test_accuracy == pytest.approx(float(correct))
    found = state(trainer)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)
    assert found["norm.num_batches_tracked"] == 6


def test_a_parameter_with_two_names_is_one(data: Dataset) -> None:
    """Its weights after an epoch, and the gradient that SNIP takes of them, are those of the module by itself."""
    trainer = Trainer([run := of_module(Tied, "pruner=none")], data, CPU)
    trainer.run_epoch()
    assert trainer.prunable == ["first.weight", "inner.weight", "out.weight"]
    model, found = trained_by_pytorch(run, data), state(trainer)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.detach(), rtol=1e-4, atol=1e-6)
    model.zero_grad()
    F.cross_entropy(model(data.train.images), data.train.labels).backward()
    for name, gradient in trainer.network(0).gradient().items():
        torch.testing.assert_close(gradient, model.get_parameter(name).grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("pruner", ["pruner=none", "pruner=magnitude"])
@pytest.mark.parametrize("kind", [Frozen, frozen_sequence])
def test_what_is_frozen_is_pruned_and_not_trained(kind: Any, pruner: str, data: Dataset) -> None:
    """As in a loop of PyTorch's own; a layer that is not called stays as it is too. Both go on from a state."""
    run = of_module(kind, pruner, "sparsity=0.5", "protocol.regrow=false")
    model = build(run.model, data.shape, 10, run.seed)
    whole, second = Trainer([run, run], data, CPU), Trainer([run], data, CPU)
    for _ in range(2):
        [row, _] = whole.run_epoch()
        assert row is not None
        assert row.sparsity == pytest.approx(0.5 if pruner == "pruner=magnitude" else 0, abs=1e-3)
        if whole.epoch == 1:
            second.load_state(0, copy.deepcopy(whole.state(1)))
    second.run_epoch()
    found = state(whole)
    assert_same(found, state(second))
    for name, parameter in model.named_parameters():
        kept = found[name] != 0 if parameter.ndim > 1 else torch.ones_like(parameter, dtype=torch.bool)
        stays = not parameter.requires_grad or name.startswith("unused")
        assert torch.equal(found[name][kept], parameter[kept]) == stays, name


@pytest.mark.parametrize("kind", [Frozen, frozen_sequence])
def test_what_is_not_frozen_trains_as_in_a_loop_of_pytorchs_own(kind: Any, data: Dataset) -> None:
    trainer = Trainer([run := of_module(kind, "pruner=none")], data, CPU)
    trainer.run_epoch()
    model = trained_by_pytorch(run, data)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(state(trainer)[name], parameter.detach(), rtol=1e-4, atol=1e-6)
    snip = trainer.network(0).gradient()
    assert all(bool(snip[name].any()) != name.startswith("unused") for name in trainer.prunable)


def test_a_network_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(ConfigError, match="a network with parameters to train"):
        build({"name": "all", "builder": f"{__name__}.all_frozen"}, (1, 28, 28), 10, seed=0)


def all_frozen(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, classes)).requires_grad_(False)


def test_members_of_a_stack_are_what_they_are_alone(data: Dataset) -> None:
    runs = [normalised(f"seed={seed}", "pruner=bayes_random", "sparsity=0.5", rate=0.3) for seed in (0, 1, 0)]
    runs[2] = normalised("seed=0", "pruner=magnitude", "sparsity=0.9", rate=0.3)
    together = Trainer(runs, data, CPU)
    for _ in range(2):
        together.run_epoch()
    for member, run in enumerate(runs):
        alone = Trainer([run], data, CPU)
        for _ in range(2):
            alone.run_epoch()
        assert_same(state(together, member), state(alone))


def test_dropout_draws_from_the_runs_stream_and_from_nothing_else(data: Dataset) -> None:
    """The same seed draws the same, whatever was drawn before; another seed does not; training draws at all."""

    def weights(seed: int, rate: float, noise: int) -> dict[str, Tensor]:
        torch.manual_seed(noise)
        trainer = Trainer([normalised(f"seed={seed}", "pruner=none", rate=rate)], data, CPU)
        before = torch.get_rng_state()
        trainer.run_epoch()
        assert torch.equal(torch.get_rng_state(), before)
        return state(trainer)

    assert_same(weights(0, 0.5, noise=1), weights(0, 0.5, noise=2))
    assert not torch.equal(weights(0, 0.5, 1)["out.weight"], weights(0, 0.0, 1)["out.weight"])


def test_dropout_is_another_one_in_each_epoch_and_turn(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []

    def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
        if training:
            drawn.append(torch.rand(4))
        return x

    monkeypatch.setattr(F, "dropout", dropout)
    monkeypatch.setattr("bayes_pruning.training.trainer.TURN", 1)
    trainer = Trainer([normalised("pruner=none")], data, CPU)
    trainer.run_epoch()
    trainer.run_epoch()
    assert len({tuple(draw.tolist()) for draw in drawn}) == len(drawn) == 6


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_goes_on_from_its_state_with_the_same_bits(epochs: int, data: Dataset) -> None:
    run = normalised("pruner=bayes_magnitude", "sparsity=0.7", "protocol.regrow=false", rate=0.3)
    whole, first, second = (Trainer([run], data, CPU) for _ in range(3))
    for _ in range(3):
        whole.run_epoch()
    for _ in range(epochs):
        first.run_epoch()
    second.load_state(0, copy.deepcopy(first.state(0)))
    for _ in range(3 - epochs):
        second.run_epoch()
    assert_same(state(whole), state(second))


def test_each_thread_calls_a_module_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call puts its tensors into the module for its time: two threads would see each other's."""
    monkeypatch.setattr(device, "cores", lambda: 4)
    whole = WholeModel(nn.Sequential(nn.Linear(300, 300), nn.Identity()))
    x = torch.ones(200, 300)

    def answer(value: int) -> bool:
        own = (torch.full((300, 300), float(value)), torch.zeros(300))
        return bool((whole(x, *own) == 300 * value).all())

    assert all(device.on_all_cores(answer, range(200)))


def test_a_networks_snip_saliency_passes_batchnorm(data: Dataset) -> None:
    """Against autograd through the module itself, in evaluation mode; the running means stay as they are."""
    run = normalised("pruner=none")
    trainer = Trainer([run], data, CPU)
    trainer.run_epoch()
    before = state(trainer)
    found = trainer.network(0).gradient()
    assert_same(state(trainer), before)
    model = build(run.model, data.shape, 10, run.seed)
    model.load_state_dict(before)
    F.cross_entropy(model.eval()(data.train.images), data.train.labels).backward()
    for name in prunable(model):
        torch.testing.assert_close(found[name], model.get_parameter(name).grad, rtol=1e-4, atol=1e-6)


def by_its_own_call(layer: Layer) -> Tensor:
    """Scores of a user's own, who calls the network on an image."""
    assert layer.network is not None
    own = {name: each.clone() for name, each in layer.network.parameters.items()}
    images, _ = layer.network.load()
    return layer.weight * functional_call(layer.network.model, own, (images[:1],)).sum()


def test_a_selectors_own_call_is_of_the_network_that_is_evaluated(data: Dataset) -> None:
    """It normalises one image by the running means, which stay as they are, and dropout draws nothing."""
    own = "pruner=magnitude", f"pruner.selector={__name__}.by_its_own_call"
    trainer, drawn = Trainer([normalised(*own, rate=0.3)], data, CPU), torch.get_rng_state()
    [row] = trainer.run_epoch()
    assert row is not None
    assert row.pruned == 1
    assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize("pruner", ["pruner=laplace_magnitude", "pruner.selector=evidence"])
def test_the_fisher_information_is_of_the_network_that_is_evaluated(pruner: str, data: Dataset) -> None:
    """BatchNorm by its running means, dropout draws nothing: the squared gradients of one image, by autograd."""
    trainer = Trainer([normalised(pruner, "sparsity=0.5", rate=0.3)], data, CPU)
    [row] = trainer.run_epoch()
    assert row is not None
    assert row.sparsity == pytest.approx(0.5, abs=1e-3)
    network = trainer.network(0)
    network.model.train()  # whatever its mode is
    training = [module.training for module in trainer.stack.model.modules()]
    found = laplace.fisher_diagonal(network.model, network.parameters, data.train.images[:1], network.prunable)
    assert training == [module.training for module in trainer.stack.model.modules()]
    model = copy.deepcopy(network.model).eval()
    model.load_state_dict(network.parameters)
    logits = model(data.train.images[:1])
    for name in network.prunable:
        expected = torch.zeros_like(found[name])
        for probability, score in zip(logits.softmax(1)[0], logits.log_softmax(1)[0], strict=True):
            [gradient] = torch.autograd.grad(score, model.get_parameter(name), retain_graph=True)
            expected += probability.double() * gradient.double().square()
        torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=1e-8)


@pytest.fixture
def _few(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few digits of every fourth pixel."""
    train, test = (
        Split(split.images[:24, :, ::4, ::4].contiguous(), split.labels[:24]) for split in (data.train, data.test)
    )
    monkeypatch.setattr("bayes_pruning.data.datasets.load", lambda *_: Dataset(train, test))


@pytest.mark.slow
@pytest.mark.usefixtures("_few")
def test_resnet18_trains_prunes_and_resumes_to_the_same_bits(command: Command, tmp_path: Path) -> None:
    """In one process, stopped after its first epoch; BatchNorm is not pruned."""
    small = ("epochs=2", "batch_size=12", "dataset=mnist_5k", *QUIET)
    run = ("model=resnet18", "pruner=magnitude", "sparsity=0.9", *small)
    for folder, more in (("whole", ()), ("cut", ("max_minutes=1e-9",)), ("cut", ())):
        code, printed = command(*run, *more, f"output_dir={tmp_path / folder}")
        assert not code, printed
    assert contents(tmp_path / "whole") == contents(tmp_path / "cut")
    [weights] = tmp_path.glob("whole/*/weights.safetensors")
    from safetensors.torch import load_file

    tensors = load_file(weights)
    assert tensors["bn1.running_mean"].abs().sum() > 0
    for name, tensor in tensors.items():
        if tensor.ndim >= 2:
            assert int((tensor == 0).sum()) == round(0.9 * tensor.numel()), name
        elif "bn" in name and name.endswith("weight"):
            assert (tensor != 0).all()


def half_frozen(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A network whose norm stays in evaluation mode, as in fine-tuning."""
    network = Normalised(classes, [4])
    network.norm.eval()
    return network


def test_a_look_at_a_network_leaves_each_module_in_its_mode() -> None:
    network = build({"name": "half", "builder": f"{__name__}.half_frozen"}, (1, 28, 28), 10, seed=0)
    assert {name for name, module in network.named_modules() if not module.training} == {"norm"}
    footprint(network, (1, 28, 28))
    assert {name for name, module in network.named_modules() if not module.training} == {"norm"}
    with pytest.raises(RuntimeError):
        footprint(network, (1, 9, 9))
    assert {name for name, module in network.named_modules() if not module.training} == {"norm"}


def test_torchvisions_own_builder_works_by_its_dotted_path() -> None:
    settings = {"name": "tv", "builder": "torchvision.models.resnet18"}
    network = build(settings, (3, 32, 32), 10, seed=0)
    assert network.fc.out_features == 10
    with pytest.raises(ConfigError, match=r"a network for images of shape \(1, 28, 28\)"):
        build(settings, (1, 28, 28), 10, seed=0)
    with pytest.raises(ConfigError, match="the settings of torchvision"):
        build({**settings, "depth": 3}, (3, 32, 32), 10, seed=0)


def test_the_stem_of_resnet18_is_one_convolution_and_begins_as_torchvisions_do() -> None:
    """He et al. (2015), by the numbers that go out: normal, of variance 2 / (64 filters of 3 x 3 weights)."""
    network = build({"name": "resnet18", "builder": "resnet18"}, (1, 28, 28), 10, seed=0)
    stem, inner = network.conv1.weight, network.layer1[0].conv1.weight
    assert stem.shape == (64, 1, 3, 3)
    assert (network.conv1.stride, network.conv1.bias) == ((1, 1), None)
    for weight in (stem, inner):
        assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)
        assert weight.abs().max() > 2.5 * weight.std()  # PyTorch's own default is uniform, with no weight above 1.8
    assert isinstance(network.maxpool, nn.Identity)


def test_a_network_without_logits_for_each_class_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"10 logits an image \(this gives \(784,\)\)"):
        build({"name": "flat", "builder": f"{__name__}.flat"}, (1, 28, 28), 10, seed=0)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("paired", r"a network with 10 logits an image \(this gives a tuple\)"),
        ("weightless", r"a network with weights to prune \(none of its parameters has two dimensions or more\)"),
        ("narrow", r"a network without empty layers \(its 1\.weight has no elements\)"),
        (
            "still",
            r"a network whose parameters have no hooks \(its 1\.weight has one, which its copy .* lacks\)",
        ),
        ("impossible", r"the settings of .*impossible \(Trying to create tensor with negative dimension"),
    ],
)
def test_a_network_that_can_not_be_pruned_or_built_is_refused(kind: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model=.* is not accepted: model takes {said}"):
        build({"name": kind, "builder": f"{__name__}.{kind}"}, (1, 28, 28), 10, seed=0)


class Paired(nn.Sequential):
    def forward(self, images: Tensor) -> Any:
        return super().forward(images), images


def paired(shape: tuple[int, ...], classes: int) -> nn.Module:
    return Paired(nn.Flatten(), nn.Linear(784, classes))


class Weightless(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, : len(self.bias)] + self.bias


def weightless(shape: tuple[int, ...], classes: int) -> nn.Module:
    return Weightless(classes)


def narrow(shape: tuple[int, ...], classes: int) -> nn.Module:
    with warnings.catch_warnings(action="ignore"):  # PyTorch's own, of tensors without elements
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 0), nn.Linear(0, classes))


def still(shape: tuple[int, ...], classes: int) -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, classes))
    network[1].weight.register_hook(torch.zeros_like)
    return network


def impossible(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Linear(784, -3)


def lazy(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))


def test_lazy_layers_begin_with_the_weights_of_their_seed() -> None:
    """They draw them in their first call, which is in the stream of initial weights too."""
    first, again, other = (
        build({"name": "lazy", "builder": f"{__name__}.lazy"}, (1, 28, 28), 10, seed).get_parameter("1.weight")
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_builder_that_returns_no_module_is_named() -> None:
    builder = f"{__name__}.forgetful"
    with pytest.raises(ConfigError, match=rf"^model\.builder={builder} .* an nn\.Module \(this returns a NoneType\)"):
        build({"name": "none", "builder": builder}, (1, 28, 28), 10, seed=0)


class Remembers(nn.Module):
    """A network that keeps its hidden state on itself, where a gradient hangs on it."""

    def __init__(self, num_classes: int, hidden: list[int]) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(784, hidden[0]), nn.Linear(hidden[0], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        self.hidden = self.first(images.flatten(1)).relu()
        return self.out(self.hidden)  # type: ignore[no-any-return]


def weight_normed(shape: tuple[int, ...], classes: int, hidden: list[int]) -> nn.Module:
    """Old style: its weight is computed in each call, and kept as a plain attribute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        first = nn.utils.weight_norm(nn.Linear(784, hidden[0]))
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(hidden[0], classes))


def hooked(shape: tuple[int, ...], classes: int, hidden: list[int]) -> nn.Module:
    """A plain sequence to look at, whose hidden units a hook halves."""
    network = build({"name": "fcn", "builder": "fcn", "hidden": hidden}, shape, classes, 0)
    network.get_submodule("1").register_forward_hook(lambda layer, seen, out: out / 2)
    return network


@pytest.mark.parametrize("kind", [Remembers, weight_normed, hooked])
def test_what_a_module_does_beside_its_layers_is_trained_too(kind: Any, data: Dataset) -> None:
    """As in a loop of PyTorch's own: what it keeps of a call, computes before it or changes after it."""
    run = of_module(kind, "pruner=magnitude", "pruner.selector=snip")
    trainer = Trainer([run], data, CPU)
    trainer.run_epoch()
    trained = Trainer([of_module(kind, "pruner=none")], data, CPU)
    trained.run_epoch()
    for name, weight in trained_by_pytorch(run, data).state_dict().items():
        torch.testing.assert_close(state(trained)[name], weight, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("norm", "direction"),
    [
        (nn.utils.weight_norm, "0.weight_v"),
        (nn.utils.parametrizations.weight_norm, "0.parametrizations.weight.original1"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_the_lengths_of_weight_norm_are_not_pruned(norm: Any, direction: str) -> None:
    """A row of zeros for each of them would be more zeros than are asked for."""
    network = nn.Sequential(norm(nn.Linear(3, 2)), nn.Linear(2, 2))
    assert prunable(network) == [direction, "1.weight"]


def forgetful(shape: tuple[int, ...], classes: int) -> None: ...


def flat(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Flatten()
