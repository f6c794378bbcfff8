"""Log posterior against scikit-learn, scipy and a model whose posterior is known in closed form."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import log_loss

from bayes_pruning.config.schema import Prior, Protocol
from bayes_pruning.pruning.posterior import (
    Terms,
    log_bayes_factor,
    log_likelihood,
    log_prior,
    log_priors,
    log_priors_at_once,
    log_ratio,
    terms,
)


@given(members=st.integers(1, 3), examples=st.integers(1, 50), seed=st.integers(0, 2**31), size=st.floats(0.1, 30))
@settings(max_examples=60, deadline=None)
def test_log_likelihood_equals_scikit_learns_log_loss(members: int, examples: int, seed: int, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = size * torch.randn(members, examples, 10, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 10, (examples,), generator=generator)
    found = log_likelihood(logits, labels)
    assert found.dtype == torch.float64
    for member in range(members):
        probabilities = torch.softmax(logits[member], dim=1).numpy().clip(1e-300)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        wanted = -np.log(probabilities[np.arange(examples), labels.numpy()]).sum()
        if probabilities.min() > 1e-12:  # log_loss clips below
            wanted = log_loss(labels.numpy(), probabilities, labels=range(10), normalize=False)
        assert found[member].item() == pytest.approx(-wanted, rel=1e-9, abs=1e-9)


def test_log_likelihood_of_impossible_answers_stays_finite_and_exact() -> None:
    logits = torch.tensor([[[1e6, 0.0], [0.0, 1e6]]])
    assert log_likelihood(logits, torch.tensor([1, 1])).tolist() == [-1e6]
    even = log_likelihood(torch.zeros(1, 3, 2), torch.tensor([0, 1, 0])).item()
    assert even == pytest.approx(-3 * math.log(2), rel=1e-14)  # more digits than the logits have


@given(mean=st.floats(-2, 2), std=st.floats(0.01, 10), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_log_prior_equals_scipys_normal_density(mean: float, std: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(3, 5, generator=generator), torch.randn(2, 1, 3, 3, generator=generator)]
    wanted = sum(stats.norm.logpdf(w.double().numpy(), mean, std).sum() for w in weights)
    assert log_prior(weights, Prior(mean, std)).item() == pytest.approx(wanted, rel=1e-10, abs=1e-9)


def test_log_posterior_difference_of_a_linear_gaussian_model_equals_the_analytic_one() -> None:
    """With Gaussian noise the posterior is Gaussian: its log density difference is -(Mahalanobis difference) / 2.

    The categorical likelihood of two classes is given the same value through logits, so that the project's own two
    terms add up to the analytic posterior's difference.
    """
    rng = np.random.default_rng(0)
    noise, prior = 0.7, Prior(0.3, 1.4)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    precision = x.T @ x / noise**2 + np.eye(3) / prior.std**2
    centre = np.linalg.solve(precision, x.T @ y / noise**2 + prior.mean / prior.std**2)

    def ours(w: np.ndarray) -> float:
        squared_error = ((y - x @ w) ** 2).sum() / (2 * noise**2)
        # log softmax of [0, z] at class 0 is -log(1 + e^z): choose z so that it is minus the squared error.
        logits = torch.tensor([[[0.0, math.log(math.expm1(squared_error))]]], dtype=torch.float64)
        likelihood = log_likelihood(logits, torch.tensor([0])).item()
        return likelihood + log_prior([torch.from_numpy(w)], prior).item()

    full = rng.normal(size=3)
    pruned = full * [1.0, 0.0, 1.0]

    def analytic(w: np.ndarray) -> float:
        return float(-0.5 * (w - centre) @ precision @ (w - centre))

    assert ours(pruned) - ours(full) == pytest.approx(analytic(pruned) - analytic(full), abs=1e-9)


@pytest.mark.parametrize(("likelihood", "prior"), [("sum", "sum"), ("sum", "mean"), ("mean", "sum"), ("mean", "mean")])
def test_each_term_has_its_own_scale_and_a_missing_likelihood_stays_missing(likelihood: Any, prior: Any) -> None:
    left_open = ("pruned_over_unpruned", "open", "weights")
    protocol = Protocol("", True, "previous", likelihood, prior, 0.5, Prior(0.0, 1.0), *left_open)
    expected = {"sum": -60.0, "mean": -2.0}[likelihood], {"sum": -8.0, "mean": -0.5}[prior]
    assert terms(protocol, -60.0, -8.0, images=30, weights=16) == expected
    assert terms(protocol, None, -8.0, images=30, weights=16) == (None, expected[1])


@pytest.mark.parametrize(
    ("after", "before", "expected"),
    [
        (-6.0, -2.0, math.log(3)),
        (-2.0, -2.0, 0.0),
        (6.0, -2.0, -math.inf),
        (0.0, -2.0, -math.inf),
        (-2.0, 0.0, -math.inf),
        (0.0, 0.0, -math.inf),
    ],
)
def test_the_quotient_of_log_posteriors_has_a_logarithm_where_they_have_one_sign(
    after: float, before: float, expected: float
) -> None:
    assert log_ratio(after, before, "of_logs") == pytest.approx(expected)


def test_without_a_likelihood_there_is_no_bayes_factor() -> None:
    whole, missing = Terms(-3.0, -5.0), Terms(None, -5.0)
    assert log_bayes_factor(whole, missing) is log_bayes_factor(missing, whole) is None
    assert log_bayes_factor(Terms(-3.0, -4.0), whole) == 1.0


def test_the_priors_of_a_stack_are_those_of_its_members() -> None:
    """Also by the way that a GPU goes, of one member as of several."""
    priors = [Prior(0.5, 2.0), Prior(-1.0, 0.3), Prior(0.0, 1.0)]
    layers = [torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)), torch.ones(3, 6)]
    for members in (3, 1):
        weights = [layer[:members] for layer in layers]
        single = [float(log_prior([layer[i] for layer in weights], priors[i])) for i in range(members)]
        for way in (log_priors, log_priors_at_once):
            assert way(weights, priors[:members]).tolist() == pytest.approx(single)
            assert way(weights[:1], priors[:members]).shape == (members,)
