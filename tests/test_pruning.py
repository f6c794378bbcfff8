"""Masks and gates against torch.nn.utils.prune, scipy and Bayes factors written down by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.nn.utils import prune

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.registry import SELECTORS
from bayes_pruning.pruning.gates import GateInput, always, bayes_factor, never
from bayes_pruning.pruning.masks import keep_mask, masks, pruned_count
from bayes_pruning.pruning.network import Network
from bayes_pruning.pruning.selectors import Layer, magnitude, random

SHAPES = st.one_of(
    st.tuples(st.integers(1, 1), st.integers(1, 1)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
)
SPARSITIES = st.one_of(st.sampled_from([0.0, 1.0, 0.25, 0.5, 0.75, 0.9, 0.99]), st.floats(0, 1))


def layer(weight: torch.Tensor, seed: int = 0, epoch: int = 1) -> Layer:
    return Layer("0.weight", weight, seed, epoch)


@given(shape=SHAPES, sparsity=SPARSITIES, seed=st.integers(0, 2**31))
@settings(max_examples=150, deadline=None)
def test_every_selector_leaves_exactly_the_rounded_count_of_zeros(
    shape: tuple[int, ...], sparsity: float, seed: int
) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    count = pruned_count(weight.numel(), sparsity)
    assert abs(count - weight.numel() * sparsity) <= 0.5
    for selector in (random, magnitude):
        mask = keep_mask(selector(layer(weight, seed)), count)
        assert mask.shape == weight.shape
        assert int((weight * mask == 0).sum()) == count


@given(shape=SHAPES, sparsity=SPARSITIES, seed=st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_magnitude_masks_equal_torchs_own(shape: tuple[int, ...], sparsity: float, seed: int) -> None:
    module = nn.Module()
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    module.weight = nn.Parameter(weight.clone())
    count = pruned_count(weight.numel(), sparsity)
    prune.l1_unstructured(module, "weight", amount=count)
    assert torch.equal(keep_mask(magnitude(layer(weight)), count), module.weight_mask.bool())


def half_nan(layer: Layer) -> torch.Tensor:
    return layer.weight.abs().where(torch.arange(4) < 2, math.nan)


def by_row(layer: Layer) -> torch.Tensor:
    return layer.weight.abs().sum(1, keepdim=True)


def one_number(layer: Layer) -> float:
    return 1.0


def of_numpy(layer: Layer) -> Any:
    return layer.weight.abs().numpy()


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        (half_nan, "gave 6 scores that are NaN for 0.weight in epoch 2"),
        (by_row, r"gave scores of shape \(3, 1\) for 0.weight in epoch 2"),
        (one_number, "gave a float for 0.weight in epoch 2"),
        (of_numpy, "gave a ndarray for 0.weight in epoch 2"),
    ],
)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_scores_that_make_no_exact_count_are_refused(
    scope: str, selector: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a NaN for a threshold no weight would go, although three quarters were asked for."""
    monkeypatch.setitem(SELECTORS.functions, "mine", selector)
    model = nn.Sequential(nn.Linear(4, 3, bias=False))
    network = Network(model, {"0.weight": torch.ones(3, 4)}, ("0.weight",), tuple, 0, 2)
    run = run_of("pruner=magnitude", "pruner.selector=mine", f"pruner.scope={scope}")
    with pytest.raises(UserError, match=rf"^pruner.selector=mine {said}: a selector .* in their shape \(3, 4\)\.$"):
        masks(run, network, 0.75)


def test_a_diverged_networks_scores_are_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses of such a run end it, and the others of its stack must go on."""
    monkeypatch.setitem(SELECTORS.functions, "mine", half_nan)
    model = nn.Sequential(nn.Linear(4, 3))
    parameters = {"0.weight": torch.ones(3, 4), "0.bias": torch.tensor([0, 0, math.inf])}
    run = run_of("pruner=magnitude", "pruner.selector=mine")
    assert masks(run, Network(model, parameters, ("0.weight",), tuple, 0, 2), 0.75)["0.weight"].shape == (3, 4)


class OnGpu(torch.Tensor):
    """A tensor that says it is on a GPU, so that a GPU's way is taken without one."""

    is_cuda = True


@given(shape=SHAPES, sparsity=SPARSITIES, seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_a_gpus_way_to_the_threshold_leaves_the_same_mask(shape: tuple[int, ...], sparsity: float, seed: int) -> None:
    score = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).round(decimals=1)  # with ties
    count = pruned_count(score.numel(), sparsity)
    assert torch.equal(keep_mask(score.as_subclass(OnGpu), count), keep_mask(score, count))


@given(shape=SHAPES, before=SPARSITIES, after=SPARSITIES, seed=st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_random_pruning_counts_zeros_that_are_there_and_revives_none(
    shape: tuple[int, ...], before: float, after: float, seed: int
) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    weight = weight * keep_mask(random(layer(weight, seed, epoch=1)), pruned_count(weight.numel(), before))
    pruned = weight * keep_mask(random(layer(weight, seed, epoch=2)), pruned_count(weight.numel(), after))
    assert torch.all(pruned[weight == 0] == 0)
    wanted = max(pruned_count(weight.numel(), before), pruned_count(weight.numel(), after))
    assert int((pruned == 0).sum()) == wanted


def test_random_pruning_is_uniform_over_the_weights_that_are_left() -> None:
    weight = torch.ones(40)
    weight[::4] = 0  # 30 weights left, of which 12 are to go
    hits = np.zeros(40)
    draws = 2000
    for seed in range(draws):
        hits += (~keep_mask(random(layer(weight, seed)), 22)).numpy()
    assert np.all(hits[::4] == draws)
    free = hits[np.arange(40) % 4 != 0]
    # Each weight is hit Binomial(2000, 12/30) times; hits within a draw are negatively correlated, hence the factor.
    chi_square = ((free - draws * 0.4) ** 2 / (draws * 0.4 * 0.6)).sum() * 29 / 30
    assert stats.chi2.sf(chi_square, df=29) > 1e-3


def test_half_a_weight_is_rounded_to_the_even_number() -> None:
    assert [pruned_count(size, 0.5) for size in (1, 3, 5, 7)] == [0, 2, 2, 4]


def test_ties_go_by_index() -> None:
    assert keep_mask(torch.tensor([2.0, 1.0, 1.0, 1.0, 0.0]), 3).tolist() == [True, False, False, True, False]


def test_random_draws_depend_on_seed_epoch_and_layer_only() -> None:
    weight = torch.ones(1000)
    draw = random(layer(weight))
    assert torch.equal(draw, random(layer(2 * weight)))
    assert not torch.equal(draw, random(layer(weight, seed=1)))
    assert not torch.equal(draw, random(layer(weight, epoch=2)))
    assert not torch.equal(draw, random(Layer("2.weight", weight, 0, 1)))


@pytest.mark.parametrize(
    ("log_factor", "log_beta", "opens"),
    [
        (None, math.log(0.5), True),  # before the first epoch there is none: open
        (0.0, math.log(0.5), True),  # skipped: a Bayes factor of 1 exceeds 0.5 ...
        (0.0, math.log(1.0), False),  # ... but not 1: with beta >= 1 a gate that closed stays closed
        (-0.6, math.log(0.5), True),
        (-0.7, math.log(0.5), False),
        (math.log(0.5), math.log(0.5), False),  # must exceed, not reach
        (-1e7, math.log(0.5), False),  # far beyond what exp could hold
        (1e7, math.log(0.5), True),
    ],
)
def test_the_bayes_factor_gate(log_factor: float | None, log_beta: float, opens: bool) -> None:
    assert bayes_factor(GateInput(2, 25, log_factor, log_beta, seed=0)) is opens


def test_the_first_state_of_the_gate_counts_only_while_there_is_no_bayes_factor() -> None:
    assert bayes_factor(GateInput(1, 25, None, 0.0, seed=0, opens_first=False)) is False
    assert bayes_factor(GateInput(2, 25, 1.0, 0.0, seed=0, opens_first=False)) is True


def test_the_other_gates_ask_nothing() -> None:
    seen = GateInput(1, 25, -1e9, 0.0, seed=0)
    assert always(seen) is True
    assert never(seen) is False


def by_index(layer: Layer, last_first: bool = False) -> torch.Tensor:
    """A selector that prunes the weights of the lowest index first, or of the highest."""
    index = torch.arange(float(layer.weight.numel())).view(layer.weight.shape)
    return -index if last_first else index


def test_the_options_of_a_pruner_reach_its_selector() -> None:
    network = Network(nn.Linear(4, 1), {"weight": torch.ones(1, 4)}, ("weight",), lambda: None, seed=0, epoch=1)  # type: ignore[arg-type, return-value]
    own = ("pruner=magnitude", "pruner.selector=test_pruning.by_index")
    assert masks(run_of(*own), network, 0.5)["weight"].tolist() == [[False, False, True, True]]
    turned = run_of(*own, "+pruner.selector_options.last_first=true")
    assert masks(turned, network, 0.5)["weight"].tolist() == [[True, True, False, False]]


def infinite(layer: Layer) -> torch.Tensor:
    """Infinity where the weight is 4, 1 where it is 3, else minus infinity."""
    return (1 + (layer.weight == 3).float().log()).masked_fill(layer.weight == 4, torch.inf)


def test_scores_without_limits_are_in_order() -> None:
    """What is zero goes before a weight of minus infinity, as the logarithm of a saliency can be; infinity stays."""
    weight = torch.tensor([[1.0, 0.0, 3.0, 4.0]])
    network = Network(nn.Linear(4, 1), {"weight": weight}, ("weight",), lambda: None, seed=0, epoch=1)  # type: ignore[arg-type, return-value]
    own = run_of("pruner=magnitude", "pruner.selector=test_pruning.infinite")
    assert masks(own, network, 0.25)["weight"].tolist() == [[True, False, True, True]]
    assert masks(own, network, 0.75)["weight"].tolist() == [[False, False, False, True]]


def in_place(layer: Layer, *, what: str = "gradient") -> torch.Tensor:
    given = getattr(layer, what)
    score: torch.Tensor = (given if what == "weight" else given()).neg_()
    return score


@pytest.mark.parametrize("what", ["weight", "gradient", "fisher"])
def test_a_selector_may_change_the_weights_the_gradient_and_the_information_that_it_gets(what: str) -> None:
    """A schedule that tries several sparsities asks for the scores again, and a gate for the information."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    pairs = torch.randn(8, 6), torch.arange(8) % 3
    network = Network(model, dict(model.named_parameters()), ("1.weight",), lambda: pairs, seed=0, epoch=1)
    run = run_of("pruner=magnitude", "pruner.selector=test_pruning.in_place", f"+pruner.selector_options.what={what}")
    first = masks(run, network, 0.5)["1.weight"]
    assert torch.equal(masks(run, network, 0.5)["1.weight"], first)
