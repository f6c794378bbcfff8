"""BayesPruner in a plain PyTorch loop: the grid's decisions and masks, zeros that hold, resume, and plain zeros."""

import copy
import math
import runpy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, run_of
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, RandomSampler, TensorDataset

import bayes_pruning
from bayes_pruning import BayesPruner
from bayes_pruning.config.errors import ConfigError, UserError
from bayes_pruning.config.random_streams import data_order
from bayes_pruning.config.registry import SCHEDULES
from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.models.networks import build
from bayes_pruning.training.trainer import Trainer

CPU = torch.device("cpu")
EPOCHS = 4
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": lambda weights: torch.optim.Adam(weights, lr=1e-3, amsgrad=True),
    "AdamW": lambda weights: torch.optim.AdamW(weights, lr=1e-3),
    "RMSprop": lambda weights: torch.optim.RMSprop(weights, lr=1e-3, momentum=0.9),
    "LBFGS": lambda weights: torch.optim.LBFGS(weights, lr=0.1, max_iter=3),
}
KEPT, REGROW_NOTHING = {"regrow": False}, "protocol.regrow=false"
IMAGES = r"images torch\.float32 \[4, 8\]"
CASES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {  # as the grid and as BayesPruner are told
    "random": (("pruner=bayes_random", "seed=2"), {"selector": "random"}),
    "magnitude": (("pruner=bayes_magnitude",), {"selector": "magnitude"}),
    "classic": (("pruner=magnitude", "pruner.scope=global"), {"gate": "always", "scope": "global"}),
    "kept": (("pruner=bayes_magnitude", REGROW_NOTHING), KEPT),
    "mean": (("pruner=bayes_magnitude", "protocol.log_likelihood=mean"), {"log_likelihood": "mean"}),
    "candidate": (("pruner=bayes_random", "protocol=candidate"), {"selector": "random", "protocol": "candidate"}),
    "laplace": (("pruner=laplace_magnitude",), {"gate": "laplace_evidence", "gate_options": {"draws": 1}}),
    "snip": (
        ("pruner=magnitude", "seed=3", "pruner.selector=snip", "pruner.selector_options.examples=99", REGROW_NOTHING),
        {"selector": "snip", "selector_options": {"examples": 99}, "gate": "always", **KEPT},
    ),
    "schedule": (  # it asks for the Bayes factors of several sparsities in an epoch
        ("pruner=bayes_schedule", "pruner.schedule_options.end=4", REGROW_NOTHING),
        {"selector": "evidence", "selector_options": {"draws": 1, "reliability": 0.25}, "scope": "global"}
        | {"gate": "always", "schedule": "evidence", "schedule_options": {"start": 1, "end": 4}, **KEPT},
    ),
}


@pytest.fixture(scope="module")
def data(digits: Dataset) -> Dataset:
    """150 images: two whole batches of 64 and one of 22."""
    train, test = digits.train, digits.test
    return Dataset(Split(train.images[:150], train.labels[:150]), Split(test.images[:50], test.labels[:50]))


def batches(data: Dataset) -> list[tuple[Tensor, Tensor]]:
    train = data.train
    return list(zip(train.images.split(64), train.labels.split(64), strict=True))


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, data: Dataset, epoch: int, seed: int = 0) -> None:
    model.train()
    for batch in data_order(seed, epoch, len(data.train)).split(64):

        def closure(batch: Tensor = batch) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data.train.images[batch]), data.train.labels[batch])
            loss.backward()
            return loss

        optimizer.step(closure)


def zeros(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach() == 0 for name, weight in model.named_parameters() if weight.ndim > 1}


def linear() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    return model, torch.optim.Adam(model.parameters(), lr=0.01)


def test_the_package_has_no_name_that_it_does_not_say() -> None:
    with pytest.raises(AttributeError, match=r"^module 'bayes_pruning' has no attribute 'Prunner'$"):
        bayes_pruning.Prunner  # noqa: B018


def test_a_log_posterior_has_all_bits_under_autocast_too(data: Dataset) -> None:
    reports = []
    for enabled in (False, True):
        model, optimizer = linear()
        pruner = BayesPruner(model, batches(data), 0.5, gate="always", log_evidence="always")
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            reports.append(pruner.step(optimizer))
    assert reports[0] == reports[1]


def test_a_gradient_of_a_model_in_distributed_data_parallel_is_refused(data: Dataset) -> None:
    model, optimizer = linear()
    wrapped = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)  # needs no other process
    nn.Module.__init__(wrapped)
    wrapped.module = model
    pruner = BayesPruner(wrapped, batches(data), 0.5, selector="snip", gate="always")
    with pytest.raises(UserError, match=r"^DistributedDataParallel is not accepted .*\.module\.$"):
        pruner.step(optimizer)


@pytest.mark.parametrize("network", ["fcn", "cnn"])
@pytest.mark.parametrize("case", CASES)
def test_decisions_and_masks_are_those_of_the_grid(case: str, network: str, data: Dataset) -> None:
    """With one seed. The two differ in the last bits of a sum, so that a mask of magnitudes may differ a little."""
    overrides, arguments = CASES[case]
    small = "model.hidden=[24,16]" if network == "fcn" else "model.filters=[4,4]"
    run = run_of(f"model={network}", small, "sparsity=0.7", f"epochs={EPOCHS}", "protocol.prior.std=0.1", *overrides)
    grid = Trainer([run], data, CPU)
    model = build(run.model, data.shape, 10, run.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate, fused=True)
    told = {"epochs": EPOCHS, "seed": run.seed, "prior": {"mean": 0.0, "std": 0.1}, **arguments}
    pruner = BayesPruner(model, batches(data), 0.7, **told)
    opened = []
    for epoch in range(1, EPOCHS + 1):
        [row] = grid.run_epoch()
        train_epoch(model, optimizer, data, epoch, run.seed)
        report = pruner.step(optimizer)
        assert row is not None
        assert (report.pruned, report.sparsity) == (bool(row.pruned), row.sparsity)
        assert report.sparsity_before == pytest.approx(row.sparsity_before, abs=2e-3)
        if row.pruned and row.log_bayes_factor is not None:
            assert report.log_bayes_factor == pytest.approx(row.log_bayes_factor, rel=1e-3, abs=1e-2)
        if epoch > 1 and 0 in grid.decisions:
            assert report.tested == pytest.approx(grid.decisions[0].tested, rel=1e-3, abs=1e-2)
        opened.append(report.pruned)
        for name, mask in zeros(model).items():
            weights = grid.stack.parameters[name][0]
            assert int(((weights == 0) != mask).sum()) <= 0.002 * mask.numel(), (epoch, name)
    assert any(opened)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zeros_hold_whatever_the_optimiser_remembers(name: str, data: Dataset) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 10))
    optimizer = OPTIMIZERS[name](model.parameters())
    pruner = BayesPruner(model, batches(data), 0.8, gate="always", regrow=False)
    train_epoch(model, optimizer, data, 1)
    pruner.step(optimizer)
    held = zeros(model)
    assert {layer: int(mask.sum()) for layer, mask in held.items()} == {"1.weight": 7526, "4.weight": 96}
    before = {layer: weight.detach().clone() for layer, weight in model.named_parameters()}
    train_epoch(model, optimizer, data, 2)
    for layer, mask in held.items():
        weight = model.get_parameter(layer)
        assert (weight[mask] == 0).all()
        assert (weight != before[layer]).any()
        remembered = [kept for kept in optimizer.state[weight].values() if isinstance(kept, Tensor)]
        assert all((kept[mask] == 0).all() for kept in remembered if kept.shape == weight.shape)


def test_pruned_weights_regrow_where_the_protocol_lets_them(data: Dataset) -> None:
    model, optimizer = linear()
    pruner = BayesPruner(model, batches(data), 0.8, gate="always")
    train_epoch(model, optimizer, data, 1)
    pruner.step(optimizer)
    assert int(zeros(model)["1.weight"].sum()) == 6272
    train_epoch(model, optimizer, data, 2)
    assert int(zeros(model)["1.weight"].sum()) < 3000
    assert not pruner.masks


@pytest.mark.parametrize("name", ["Adam", "LBFGS"])
def test_training_goes_on_from_the_states_with_the_same_bits(name: str, data: Dataset) -> None:
    """LBFGS remembers directions in a form that no mask reaches: only the hook after its steps holds a weight."""
    run = run_of("model.hidden=[16]")

    def start() -> tuple[nn.Module, torch.optim.Optimizer, BayesPruner]:
        model = build(run.model, data.shape, 10, 0)
        optimizer = OPTIMIZERS[name](model.parameters())
        return model, optimizer, BayesPruner(model, batches(data), 0.7, "random", regrow=False)

    def go(model: nn.Module, optimizer: torch.optim.Optimizer, pruner: BayesPruner, epochs: range) -> list[Any]:
        reports = []
        for epoch in epochs:
            train_epoch(model, optimizer, data, epoch)
            reports.append(pruner.step(optimizer))
        return reports

    whole, cut, again = start(), start(), start()
    reports = go(*whole, range(1, 5))
    go(*cut, range(1, 3))
    model, optimizer, pruner = (copy.deepcopy(part.state_dict()) for part in cut)
    again[0].load_state_dict(model)
    again[1].load_state_dict(optimizer)
    again[2].load_state_dict(pruner, again[1])
    assert go(*again, range(3, 5)) == reports[2:]
    for one, two in zip(whole[0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(one, two)


def test_training_goes_on_from_a_state_before_the_first_pruning(data: Dataset) -> None:
    model, optimizer = linear()
    pruner = BayesPruner(model, batches(data), 0.8, gate="always", regrow=False)
    start = copy.deepcopy(model.state_dict()), pruner.state_dict()
    pruner.step(optimizer)
    model.load_state_dict(start[0])
    pruner.load_state_dict(start[1], optimizer)
    train_epoch(model, optimizer, data, 1)
    assert int(zeros(model)["1.weight"].sum()) < 3000  # nothing is held
    assert pruner.step(optimizer).epoch == 1
    train_epoch(model, optimizer, data, 2)
    assert int(zeros(model)["1.weight"].sum()) == 6272  # and now it is again


def test_a_state_of_other_layers_is_refused_and_loads_nothing(data: Dataset) -> None:
    model, optimizer = linear()
    pruner = BayesPruner(model, batches(data), 0.8, gate="always", regrow=False)
    pruner.step(optimizer)
    narrow = BayesPruner(nn.Sequential(nn.Flatten(), nn.Linear(784, 9)), batches(data), 0.8, regrow=False)
    with pytest.raises(UserError, match=r"\(10, 784\), and this pruner has 1\.weight of shape \(9, 784\):"):
        narrow.load_state_dict(pruner.state_dict())
    other = BayesPruner(nn.Linear(784, 10), batches(data), 0.8, regrow=False)
    with pytest.raises(UserError, match=r"has 1\.weight of shape \(10, 784\), and this pruner has no 1\.weight:"):
        other.load_state_dict(pruner.state_dict())
    regrowing = BayesPruner(linear()[0], batches(data), 0.8)
    with pytest.raises(UserError, match="masks that stay, and this pruner lets weights regrow: give it regrow=False"):
        regrowing.load_state_dict(pruner.state_dict())
    for state in ({}, model.state_dict(), {"epoch": 3}):
        with pytest.raises(UserError, match=r"^The state is none of a pruner: load what BayesPruner\.state_dict"):
            regrowing.load_state_dict(state)
    assert [narrow.epoch, other.epoch, regrowing.epoch] == [0, 0, 0]


def test_images_and_the_masks_of_a_state_come_to_the_device_of_the_model(data: Dataset) -> None:
    model, optimizer = linear()
    pruner = BayesPruner(model, batches(data), 0.8, gate="always", regrow=False)
    pruner.step(optimizer)
    there = BayesPruner(linear()[0].to("meta"), batches(data), 0.8, regrow=False)
    there.load_state_dict(pruner.state_dict())
    assert {tensor.device.type for tensor in (*there._images(), *there.masks.values())} == {"meta"}


def test_a_state_that_is_changed_leaves_its_pruner_as_it_was(data: Dataset) -> None:
    model, optimizer = linear()
    pruner = BayesPruner(model, batches(data), 0.8, gate="always", regrow=False)
    pruner.step(optimizer)
    pruner.state_dict()["masks"].clear()
    assert pruner.masks.keys() == {"1.weight"}


def test_a_frozen_weight_is_pruned_and_held_once_it_trains(data: Dataset) -> None:
    model, optimizer = linear()
    weight = model.get_parameter("1.weight").requires_grad_(False)
    pruner = BayesPruner(model, batches(data), 0.8, gate="always", regrow=False)
    for epoch in (1, 2):
        train_epoch(model, optimizer, data, epoch)
        assert pruner.step(optimizer).sparsity == 0.8
        pruner.load_state_dict(pruner.state_dict())
        weight.requires_grad_(True)
    assert weight.grad is not None
    train_epoch(model, optimizer, data, 3)
    pruner.step(optimizer)
    assert len(weight._backward_hooks or ()) == len(optimizer._optimizer_step_post_hooks) == 1  # however often
    assert int((weight.grad != 0).sum()) <= 1568
    assert int(zeros(model)["1.weight"].sum()) == 6272


def test_an_optimiser_of_other_weights_is_left_as_it_was(data: Dataset) -> None:
    """What it remembers is keyed by its own parameters, and its state can be saved only as long as that is so."""
    model, _ = linear()
    optimizer = torch.optim.Adam([model.get_parameter("1.bias")])
    pruner = BayesPruner(model, batches(data), 0.8, gate="always", regrow=False)
    train_epoch(model, optimizer, data, 1)
    pruner.step(optimizer)
    assert set(optimizer.state_dict()["state"]) == {0}


def test_a_new_optimiser_moves_no_held_weight_once_a_step_saw_it(data: Dataset) -> None:
    """Also where that step prunes nothing."""
    model, optimizer = linear()
    told = {"schedule": "one_shot", "schedule_options": {"epoch": 1}}
    pruner = BayesPruner(model, batches(data), 0.8, gate="always", regrow=False, **told)
    pruner.step(optimizer)
    moved = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    moved.state[model.get_parameter("1.weight")] = {"momentum_buffer": torch.ones(10, 784)}
    assert not pruner.step(moved).pruned
    train_epoch(model, moved, data, 1)
    assert int(zeros(model)["1.weight"].sum()) == 6272


def test_what_is_no_optimiser_is_named_and_prunes_nothing(data: Dataset) -> None:
    model, optimizer = linear()
    pruner = BayesPruner(model, batches(data), 0.9, **KEPT)
    scheduler: Any = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    with pytest.raises(UserError, match="step was given a StepLR: it takes the optimizer"):
        pruner.step(scheduler)
    assert not any(zero.any() for zero in zeros(model).values())


def test_finalize_leaves_plain_zeros_and_no_hook(data: Dataset) -> None:
    model, optimizer = linear()
    pruner = BayesPruner(model, batches(data), 0.5, gate="always", regrow=False)
    train_epoch(model, optimizer, data, 1)
    pruner.step(optimizer)
    weight = model.get_parameter("1.weight")
    weight.detach().add_(1)  # as an optimiser does that no step saw
    assert pruner.finalize() is model
    assert int(zeros(model)["1.weight"].sum()) == 3920
    assert not weight._backward_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert set(model.state_dict()) == {"1.weight", "1.bias"}
    train_epoch(model, optimizer, data, 2)
    assert int(zeros(model)["1.weight"].sum()) < 3920  # nothing holds them any more


def test_a_report_says_what_was_held_against_beta(data: Dataset) -> None:
    """The gate opens in the first epoch, and then sees that epoch's Bayes factor, far below beta."""
    model, optimizer = linear()
    pruner = BayesPruner(model, batches(data), 0.99)
    train_epoch(model, optimizer, data, 1)
    first = pruner.step(optimizer)
    assert first.log_posterior is not None
    assert first.log_posterior_before is not None
    assert first.log_bayes_factor == pytest.approx(first.log_posterior - first.log_posterior_before)
    assert str(first) == f"epoch 1: pruned to 0.9901, now {first.log_bayes_factor:.1f}"
    train_epoch(model, optimizer, data, 2)
    second = pruner.step(optimizer)
    if first.log_bayes_factor > first.log_beta:
        pytest.fail("the case is not what it says")
    assert second.tested == first.log_bayes_factor
    assert (second.pruned, second.log_bayes_factor) == (False, 0)
    assert f"not pruned, {second.sparsity:.4f}, log Bayes factor tested {second.tested:.1f} against -0.7" in str(second)


def test_log_posteriors_are_computed_in_every_epoch_if_asked(data: Dataset) -> None:
    model, optimizer = linear()
    asked = BayesPruner(model, batches(data), 0.5, gate="always").step(optimizer)
    always = BayesPruner(model, batches(data), 0.5, gate="never", log_evidence="always").step(optimizer)
    assert asked.log_posterior_before is None
    assert asked.log_bayes_factor is None
    assert always.log_posterior_before is not None
    assert always.log_posterior_before == always.log_posterior
    assert always.log_bayes_factor == 0
    pruned = BayesPruner(model, batches(data), 0.6, gate="always", log_evidence="always").step(optimizer)
    assert pruned.log_posterior is not None
    assert pruned.log_posterior != pruned.log_posterior_before


def test_a_candidate_that_was_not_kept_is_reported(data: Dataset) -> None:
    """What the network would have been: its posterior, and the log Bayes factor that closed the gate."""
    model, optimizer = linear()
    train_epoch(model, optimizer, data, 1)
    report = BayesPruner(model, batches(data), 0.99, decision="candidate").step(optimizer)
    assert (report.pruned, report.sparsity) == (False, report.sparsity_before)
    assert report.log_posterior is not None
    assert report.log_posterior_before is not None
    assert report.log_posterior - report.log_posterior_before == pytest.approx(report.tested)
    assert report.tested == report.log_bayes_factor
    assert report.tested is not None
    assert report.tested < report.log_beta


def test_only_the_parameters_that_are_named_are_pruned(data: Dataset) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 12), nn.ReLU(), nn.Linear(12, 10))
    pruner = BayesPruner(model, batches(data), 0.5, gate="always", prunable=["3.weight"])
    assert pruner.step(torch.optim.SGD(model.parameters(), lr=0.1)).sparsity == 0.5
    assert {name: int(mask.sum()) for name, mask in zeros(model).items()} == {"1.weight": 0, "3.weight": 60}


def test_biases_are_pruned_if_the_reading_says_so(data: Dataset) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 12), nn.ReLU(), nn.Linear(12, 10))
    pruner = BayesPruner(model, batches(data), 0.5, gate="always", protocol="with_biases")
    assert pruner.step(torch.optim.SGD(model.parameters(), lr=0.1)).sparsity == 0.5
    assert {name: int((p == 0).sum()) for name, p in model.named_parameters()} == {
        "1.weight": 4704,
        "1.bias": 6,
        "3.weight": 60,
        "3.bias": 5,
    }


def test_a_schedule_says_how_sparse_each_epoch_ends(data: Dataset) -> None:
    model, optimizer = linear()
    options = {"start": 1, "end": 3, "power": 1.0}
    told = {"gate": "always", "schedule": "gradual", "schedule_options": options, "regrow": False}
    pruner = BayesPruner(model, batches(data), 0.9, **told)
    assert [round(pruner.step(optimizer).sparsity, 3) for _ in range(4)] == [0.3, 0.6, 0.9, 0.9]
    train_epoch(model, optimizer, data, 1)
    gradient = model.get_parameter("1.weight").grad
    assert gradient is not None
    assert int((gradient != 0).sum()) <= 784  # those of all three prunings are held


def test_posteriors_are_of_the_network_in_evaluation_mode(data: Dataset) -> None:
    """Without dropout: against the loss of the module itself."""
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10))
    pruner = BayesPruner(
        model, batches(data), 0.5, gate="never", log_evidence="always", prior={"mean": 0.0, "std": 1.0}
    )
    report = pruner.step(torch.optim.SGD(model.parameters(), lr=0.1))
    loss = F.cross_entropy(model.eval()(data.train.images), data.train.labels, reduction="sum")
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(model.get_parameter("2.weight")).sum()
    assert report.log_posterior == pytest.approx(float((log_prior - loss).detach()), rel=1e-5)


def test_a_step_leaves_running_means_and_the_mode_as_they_were(data: Dataset) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 10))
    optimizer = torch.optim.Adam(model.parameters())
    pruner = BayesPruner(model, batches(data), 0.9)
    train_epoch(model, optimizer, data, 1)
    before = copy.deepcopy(dict(model.named_buffers()))
    pruner.step(optimizer)
    assert model.training
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name])
    for modes in ([True, True, True, False, True, True], [False, True, False, True, False, False]):
        for module, mode in zip(model.modules(), modes, strict=True):
            module.training = mode  # a BatchNorm that is frozen in a model that trains, and the other way round
        pruner.step(optimizer)
        assert [module.training for module in model.modules()] == modes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_resnet18_is_pruned_and_its_zeros_hold(name: str, data: Dataset) -> None:
    """The images are every fourth pixel, three times."""
    images = data.train.images[:128, :, ::4, ::4].expand(-1, 3, -1, -1)
    small = Dataset(Split(images, data.train.labels[:128]), data.test)
    model = build({"name": "resnet18", "builder": "torchvision.models.resnet18"}, (3, 7, 7), 10, 0)
    optimizer = OPTIMIZERS[name](model.parameters())
    pruner = BayesPruner(model, batches(small), 0.9, regrow=False)
    for epoch in (1, 2):
        train_epoch(model, optimizer, small, epoch)
        report = pruner.step(optimizer)
    train_epoch(model, optimizer, small, 3)
    assert report.sparsity == pytest.approx(0.9, abs=1e-4)
    for layer, weight in pruner.finalize().named_parameters():
        if weight.ndim > 1:
            assert int((weight == 0).sum()) == round(0.9 * weight.numel()), layer


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"sparsity": 1.5}, "sparsity=1.5 is not accepted"),
        ({"selector": "largest"}, "pruner.selector=largest is not accepted"),
        ({"beta": -1.0}, "protocol.beta=-1.0 is not accepted"),
        (
            {"betta": 0.5},
            "betta=0.5 is not accepted: there is no such field, BayesPruner has only beta, decision, epochs",
        ),
        ({"sparsity": "0.5"}, "sparsity='0.5' is not accepted: sparsity takes a number from 0 to 1."),
        (
            {"prunable": "1.weight"},
            "prunable=1.weight is not accepted: it takes a list of one name or more of model.named_parameters(), ",
        ),
        ({"prunable": [nn.Parameter(torch.ones(2, 2)), "1.weight"]}, "prunable=Parameter is not accepted"),
        ({"protocol": "papper"}, "protocol=papper is not accepted"),
        ({"log_evidence": "never"}, "log_evidence=never is not accepted"),
        ({"beta": np.float32(-1.0)}, "protocol.beta=-1.0 is not accepted"),
        ({"prior": 5}, "protocol.prior=5 is not accepted: protocol.prior takes the fields mean, std."),
        ({"prior": {"sd": 5}}, "protocol.prior.sd=5 is not accepted"),
        ({"prunable": ["2.weight"]}, "prunable=2.weight is not accepted"),
        ({"prunable": ()}, "prunable= is not accepted: it takes a list of one name or more"),
        ({"prunable": ["1.weight", "1.weight"]}, "prunable=1.weight, 1.weight is not accepted"),
        ({"schedule": "gradual", "schedule_options": {"start": 1, "end": 30}, "epochs": 25}, "schedule_options.end=30"),
    ],
)
def test_what_is_not_accepted_ends_in_a_sentence(arguments: dict[str, Any], sentence: str, data: Dataset) -> None:
    model, _ = linear()
    with pytest.raises((ConfigError, UserError)) as error:
        BayesPruner(model, batches(data), **{"sparsity": 0.9, **arguments})
    assert sentence in str(error.value)


def test_numbers_of_numpy_and_a_part_of_a_prior_are_accepted(data: Dataset) -> None:
    told = {"beta": np.float64(0.25), "prior": {"std": np.float64(2.0)}, "seed": np.int64(3), "epochs": np.int32(7)}
    run = BayesPruner(linear()[0], batches(data), np.float64(0.5), **told).run
    assert (run.sparsity, run.protocol.beta, run.protocol.prior.mean, run.protocol.prior.std) == (0.5, 0.25, 0, 2)
    assert [(type(value), value) for value in (run.seed, run.epochs)] == [(int, 3), (int, 7)]
    with pytest.raises(ConfigError, match=r"^seed=True is not accepted"):
        BayesPruner(linear()[0], batches(data), 0.5, seed=True)


def test_a_model_without_weights_to_prune_is_refused(data: Dataset) -> None:
    with pytest.raises(UserError, match="prunable= is not accepted"):
        BayesPruner(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784)), batches(data), 0.5)


def test_a_model_whose_layers_have_no_shapes_yet_is_refused(data: Dataset) -> None:
    """A lazy layer's weight has no dimensions, so it would never be pruned."""
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(20), nn.Linear(20, 10))
    with pytest.raises(UserError, match=r"^1\.weight has no shape yet: give the model a batch before"):
        BayesPruner(lazy, batches(data), 0.5)


def test_a_loader_that_drops_images_is_refused(data: Dataset) -> None:
    loader = DataLoader(TensorDataset(data.train.images, data.train.labels), batch_size=64, drop_last=True)
    with pytest.raises(UserError, match="drop_last=True is not accepted"):
        BayesPruner(linear()[0], loader, 0.9)
    pairs = TensorDataset(data.train.images, data.train.labels)
    drawn = BatchSampler(RandomSampler(pairs), 64, drop_last=True)
    with pytest.raises(UserError, match="drop_last=True is not accepted"):
        BayesPruner(linear()[0], DataLoader(pairs, batch_sampler=drawn), 0.9)


def test_a_part_of_the_images_in_each_process_is_refused(data: Dataset) -> None:
    """The processes would decide by different log-likelihoods, and go on with different networks."""
    pairs = TensorDataset(data.train.images, data.train.labels)
    loader = DataLoader(pairs, batch_size=64, sampler=DistributedSampler(pairs, num_replicas=2, rank=0))
    of_batches = DataLoader(pairs, batch_sampler=BatchSampler(loader.sampler, 64, drop_last=False))
    for each in (loader, of_batches):
        with pytest.raises(UserError, match="DistributedSampler is not accepted: each process decides by all images"):
            BayesPruner(linear()[0], each, 0.5)


def test_a_model_in_data_parallel_is_refused(data: Dataset) -> None:
    with pytest.raises(UserError, match=r"give BayesPruner the one inside, its \.module"):
        BayesPruner(nn.DataParallel(linear()[0]), batches(data), 0.5)


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        (lambda given: (batch for batch in given), "that ends after one pass is not accepted"),
        (lambda given: iter(given), "that ends after one pass is not accepted"),
        (lambda _: [], "without batches is not accepted"),
        (lambda given: DataLoader(TensorDataset(*(part[:0] for part in given[0]))), "without batches is not accepted"),
    ],
)
def test_a_loader_of_one_pass_or_none_is_refused(loader: Any, said: str, data: Dataset) -> None:
    """Else the second network's log-likelihood would be a sum over nothing, which is 0 nats: better than any other."""
    with pytest.raises(UserError, match=said):
        BayesPruner(linear()[0], loader(batches(data)), 0.99, decision="candidate")


@pytest.mark.parametrize("selector", ["magnitude", "random", "snip"])
@pytest.mark.parametrize(("name", "value"), [("1.weight", math.nan), ("1.weight", -math.inf), ("1.bias", math.nan)])
def test_a_network_that_has_diverged_is_named_and_not_pruned(
    name: str, value: float, selector: str, data: Dataset
) -> None:
    """Also where nothing asks for a log-likelihood."""
    model, optimizer = linear()
    model.get_parameter(name).detach().view(-1)[0] = value
    with pytest.raises(UserError, match=rf"^{name} became infinite or NaN in epoch 1: the network has diverged\.$"):
        BayesPruner(model, batches(data), 0.75, selector, "always").step(optimizer)
    assert not zeros(model)["1.weight"].any()


def test_a_network_whose_logits_are_beyond_all_numbers_has_diverged(data: Dataset) -> None:
    model, optimizer = linear()
    model.get_parameter("1.weight").detach().fill_(3e38)
    with pytest.raises(UserError, match=r"^The log-likelihood became nan in epoch 1: the network has diverged\.$"):
        BayesPruner(model, batches(data), 0.75).step(optimizer)


@pytest.mark.parametrize("passes", [(0,), (3, 0), (3, 2)])
@pytest.mark.parametrize("selector", ["magnitude", "snip"])
def test_passes_of_another_number_of_images_end_the_step_and_prune_nothing(
    selector: str, passes: tuple[int, ...], data: Dataset
) -> None:
    left = list(passes)

    class Loader:
        def __iter__(self) -> Any:
            return iter(batches(data)[: left.pop(0) if left else 3])

    model, optimizer = linear()
    pruner = BayesPruner(
        model, Loader(), 0.99, selector, "bayes_factor" if passes[1:] else "always", log_evidence="always"
    )
    gave, first = (min(150, 64 * count) for count in (passes[-1], passes[0]))
    with pytest.raises(UserError, match=f"gave {gave} images in a pass of epoch 1 and {first} in the first pass"):
        pruner.step(optimizer)
    assert not zeros(model)["1.weight"].any()


@pytest.mark.slow  # it reads 5,000 digits from text
def test_the_example_runs_and_is_short(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It trains in training mode, in batches of 64, and decides and tests in evaluation mode, in batches of 1000."""
    seen = set()
    dropout = nn.Dropout.forward

    def noted(layer: nn.Dropout, x: Tensor) -> Tensor:
        seen.add((layer.training, len(x)))
        return dropout(layer, x)

    monkeypatch.setattr(nn.Dropout, "forward", noted)
    path = ROOT / "examples" / "own_loop.py"
    assert len(path.read_text().splitlines()) < 60
    with torch.random.fork_rng():
        runpy.run_path(str(path))["main"](epochs=2)
    printed = capsys.readouterr().out.splitlines()
    assert seen == {(True, 64), (True, 4000 % 64), (False, 1000)}
    assert printed[0].startswith("epoch 1: pruned to 0.9")
    assert printed[-1] == f"{round(0.9 * 784 * 256) + round(0.9 * 2560)} of {784 * 256 + 2560} weights are zero"


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (
            {"images": torch.zeros(4, 8), "labels": torch.zeros(4).long()},
            "a dict with no tensor of images and no tensor of labels",
        ),
        ([torch.zeros(4, 8)], "a list with no tensor of images and no tensor of labels"),
        ((torch.zeros(4, 8), torch.zeros(4)), rf"a tuple with {IMAGES} and labels torch\.float32 \[4\]"),
        ((torch.zeros(4, 8), torch.zeros(4, 3).long()), rf"a tuple with {IMAGES} and labels torch\.int64 \[4, 3\]"),
        ((torch.zeros(4, 8), torch.zeros(1).long()), rf"a tuple with {IMAGES} and labels torch\.int64 \[1\]"),
        ((torch.zeros(4, 8), torch.zeros(4).byte()), rf"a tuple with {IMAGES} and labels torch\.uint8 \[4\]"),
        ((np.zeros((4, 8)), torch.zeros(4).long()), r"a tuple with no tensor of images and labels torch\.int64 \[4\]"),
    ],
)
def test_a_batch_that_is_no_pair_of_images_and_labels_is_named(batch: Any, said: str) -> None:
    model = nn.Linear(8, 3)
    pruner = BayesPruner(model, [batch], 0.5)
    accepted = r"pairs of images \[batch, \.\.\.\] and int64 labels \[batch\]\."
    with pytest.raises(UserError, match=rf"^The train_loader gave {said}: it takes {accepted}$"):
        pruner.step(torch.optim.SGD(model.parameters()))


@pytest.mark.parametrize(
    ("head", "said"), [(nn.LSTM(8, 3), "a tuple"), (nn.Unflatten(1, (4, 2)), r"a tensor \[5, 4, 2\]")]
)
def test_an_output_that_is_no_logits_is_named(head: nn.Module, said: str) -> None:
    model = nn.Sequential(nn.Linear(8, 8), head)
    pruner = BayesPruner(model, [(torch.zeros(5, 8), torch.zeros(5).long())], 0.5)
    with pytest.raises(UserError, match=rf"^The model gave {said}: its output has to be logits \[batch, classes\]\.$"):
        pruner.step(torch.optim.SGD(model.parameters()))


@pytest.mark.parametrize("label", [-100, 3])
def test_a_label_that_has_no_logit_is_named(label: int) -> None:
    model, own = nn.Linear(8, 3), torch.Generator().manual_seed(1)
    pairs = TensorDataset(torch.zeros(4, 8), torch.tensor([0, 2, label, 1]))
    pruner = BayesPruner(model, DataLoader(pairs, batch_size=4, shuffle=True, generator=own), 0.5)
    before = torch.get_rng_state(), own.get_state()
    said = rf"gave the label {label}: it takes labels from 0 to 2, as the model gives 3 logits\.$"
    with pytest.raises(UserError, match=said) as error:
        pruner.step(torch.optim.SGD(model.parameters()))
    assert (pruner.epoch, pruner.known) == (0, None)  # the step that was refused is none
    assert all(map(torch.equal, (torch.get_rng_state(), own.get_state()), before))
    assert error.tb  # which keeps what was at work, as a notebook does after an error


def test_a_step_that_is_interrupted_is_none() -> None:
    class Loader:
        def __iter__(self) -> Any:
            raise KeyboardInterrupt

    model = nn.Linear(8, 3)
    pruner = BayesPruner(model, Loader(), 0.5)
    with pytest.raises(KeyboardInterrupt):
        pruner.step(torch.optim.SGD(model.parameters()))
    assert pruner.epoch == 0


@pytest.mark.parametrize("own", ["torch's", "the loader's", "the sampler's", "shared by two loaders", "of its batches"])
def test_what_a_pruner_asks_for_changes_no_batch_of_the_training(own: str) -> None:
    """Nothing is pruned, and more or fewer passes of the loader are needed: batches are shuffled in the same order."""
    images = torch.arange(60.0).view(60, 1)

    def order(**told: Any) -> list[float]:
        torch.manual_seed(0)
        generator = None if own == "torch's" else torch.Generator().manual_seed(1)
        pairs = TensorDataset(images, torch.zeros(60).long())
        if own == "of its batches":
            drawn = BatchSampler(RandomSampler(pairs, generator=generator), 20, drop_last=False)
            loader = DataLoader(pairs, batch_sampler=drawn)
        elif own == "the sampler's":
            loader = DataLoader(pairs, batch_size=20, sampler=RandomSampler(pairs, generator=generator))
        else:
            loader = DataLoader(pairs, batch_size=20, shuffle=True, generator=generator)
        model = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 2))
        asked = DataLoader(pairs, batch_size=20, generator=generator) if own == "shared by two loaders" else loader
        pruner, seen = BayesPruner(model, asked, 0.0, **told), []
        for _ in range(3):
            seen += [float(value) for batch, _ in loader for value in batch]
            pruner.step(torch.optim.SGD(model.parameters()))
        return seen

    plain = order(gate="always")
    assert plain[:60] != plain[60:120] != plain[120:]
    assert order(gate="always", log_evidence="always") == order(gate="bayes_factor") == plain
    assert order(gate="laplace_evidence", decision="candidate") == plain


def test_a_held_weight_stays_held_though_a_layer_is_asked_for_fewer(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A schedule that asks for the zeros there are: rounded in each layer that can be one fewer than it holds."""
    monkeypatch.setitem(SCHEDULES.functions, "hold", lambda plan: plan.sparsity if plan.epoch == 1 else 0.1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10))
    optimizer = torch.optim.Adam(model.parameters())
    pruner = BayesPruner(model, batches(data), 0.5, gate="always", schedule="hold", regrow=False)
    train_epoch(model, optimizer, data, 1)
    pruner.step(optimizer)
    held = {name: mask.clone() for name, mask in pruner.masks.items()}
    for epoch in (2, 3):
        train_epoch(model, optimizer, data, epoch)
        assert pruner.step(optimizer).sparsity == 0.5
        assert all(torch.equal(mask, held[name]) for name, mask in pruner.masks.items())


@pytest.mark.parametrize("told", [{"selector": "evidence", "gate": "always"}, {"gate": "laplace_evidence"}])
def test_a_network_that_reads_words_is_pruned_by_its_fisher_information_too(told: dict[str, Any]) -> None:
    words = torch.randint(0, 20, (30, 5), generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Embedding(20, 6), nn.Flatten(), nn.Linear(30, 3))
    report = BayesPruner(model, [(words, torch.arange(30) % 3)], 0.5, **told).step(torch.optim.SGD(model.parameters()))
    assert report.sparsity == 0.5


@pytest.mark.parametrize("told", [{"selector": "snip"}, {"gate": "laplace_evidence"}])
def test_words_that_each_batch_pads_to_another_length_are_named(told: dict[str, Any]) -> None:
    """The likelihood is had of each batch by itself; all images at once are not."""
    model = nn.Sequential(nn.Embedding(20, 6), nn.AdaptiveMaxPool2d((1, 6)), nn.Flatten(), nn.Linear(6, 3))
    lengths = torch.ones(4)  # a batch may have more than images and labels
    loader = [(torch.ones(4, length, dtype=torch.int64), torch.arange(4) % 3, lengths) for length in (5, 7)]
    optimizer = torch.optim.SGD(model.parameters())
    assert BayesPruner(model, loader, 0.5).step(optimizer).pruned
    with pytest.raises(UserError, match=r"gave images of shapes \(5,\) and \(7,\): what asks for a gradient or"):
        BayesPruner(model, loader, 0.5, **told).step(optimizer)


class Remembers(nn.Module):
    """A network that keeps its hidden state and counts its calls, as one does that is looked at after a call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.first, self.last = nn.Linear(8, 6), nn.Linear(6, 3)
        self.hidden: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("calls").add_(1)
        self.hidden = self.first(x).relu()
        return self.last(self.hidden)  # type: ignore[no-any-return]


def test_a_network_that_keeps_what_it_computed_gives_its_gradient(data: Dataset) -> None:
    torch.manual_seed(0)
    model, x, labels = Remembers(), torch.randn(30, 8), torch.arange(30) % 3
    F.cross_entropy(model(x), labels).backward()
    pruner = BayesPruner(model, [(x, labels)], 0.5, selector="snip")
    assert pruner.step(torch.optim.SGD(model.parameters())).sparsity == 0.5
    assert model.calls == 1  # that of the training
