"""Compute statistics of few runs: mean, sample standard deviation and n; paired t intervals."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

CONFIDENCE = 0.95
FEWEST = 3  # numbers for an interval: that of two is 13 times as wide as their standard deviation


@dataclass(frozen=True)
class Summary:
    """Hold the mean of n numbers, and their sample standard deviation (divisor n - 1; NaN for one number)."""

    n: int
    mean: float
    sd: float


@dataclass(frozen=True)
class Difference:
    """Hold the mean of n paired differences, and its 95% t interval (NaN ends for fewer than FEWEST)."""

    n: int
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} {self.interval}"

    @property
    def interval(self) -> str:
        """Return the interval as text, e.g. '[-0.0012, +0.0030]', or 'no interval'."""
        return "no interval" if math.isnan(self.low) else f"[{self.low:+.4f}, {self.high:+.4f}]"


def summarise(values: Iterable[float]) -> Summary | None:
    """Return mean, sample standard deviation and n; None for no values."""
    numbers = np.fromiter(values, dtype=np.float64)
    if not len(numbers):
        return None
    sd = float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan
    return Summary(len(numbers), float(numbers.mean()), sd)


def paired_difference(first: pd.Series, second: pd.Series) -> Difference | None:
    """Return the mean of first - second, indexed by seed, over the seeds that both have; None if there are none."""
    differences = summarise((first - second).dropna())
    if differences is None:
        return None
    half = half_width(differences)
    return Difference(differences.n, differences.mean, differences.mean - half, differences.mean + half)


def half_width(summary: Summary, among: int = 1) -> float:
    """Return half of the 95% t interval of a mean; NaN for fewer than FEWEST numbers.

    As many intervals as `among` says hold together in 95% of the cases (Bonferroni: each errs in 5% / `among`).
    """
    from scipy.special import stdtrit  # Student's quantile, as scipy.stats.t.ppf, without its seconds of import

    if summary.n < FEWEST:
        return math.nan
    return float(stdtrit(summary.n - 1, 1 - (1 - CONFIDENCE) / 2 / among)) * summary.sd / math.sqrt(summary.n)
