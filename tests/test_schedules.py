"""Schedules, scopes and saliencies of pruning with kept masks: exact counts, published formulas, zeros that stay."""

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import choose_reliability
import pytest
import torch
from conftest import composed, run_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.random_streams import generator
from bayes_pruning.config.schema import run_config
from bayes_pruning.data.datasets import Dataset
from bayes_pruning.models import networks
from bayes_pruning.pruning import laplace
from bayes_pruning.pruning.masks import masks, pruned_count
from bayes_pruning.pruning.network import Network
from bayes_pruning.pruning.schedules import Plan, evidence, gradual, iterative, one_shot
from bayes_pruning.pruning.selectors import Layer, snip
from bayes_pruning.pruning.selectors import evidence as evidence_saliency
from bayes_pruning.training.trainer import Trainer

CPU = torch.device("cpu")
SCHEDULED = ("gradual", "gradual_global", "gradual_snip", "gradual_evidence", "one_shot", "iterative", "bayes_schedule")
SHORT = {  # so that each is at its sparsity after 3 epochs of 4
    "one_shot": ("pruner.schedule_options.epoch=3",),
    "iterative": tuple(f"pruner.schedule_options.{k}={v}" for k, v in {"start": 1, "every": 1, "steps": 3}.items()),
}


def plan(epoch: int, sparsity: float = 0.9, current: float = 0.0, factor: Any = None, epochs: int = 25) -> Plan:
    return Plan(epoch, epochs, sparsity, current, math.log(0.5), factor or (lambda _: -math.inf))


def network_of(data: Dataset) -> Network:
    """The network of seed 3, after epoch 2."""
    model = networks.build(run_of().model, data.shape, 10, 3)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    train, prunable = data.train, tuple(networks.prunable(model))
    return Network(model, parameters, prunable, lambda: (train.images, train.labels), 3, 2)


@pytest.mark.parametrize("pruner", SCHEDULED)
def test_masks_are_kept_and_the_count_is_exact_at_the_end(pruner: str, few_digits: Dataset) -> None:
    more = SHORT.get(pruner, ("pruner.schedule_options.end=3",))
    run = run_of(f"pruner={pruner}", "sparsity=0.97", "epochs=4", *more)  # with protocol.regrow: true
    trainer = Trainer([run], few_digits, CPU)
    rows, zeros = [], []
    for _ in range(4):
        rows += trainer.run_epoch()
        weights = {name: trainer.stack.parameters[name].detach()[0].clone() for name in trainer.prunable}
        zeros.append({name: weight == 0 for name, weight in weights.items()})
    for earlier, later in pairwise(zeros):
        assert all(bool((later[name] | ~mask).all()) for name, mask in earlier.items())
    final = zeros[-1]
    if run.pruner.scope == "layer":
        assert all(int(mask.sum()) == round(0.97 * mask.numel()) for mask in final.values())
    assert sum(int(mask.sum()) for mask in final.values()) == pytest.approx(0.97 * trainer.weights, abs=2)
    assert rows[-1].sparsity_before == rows[-1].sparsity == rows[-2].sparsity  # the last epoch recovers
    assert rows[-1].pruned == 0
    assert rows[-1].test_accuracy == rows[-1].pruned_test_accuracy


@pytest.mark.parametrize("selector", ["snip", "evidence"])
def test_zeros_go_before_weights_that_have_no_influence(selector: str, few_digits: Dataset) -> None:
    """Both have the score 0; were the others taken first, weights with a kept mask would be set free."""
    network = network_of(few_digits)
    weight = network.parameters["1.weight"]
    network.parameters["1.bias"][:50] = -100  # dead units
    influence = network.fisher(draws=1)["1.weight"] != 0
    assert not influence[:50].any()
    zeros = influence & (torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.1)
    weight[zeros] = 0
    total = sum(network.parameters[name].numel() for name in network.prunable)
    run = run_of("pruner=gradual_snip", f"pruner.selector={selector}")
    keep = masks(run, network, (int(zeros.sum()) + 10) / total)["1.weight"]
    assert not keep[zeros].any()
    assert int((~keep).sum()) == int(zeros.sum()) + 10


def test_gradual_is_the_cubic_of_zhu_and_gupta() -> None:
    """s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3, s_i = 0, with t_0 the epoch before the first pruning."""
    for start, end in ((1, 20), (5, 12), (3, 3)):
        for epoch in range(1, 26):
            found = gradual(plan(epoch), start=start, end=end)
            if start <= epoch <= end:
                progress = (epoch - (start - 1)) / (end - (start - 1))
                assert found == pytest.approx(0.9 + (0 - 0.9) * (1 - progress) ** 3)
            else:
                assert found is None
        assert gradual(plan(end), start=start, end=end) == 0.9  # exactly


def test_one_shot_and_iterative() -> None:
    assert [one_shot(plan(epoch), epoch=10) for epoch in (9, 10, 11)] == [None, 0.9, None]
    found = {epoch: iterative(plan(epoch), start=4, every=3, steps=3) for epoch in range(1, 26)}
    assert {epoch for epoch, level in found.items() if level is not None} == {4, 7, 10}
    left = [1 - (found[epoch] or 0) for epoch in (4, 7, 10)]
    assert left == pytest.approx([0.1 ** (1 / 3), 0.1 ** (2 / 3), 0.1])


@given(
    limit=st.floats(0, 1),
    epoch=st.integers(1, 20),
    current=st.floats(0, 0.9, exclude_max=True),  # at 0.9 there is nothing left to prune
    steps=st.integers(0, 8),
)
def test_the_evidence_schedule_is_between_gradual_and_the_target_and_never_beyond_what_beta_allows(
    limit: float, epoch: int, current: float, steps: int
) -> None:
    """With a Bayes factor that falls below beta at sparsity `limit`."""
    tried: list[float] = []

    def factor(sparsity: float) -> float:
        tried.append(sparsity)
        return 0.0 if sparsity <= limit else -1.0

    floor = gradual(plan(epoch), start=1, end=20)
    found = evidence(plan(epoch, current=current, factor=factor), start=1, end=20, steps=steps)
    assert floor is not None
    assert found is not None
    assert floor <= found <= 0.9
    assert found >= current
    assert len(tried) <= (steps + 2 if limit >= max(floor, current) else 1)
    if found > max(floor, current):
        assert found <= limit
    if limit >= 0.9:
        assert found == 0.9


@pytest.mark.parametrize("nats", [-1.0, 0.0])
def test_the_evidence_schedule_never_asks_for_more_than_the_target_nor_twice_for_it(nats: float) -> None:
    """Layers of 21, 10 and 38 weights have 16, 8 and 28 zeros at 0.75: 0.7536 of all, which gives 16, 8 and 29."""
    tried: list[float] = []

    def factor(sparsity: float) -> float:
        tried.append(sparsity)
        return nats

    sizes = (21, 10, 38)
    zeros = [pruned_count(size, 0.75) for size in sizes]
    found = evidence(plan(1, 0.75, sum(zeros) / sum(sizes), factor), start=1, end=20)
    assert found == 0.75
    assert tried == [0.75]
    assert [pruned_count(size, found) for size in sizes] == zeros == [16, 8, 28]


@pytest.mark.parametrize(
    ("limit", "places"),
    [  # on the way from density 0.9 to 0.1, on a logarithmic scale: at x the density is 0.9 (1 / 9)^x
        (0.5, [0, 1, 1 / 2, 1 / 4, 3 / 8, 5 / 16]),
        (0.85, [0, 1, 1 / 2, 3 / 4, 7 / 8, 13 / 16]),
    ],
)
def test_the_evidence_schedule_halves_the_logarithm_of_the_density(limit: float, places: list[float]) -> None:
    """In the first of 28 epochs gradual asks for 0.9 (1 - (27 / 28)^3) = 0.093; the network has 0.1 already."""
    tried: list[float] = []

    def factor(sparsity: float) -> float:
        tried.append(1 - sparsity)
        return 0.0 if sparsity <= limit else -1.0

    found = evidence(plan(1, current=0.1, factor=factor, epochs=30), start=1, end=28)
    assert tried == pytest.approx([0.9 * (1 / 9) ** x for x in places], rel=1e-12)
    assert found == 1 - min(density for density in tried if 1 - density <= limit)


@pytest.mark.parametrize(("reached", "passes"), [(0.0, 1), (0.5, 6)])
def test_the_evidence_schedule_takes_what_exceeds_beta_not_what_reaches_it(reached: float, passes: int) -> None:
    """The Bayes factor is beta itself from the sparsity `reached` on; the network has 0.1 already."""
    tried: list[float] = []

    def factor(sparsity: float) -> float:
        tried.append(sparsity)
        return 0.0 if sparsity < reached else math.log(0.5)

    found = evidence(plan(1, current=0.1, factor=factor, epochs=30), start=1, end=28, steps=4)
    assert found == max([0.1, *(sparsity for sparsity in tried if sparsity < reached)])
    assert len(tried) == passes


def test_the_evidence_schedule_comes_near_the_limit() -> None:
    found = evidence(plan(1, factor=lambda s: 0.0 if s <= 0.8 else -1.0), start=1, end=20, steps=12)
    assert found == pytest.approx(0.8, abs=1e-3)


def test_the_evidence_schedule_rests_once_the_target_is_reached() -> None:
    assert evidence(plan(20, current=0.9), start=1, end=20) is None
    assert evidence(plan(21, current=0.9), start=1, end=20) is None
    assert evidence(plan(20, current=0.5), start=1, end=20) == 0.9


@pytest.mark.parametrize(
    ("schedule", "options", "field"),
    [
        (gradual, {"start": 0, "end": 5}, "start=0"),
        (gradual, {"start": 5, "end": 4}, "end=4"),
        (gradual, {"start": 1, "end": 26}, "end=26"),
        (one_shot, {"epoch": 26}, "epoch=26"),
        (iterative, {"start": 0, "every": 1, "steps": 1}, "start=0"),
        (iterative, {"start": 20, "every": 5, "steps": 3}, "30"),
        (iterative, {"start": 1, "every": 1, "steps": 26}, "steps=26"),
        (iterative, {"start": 1, "every": 1.5, "steps": 3}, "every=1.5"),
    ],
)
def test_options_that_do_not_fit_the_run_are_refused(schedule: Any, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field.replace(".", r"\.")):
        schedule(plan(1), **options)


def test_global_scope_takes_the_smallest_weights_of_all_layers(few_digits: Dataset) -> None:
    network = network_of(few_digits)
    run = run_of("pruner=gradual_global")
    keep = masks(run, network, 0.95)
    sizes = torch.cat([network.parameters[name].abs().flatten() for name in network.prunable])
    kept = torch.cat([keep[name].flatten() for name in network.prunable])
    assert int((~kept).sum()) == round(0.95 * len(sizes))
    assert sizes[kept].min() >= sizes[~kept].max()
    fractions = {name: float((~mask).double().mean()) for name, mask in keep.items()}
    assert max(fractions.values()) - min(fractions.values()) > 0.1  # unlike in scope "layer"


def test_gradient_and_fisher_are_those_of_autograd(few_digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 500 images in three parts, the last one smaller."""
    monkeypatch.setattr("bayes_pruning.pruning.network.GRADIENT_ROWS", 200)
    network = network_of(few_digits)
    model = network.model
    loss = torch.nn.functional.cross_entropy(model(few_digits.train.images), few_digits.train.labels)
    wanted = dict(zip(network.parameters, torch.autograd.grad(loss, list(model.parameters())), strict=True))
    for name in network.prunable:
        torch.testing.assert_close(network.gradient()[name], wanted[name], rtol=1e-4, atol=1e-7)
        layer = Layer(name, network.parameters[name], 0, 1, network)
        torch.testing.assert_close(snip(layer), (wanted[name] * layer.weight).abs(), rtol=1e-4, atol=1e-9)
    assert network.gradient() is network.gradient()
    chosen = torch.randperm(500, generator=generator(3, "gradient of the loss", 2))[:100]
    loss = torch.nn.functional.cross_entropy(model(few_digits.train.images[chosen]), few_digits.train.labels[chosen])
    some = dict(zip(network.parameters, torch.autograd.grad(loss, list(model.parameters())), strict=True))
    for name in network.prunable:
        torch.testing.assert_close(network.gradient(100)[name], some[name], rtol=1e-4, atol=1e-7)
        layer = Layer(name, network.parameters[name], 0, 1, network)
        torch.testing.assert_close(snip(layer, examples=100), (some[name] * layer.weight).abs(), rtol=1e-4, atol=1e-9)
    assert torch.equal(network.gradient(10**6)["1.weight"], network.gradient()["1.weight"])


def test_a_fisher_of_some_images_and_random_signs_is_that_of_the_networks_stream(few_digits: Dataset) -> None:
    """Each of the two options changes the numbers, and both reach laplace.fisher_diagonal."""
    network = network_of(few_digits)
    found = {}
    for options in ({}, {"examples": 50}, {"draws": 1}, {"examples": 50, "draws": 2}, {"examples": 10**6}):
        more = {name: min(value, 500) for name, value in options.items()}
        stream = generator(3, "Fisher information", 2)
        images, names = few_digits.train.images, ["3.weight"]
        wanted = laplace.fisher_diagonal(network.model, network.parameters, images, names, **more, generator=stream)
        if more.get("examples") == 500:
            wanted = laplace.fisher_diagonal(network.model, network.parameters, images, names)
        layer = Layer("3.weight", network.parameters["3.weight"], 0, 1, network)
        torch.testing.assert_close(layer.fisher(**options), wanted["3.weight"], rtol=1e-4, atol=1e-9)
        weighted = layer.weight.double().square() * wanted["3.weight"] / 2
        torch.testing.assert_close(evidence_saliency(layer, **options), weighted, rtol=1e-4, atol=1e-12)
        found[str(options)] = wanted["3.weight"].sum().item()
    assert len(set(found.values())) == 4  # more images than there are: all of them


def test_the_evidence_saliency_tells_what_removal_costs(few_digits: Dataset) -> None:
    """Removing the least salient half of a trained layer costs little beside removing the other half."""
    trainer = Trainer([run_of("pruner=none", "epochs=8")], few_digits, CPU)
    for _ in range(8):
        trainer.run_epoch()
    network, name, train = trainer.network(0), "1.weight", few_digits.train
    saliency = evidence_saliency(Layer(name, network.parameters[name], 0, 8, network)).flatten()
    order = saliency.argsort()
    half = len(order) // 2

    def log_likelihood(removed: torch.Tensor) -> float:
        weight = network.parameters[name].flatten().clone()
        weight[removed] = 0
        parameters = {**network.parameters, name: weight.view_as(network.parameters[name])}
        logits = torch.func.functional_call(network.model, parameters, (train.images,))
        return -float(torch.nn.functional.cross_entropy(logits, train.labels, reduction="sum"))

    whole = log_likelihood(order[:0])
    least, most = (abs(whole - log_likelihood(removed)) for removed in (order[:half], order[half:]))
    assert least < 0.05 * most
    assert float(saliency[order[:half]].sum()) < 0.05 * float(saliency.sum())


class Informed:
    """A network whose Fisher information is given."""

    def fisher(self, *_: Any) -> dict[str, torch.Tensor]:
        return {"a": torch.tensor([3.0, 16.0, 0.0], dtype=torch.float64)}


@pytest.mark.parametrize(
    ("reliability", "nats"),
    [(1, [6.0, 8.0, 0.0]), (0.5, [2 * 3**0.5, 2.0, 0.0]), (0.25, [2 * 3**0.25, 1.0, 0.0]), (0, [2.0, 0.5, 0.5])],
)
def test_shrinking_the_information_leads_from_the_second_order_to_the_magnitude(
    reliability: float, nats: list[float]
) -> None:
    """Weights 2, -1 and 1 with information 3, 16 and 0: w^2 F / 2 by hand, and with powers of F."""
    network: Any = Informed()
    layer = Layer("a", torch.tensor([2.0, -1.0, 1.0]), 0, 1, network)
    assert evidence_saliency(layer, reliability=reliability).tolist() == pytest.approx(nats)


def test_a_new_field_of_a_pruner_changes_no_identity() -> None:
    """Runs made before schedules existed keep their folders: this hash is of such a run."""
    assert run_config(composed("dataset=mnist", "pruner=magnitude", "sparsity=0.25")).hash() == "6c284bfca9"
    assert run_of("pruner=gradual").identity()["pruner"]["schedule"] == "gradual"


def test_the_reliability_is_chosen_without_the_test_images(
    script: Any, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, accuracies = [], dict[float, list[float]]()
    original = Trainer.run_epoch

    def watched(self: Trainer) -> Any:
        rows = original(self)
        if self.epoch == 1:
            seen.append(self.data)
        if self.epoch == 6:
            for run, row in zip(self.runs, rows, strict=True):
                reliability = run.pruner.selector_options["reliability"]
                accuracies.setdefault(reliability, []).append(row.pruned_test_accuracy if row else math.nan)
        return rows

    monkeypatch.setattr(Trainer, "run_epoch", watched)
    few = ("dataset=mnist_5k", "epochs=6", "model.hidden=[8]", "batch_size=200", "pruner.schedule_options.end=4")
    code, printed = script("choose_reliability.py", *few)
    assert code == 0
    [data] = seen
    both = [torch.cat([getattr(data.train, part), getattr(data.test, part)]) for part in ("images", "labels")]
    assert torch.equal(both[0], digits.train.images)  # the training images, in two parts
    assert torch.equal(both[1], digits.train.labels)
    assert len(data.test) == 800
    rows = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("| ")]
    assert [row[0].strip() for row in rows[1:5]] == ["0", "0.25", "0.5", "1"]
    means = [sum(each) / 3 for _, each in sorted(accuracies.items())]
    assert [float(row[1]) for row in rows[1:5]] == pytest.approx(means, abs=1e-4)
    assert [row[0].strip() for row in rows[6:]] == ["2", "5"]
    assert all(0 < float(row[2]) <= 1 for row in rows[6:])  # a weight's information resembles what it was


def test_what_information_persists_is_a_regression_over_the_weights_that_stay() -> None:
    """Of the logarithms after the last epoch on earlier ones, without a weight that is pruned or has no information."""
    x, y = torch.randn(2, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, weights = x + 0.5 * y, torch.ones(8, 5)
    now, last = x.exp(), y.exp()
    weights[0, 0], now[0], now[1] = 0, 1e9, 0
    network = SimpleNamespace(parameters={"w": weights})
    trainer: Any = SimpleNamespace(network=lambda member: network, prunable=["w"])
    wanted = linregress(x[2:], y[2:])
    [(epoch, slope, correlation)] = choose_reliability.persistence(trainer, {2: now, 6: last})
    assert (epoch, slope, correlation) == (2, pytest.approx(wanted.slope), pytest.approx(wanted.rvalue))
