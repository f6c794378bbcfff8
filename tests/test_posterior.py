"""Log posterior against scikit-learn, scipy and a model whose posterior is known in closed form."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import log_loss

from bayes_pruning.config.schema import Prior
from bayes_pruning.pruning.posterior import log_likelihood, log_prior, scaled


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


def test_scales() -> None:
    assert scaled(-60.0, "sum", 30) == -60.0
    assert scaled(-60.0, "mean", 30) == -2.0
