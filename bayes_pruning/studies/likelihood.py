"""Compute how probable the paper's Table 1 is under a reading: a Gaussian for each cell, from our runs of it.

    paper - ours ~ N(offset, paper's variance / n + our variance / seeds + excess^2)

The paper does not say of how many runs its cells are means (n is 1 or 5, even odds), and no reading is exact: `excess`
is a standard deviation that all cells share (flat in its logarithm over EXCESS). Both are integrated out, so that a
reading far from the table is not taken for impossible, and one near it not for proven. An offset that the cells of a
family share (flat) can be integrated out too: what is left is then how a family's cells differ among themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

REPEATS = (1, 5)  # the runs that a cell of the paper may be the mean of
EXCESS = np.geomspace(1e-4, 1, 41)  # standard deviations of an accuracy
MOST = 0.95  # of the weight, that the readings have together that can not be told apart

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Cells:
    """Hold what is compared of each reading: arrays [..., cells]; leading axes are readings or simulated tables."""

    residual: Array  # the paper's value minus our mean
    paper_variance: Array  # of one of the paper's runs, as ours have it
    our_variance: Array  # of our mean

    def drop(self, left_out: Array) -> "Cells":
        """Return these without the cells where `left_out` [cells] is True."""
        return Cells(*(part[..., ~left_out] for part in (self.residual, self.paper_variance, self.our_variance)))


def chi_square(cells: Cells, repeats: int) -> Array:
    """Sum over the cells of (residual / its standard deviation)^2 without any excess: [...]."""
    return (cells.residual**2 / (cells.paper_variance / repeats + cells.our_variance)).sum(-1)


def log_likelihood(cells: Cells, families: Sequence[str] | None = None) -> Array:
    """Return the log-likelihood of the paper's values in nats, n and excess integrated out: [...].

    The cells of a family, which `families` has for each cell, share an unknown offset; with None there are no offsets.
    """
    return logsumexp(_on_grid(cells, families), axis=(-2, -1)) - np.log(len(REPEATS) * len(EXCESS))


def excess(cells: Cells) -> Array:
    """Return the excess standard deviation, mean of its logarithm over what the cells say of it: [...]."""
    weights = softmax(_on_grid(cells, None), axis=(-2, -1)).sum(-2)
    return np.exp(weights @ np.log(EXCESS))


def _on_grid(cells: Cells, families: Sequence[str] | None) -> Array:
    """Return the log-likelihood for each n and excess: [..., len(REPEATS), len(EXCESS)]."""
    repeats = np.array(REPEATS)[:, None, None]
    residual, paper, ours = (
        part[..., None, None, :] for part in (cells.residual, cells.paper_variance, cells.our_variance)
    )
    variance = paper / repeats + ours + EXCESS[:, None] ** 2
    total = -0.5 * (np.log(2 * np.pi * variance) + residual**2 / variance).sum(-1)
    if families is None:
        return total
    member = np.array([[family == of_cell for of_cell in families] for family in sorted(set(families))], dtype=float)
    precision, weighted = (part @ member.T for part in (1 / variance, residual / variance))
    return total + 0.5 * (weighted**2 / precision - np.log(precision / (2 * np.pi))).sum(-1)


def not_told_apart(log_likelihoods: Array) -> Array:
    """Return True for the best readings [..., readings] that have MOST of the posterior weight, under a flat prior."""
    weight = softmax(log_likelihoods, axis=-1)
    order = np.argsort(-weight, axis=-1)
    ranked = np.take_along_axis(weight, order, axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked
    best = np.empty(weight.shape, dtype=bool)
    np.put_along_axis(best, order, before < MOST, axis=-1)
    return best


def simulated(
    means: Array,
    variance: Array,
    seeds: Array,
    truth: int,
    tables: int,
    repeats: int,
    excess: float,
    offset: float,
    families: Sequence[str],
    rng: np.random.Generator,
) -> Cells:
    """Return the cells [tables, readings, cells] of simulated tables for which the reading `truth` is right.

    Each is a draw of the paper's values and of our runs' means: of every reading, since they are to be compared.

    Args:
        means, variance, seeds: accuracies, a run's variance, and the seeds that our mean is over: [readings, cells].
        repeats: the runs that a cell of the simulated paper is the mean of.
        excess, offset: standard deviations of what is wrong with each cell, and of what the cells of a family share.
        families: each cell's family.
    """
    names = sorted(set(families))
    shared = offset * rng.standard_normal((tables, len(names)))[:, [names.index(family) for family in families]]
    scatter = rng.standard_normal((tables, means.shape[-1])) * np.sqrt(variance[truth] / repeats + excess**2)
    ours = rng.standard_normal((tables, *means.shape)) * np.sqrt(variance / seeds)
    paper = means[truth] + shared + scatter
    return Cells(paper[:, None] - means - ours, variance, variance / seeds)
