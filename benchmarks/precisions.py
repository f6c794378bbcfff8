"""The same runs in two precisions: can their accuracies be told apart?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bayes_pruning.config.errors import UserError
from bayes_pruning.results.paper import Key
from bayes_pruning.results.statistics import CONFIDENCE, Difference, half_width, paired_difference, summarise
from bayes_pruning.studies.table1 import ACCURACIES, Accuracy, final_by_seed

RARE = 0.01  # of so many intervals without zero: less likely by chance than this is no chance


@dataclass(frozen=True)
class Judged:
    """One accuracy over all cells: second minus first."""

    accuracy: Accuracy
    cells: Sequence[tuple[Key, Difference]]
    outside: int  # cells whose interval leaves out zero
    chance: float  # probability of at least as many if there is no difference
    mean: float  # over the cells
    half_width: float  # of its 95% interval; NaN for one cell

    @property
    def distinguishable(self) -> bool:
        """Whether too many cells differ, or their mean does."""
        return self.chance < RARE or abs(self.mean) > self.half_width


@dataclass(frozen=True)
class Comparison:
    """Both accuracies, and cells that only one of the two has."""

    judged: Sequence[Judged]
    unpaired: Sequence[Key]

    @property
    def distinguishable(self) -> bool:
        """Whether either accuracy can be told apart."""
        return any(judged.distinguishable for judged in self.judged)


def compare(first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
    """Pair the last epochs of two frames (readings.choose) by cell and seed.

    Raises UserError if no cell has two seeds in common.
    """
    one, other = final_by_seed(first), final_by_seed(second)
    unpaired = sorted(one.keys() ^ other.keys())
    judged = []
    for accuracy in ACCURACIES:
        cells = []
        for key in sorted(one.keys() & other.keys()):
            found = paired_difference(other[key][accuracy.column], one[key][accuracy.column])
            if found is not None and found.n > 1:
                cells.append((key, found))
        if not cells:
            raise UserError("No cell has two seeds in both sources, so there is nothing to compare.")
        judged.append(_judge(accuracy, cells))
    return Comparison(judged, unpaired)


def _judge(accuracy: Accuracy, cells: Sequence[tuple[Key, Difference]]) -> Judged:
    # Equal in every seed is no difference, although its interval, of no width, is one point.
    outside = sum(found.low > 0 or found.high < 0 for _, found in cells)
    means = summarise(found.mean for _, found in cells)
    assert means is not None
    return Judged(
        accuracy, cells, outside, at_least(outside, len(cells), 1 - CONFIDENCE), means.mean, half_width(means)
    )


def at_least(successes: int, trials: int, probability: float) -> float:
    """Probability of `successes` or more in independent trials of one probability each."""
    terms = (math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k) for k in range(successes))
    return 1 - math.fsum(terms)


def markdown(comparison: Comparison, every: bool) -> str:
    """The verdict, and the cells whose interval leaves out zero, or every cell."""
    lines = []
    for judged in comparison.judged:
        verdict = "can be told apart" if judged.distinguishable else "can not be told apart"
        lines += [
            f"**Accuracy {judged.accuracy.when} pruning: {verdict}.** {len(judged.cells)} cells; mean difference "
            f"{100 * judged.mean:+.4f} ± {100 * judged.half_width:.4f} points; {judged.outside} intervals without zero "
            f"(by chance at least as many with probability {judged.chance:.2f}).",
            "",
        ]
        shown = [(key, found) for key, found in judged.cells if every or found.low > 0 or found.high < 0]
        if shown:
            lines += ["| cell | seeds | difference, points | 95% interval |", "|---|---:|---:|---|"]
        for (dataset, model, pruner, sparsity), found in shown:
            interval = f"{100 * found.low:+.3f} to {100 * found.high:+.3f}"
            cell = f"{dataset}, {model}, {pruner}, {sparsity:g}"
            lines.append(f"| {cell} | {found.n} | {100 * found.mean:+.3f} | {interval} |")
        lines += [""] if shown else []
    if comparison.unpaired:
        lines += [f"Not compared, because only one of the two has them: {len(comparison.unpaired)} cells.", ""]
    return "\n".join(lines)
