"""The likelihood of the paper's values: densities from SciPy, integrals by quadrature, coverage of a known truth."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from bayes_pruning.studies import likelihood
from bayes_pruning.studies.likelihood import EXCESS, REPEATS, Cells

RNG = np.random.default_rng(5)
CELLS = Cells(RNG.normal(0, 0.01, 6), RNG.uniform(1e-5, 4e-5, 6), RNG.uniform(1e-6, 4e-6, 6))
FAMILIES = ["random", "random", "random", "magnitude", "magnitude", "none"]


def density(residual: np.ndarray, repeats: int, excess: float) -> float:
    deviation = np.sqrt(CELLS.paper_variance / repeats + CELLS.our_variance + excess**2)
    return float(scipy.stats.norm(0, deviation).pdf(residual).prod())


def test_the_likelihood_is_the_mean_over_repeats_and_excess() -> None:
    wanted = np.mean([[density(CELLS.residual, repeats, excess) for excess in EXCESS] for repeats in REPEATS])
    assert likelihood.log_likelihood(CELLS) == pytest.approx(np.log(wanted))


def test_the_excess_is_weighed_by_the_density_at_every_number_of_runs() -> None:
    weights = np.sum([[density(CELLS.residual, repeats, excess) for excess in EXCESS] for repeats in REPEATS], axis=0)
    assert likelihood.excess(CELLS) == pytest.approx(np.exp(np.average(np.log(EXCESS), weights=weights)))


def test_the_excess_is_what_the_residuals_have_beyond_the_seeds() -> None:
    """A hundred cells whose seeds explain next to nothing: the excess is their root mean square."""
    residual = np.random.default_rng(0).normal(0, 0.01, 100)
    many = Cells(residual, np.full(100, 1e-10), np.full(100, 1e-10))
    assert likelihood.excess(many) == pytest.approx(np.sqrt((residual**2).mean()), rel=0.05)


def test_an_offset_is_integrated_over_all_numbers() -> None:
    """Each family by itself, by quadrature, at one number of runs and one excess."""
    repeats, excess = REPEATS.index(5), 20
    found = likelihood._on_grid(CELLS, FAMILIES)[repeats, excess]
    deviation = np.sqrt(CELLS.paper_variance / 5 + CELLS.our_variance + EXCESS[excess] ** 2)

    def integrand(offset: float, family: str) -> float:
        own = np.array([each == family for each in FAMILIES])
        return float(scipy.stats.norm(offset, deviation[own]).pdf(CELLS.residual[own]).prod())

    integrals = [scipy.integrate.quad(integrand, -0.3, 0.3, args=(f,), points=[0], limit=200)[0] for f in set(FAMILIES)]
    assert found == pytest.approx(np.log(integrals).sum(), rel=1e-6)


def test_an_offset_of_a_whole_family_changes_nothing() -> None:
    moved = Cells(CELLS.residual + np.array([0.3, 0.3, 0.3, -0.2, -0.2, 7]), CELLS.paper_variance, CELLS.our_variance)
    assert likelihood.log_likelihood(moved, FAMILIES) == pytest.approx(likelihood.log_likelihood(CELLS, FAMILIES))
    assert likelihood.log_likelihood(moved) < likelihood.log_likelihood(CELLS) - 5


def test_chi_square_of_cells_a_deviation_off_is_their_number() -> None:
    variance = CELLS.paper_variance / 5 + CELLS.our_variance
    assert likelihood.chi_square(
        Cells(np.sqrt(variance), CELLS.paper_variance, CELLS.our_variance), 5
    ) == pytest.approx(6)


def test_those_that_can_not_be_told_apart_have_most_of_the_weight() -> None:
    shares = np.log([0.02, 0.60, 0.30, 0.08])
    assert likelihood.not_told_apart(shares).tolist() == [False, True, True, True]
    assert likelihood.not_told_apart(shares + 100).tolist() == [False, True, True, True]
    assert likelihood.not_told_apart(np.array([0.0, -9.0])).tolist() == [True, False]


@pytest.mark.parametrize(("repeats", "excess"), [(1, 0.0), (5, 0.0), (5, 0.01)])
def test_the_right_one_of_known_readings_is_covered(repeats: int, excess: float) -> None:
    """Two readings half a percentage point apart in ten of twenty cells, each right in 300 simulated tables."""
    means = np.stack([np.full(20, 0.9), np.full(20, 0.9)])
    means[1, :10] += 0.005
    variance, seeds = np.full((2, 20), 0.003**2), np.full((2, 20), 5)
    for truth in (0, 1):
        rng = np.random.default_rng(truth)
        drawn = likelihood.simulated(means, variance, seeds, truth, 300, repeats, excess, 0.0, ["a"] * 20, rng)
        found = likelihood.log_likelihood(drawn)
        assert likelihood.not_told_apart(found)[:, truth].mean() >= 0.95
        if not excess:  # else they can not be told apart for sure
            assert (found.argmax(-1) == truth).mean() >= 0.95
            assert likelihood.not_told_apart(found)[:, 1 - truth].mean() < 0.5


def test_simulated_tables_have_the_spread_that_was_asked_for() -> None:
    """Two cells of one family and one of another; residuals of the right reading, against their variances by hand."""
    means, variance, seeds = np.full((1, 3), 0.9), np.full((1, 3), 4e-4), np.full((1, 3), 2)
    families, rng = ["a", "a", "b"], np.random.default_rng(1)
    drawn = likelihood.simulated(means, variance, seeds, 0, 40_000, 5, 0.03, 0.05, families, rng)
    found = np.cov(drawn.residual[:, 0].T)
    own, shared = 4e-4 / 5 + 4e-4 / 2 + 0.03**2, 0.05**2
    wanted = own * np.eye(3) + shared * np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert found == pytest.approx(wanted, abs=0.02 * (own + shared))
