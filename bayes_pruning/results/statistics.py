"""Statistics of few runs (design, section 5): mean, sample standard deviation and n; paired t intervals."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

CONFIDENCE = 0.95
FEWEST = 3  # numbers for an interval: that of two is 13 times as wide as their standard deviation


@dataclass(frozen=True)
class Summary:
    """Of n numbers: the mean, and the sample standard deviation (divisor n - 1; NaN for one number)."""

    n: int
    mean: float
    sd: float


@dataclass(frozen=True)
class Difference:
    """Of n paired differences: the mean and its 95% t interval (NaN ends for fewer than FEWEST)."""

    n: int
    mean: float
    low: float
    high: float


def summarise(values: Iterable[float]) -> Summary | None:
    """Mean, sample standard deviation and n; None for no values."""
    numbers = np.fromiter(values, dtype=np.float64)
    if not len(numbers):
        return None
    sd = float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan
    return Summary(len(numbers), float(numbers.mean()), sd)


def paired_difference(first: Mapping[Any, float], second: Mapping[Any, float]) -> Difference | None:
    """The mean of first - second over the seeds that both have, with a 95% t interval; None if they share no seed.

    Args:
        first: a number for each seed.
        second: the same.
    """
    seeds = sorted(set(first.keys()) & set(second.keys()))
    found = summarise(first[seed] - second[seed] for seed in seeds)
    if found is None:
        return None
    half = half_width(found)
    return Difference(found.n, found.mean, found.mean - half, found.mean + half)


def half_width(found: Summary, among: int = 1) -> float:
    """Half of the 95% t interval of a mean; NaN for fewer than FEWEST numbers.

    Args:
        found: of the numbers.
        among: of how many intervals that are to hold together it is one (Bonferroni: each errs in 5% / `among`).
    """
    from scipy.special import stdtrit  # Student's quantile, as scipy.stats.t.ppf, without its seconds of import

    if found.n < FEWEST:
        return math.nan
    return float(stdtrit(found.n - 1, 1 - (1 - CONFIDENCE) / 2 / among)) * found.sd / math.sqrt(found.n)
