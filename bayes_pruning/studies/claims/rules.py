"""Decide a claim of the paper by 95% t intervals over seeds against a stated threshold, and list the claims.

A claim is a function of runs, cell by cell, and of a place in the paper. It measures one number a seed (paired by seed
where two methods are compared) and asks a rule of this module; `among` is the number of intervals that a claim consists
of, which together err in 5% of the cases. The claim holds if the whole interval is on the side
that the paper says, fails if none of it is, and is undecided in between, with fewer than three seeds, or without runs.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bayes_pruning.results.cells import Cell
from bayes_pruning.results.paper import FIRST_FIGURE, LEARNING_SPARSITY, MODELS, UNPRUNED
from bayes_pruning.results.statistics import FEWEST, half_width, summarise

HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"
# Data set, network and sparsity of the learning curves of Figures 4, 7, 10, 13, 16 and 19.
BLOCKS = [(dataset, model, sparsity) for dataset, sparsity in LEARNING_SPARSITY.items() for model in MODELS]
FIGURES_A_BLOCK = 3


class Undecidable(Exception):
    """Report that a claim's runs are missing or too short; the message says which."""


@dataclass(frozen=True)
class Number:
    """Hold what a verdict rests on: a mean over n seeds, its t interval (None below FEWEST), what was wanted."""

    name: str
    mean: float
    low: float | None
    high: float | None
    n: int
    wanted: str  # "above 0"
    outcome: str

    def __str__(self) -> str:
        if self.n == 1 and self.low is None and self.outcome != UNDECIDED:
            return f"{self.name}: {self.mean:.4g} ({self.wanted}: {self.outcome})"  # nothing random is in it
        interval = "no interval" if self.low is None else f"[{self.low:.4g}, {self.high:.4g}]"
        return f"{self.name}: {self.mean:.4g} {interval}, n = {self.n} ({self.wanted}: {self.outcome})"


@dataclass(frozen=True)
class Verdict:
    """Hold an outcome (holds, fails or undecided), and the numbers behind it, or why there are none."""

    outcome: str
    numbers: tuple[Number, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Where:
    """Name a figure or block of the paper, and the runs that it is about."""

    label: str  # "Figure 4", "Table 1"
    dataset: str
    model: str
    sparsity: float  # of the learning curves

    def cell(self, pruner: str, sparsity: float | None = None, model: str | None = None) -> Cell:
        """Return the cell of a method here, of this sparsity and network unless others are named."""
        asked = self.sparsity if sparsity is None else sparsity
        return Cell(self.dataset, model or self.model, pruner, 0.0 if pruner == UNPRUNED else asked)


TABLE_1 = [Where("Table 1", *block) for block in BLOCKS]  # its six blocks


@dataclass(frozen=True)
class Claim:
    """Hold one statement of the paper: its words, its figures (with further arguments for the test), and its test."""

    name: str
    statement: str
    cases: tuple[tuple[Where, tuple[Any, ...]], ...]
    function: Callable[..., Verdict]

    @property
    def rule(self) -> str:
        """Return where the paper says it and when it holds: the function's docstring as one line."""
        return re.sub(r"\s+", " ", self.function.__doc__ or "").strip()


CLAIMS: dict[str, Claim] = {}


def claim(statement: str, *cases: Any) -> Callable[[Callable[..., Verdict]], Callable[..., Verdict]]:
    """Register a function (runs, where, *arguments) -> Verdict as the test of `statement` (a decorator).

    Args:
        statement: the paper's, shortened.
        cases: a figure's number, a `Where`, or a tuple of one of these and further arguments.
    """

    def register(function: Callable[..., Verdict]) -> Callable[..., Verdict]:
        split = [case if isinstance(case, tuple) else (case,) for case in cases]
        placed = tuple((figure(first) if isinstance(first, int) else first, tuple(rest)) for first, *rest in split)
        CLAIMS[function.__name__] = Claim(function.__name__, statement, placed, function)
        return function

    return register


def figure(number: int) -> Where:
    """Return what one of Figures 4 to 21 shows."""
    return Where(f"Figure {number}", *BLOCKS[(number - FIRST_FIGURE) // FIGURES_A_BLOCK])


def above(name: str, values: pd.Series, threshold: float, among: int = 1) -> Verdict:
    """Return the verdict: it holds if the mean of `values`, one a seed, is above `threshold`."""
    return _judge(name, values, threshold, math.inf, f"above {threshold:.4g}", among)


def below(name: str, values: pd.Series, threshold: float, among: int = 1) -> Verdict:
    """Return the verdict: it holds if the mean of `values`, one a seed, is below `threshold`."""
    return _judge(name, values, -math.inf, threshold, f"below {threshold:.4g}", among)


def within(name: str, values: pd.Series, low: float, high: float, among: int = 1) -> Verdict:
    """Return the verdict: it holds if the mean of `values`, one a seed, is from `low` to `high`."""
    return _judge(name, values, low, high, f"from {low:.4g} to {high:.4g}", among)


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict of all: it holds if all hold, fails if one fails, else is undecided; it has all numbers."""
    outcomes = {verdict.outcome for verdict in verdicts}
    outcome = next((worse for worse in (FAILS, UNDECIDED) if worse in outcomes), HOLDS)
    return Verdict(outcome, tuple(number for verdict in verdicts for number in verdict.numbers))


def _judge(name: str, values: pd.Series, low: float, high: float, wanted: str, among: int) -> Verdict:
    summary = summarise(values.dropna())
    if summary is None:
        raise Undecidable(f"no seed has a {name}")
    if summary.n < FEWEST:
        return Verdict(UNDECIDED, (Number(name, summary.mean, None, None, summary.n, wanted, UNDECIDED),))
    half = half_width(summary, among)
    start, end = summary.mean - half, summary.mean + half
    outcome = HOLDS if low < start and end < high else FAILS if end < low or high < start else UNDECIDED
    return Verdict(outcome, (Number(name, summary.mean, start, end, summary.n, wanted, outcome),))
