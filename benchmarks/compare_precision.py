"""Test whether runs of another precision differ from those in fp32, by paired differences over a cell's seeds.

python benchmarks/compare_precision.py outputs/fp32 outputs/tf32            two folders of runs, or published archives
python benchmarks/compare_precision.py fp32.parquet tf32.parquet --all      every cell, not only those that differ

A cell is a data set, network, pruner and sparsity; its difference is second minus first, with a 95% t interval. With
no difference anywhere one interval in twenty leaves out zero all the same, so the verdict is on two numbers:
how many do, against what chance allows (one-sided binomial, 1%), and the mean over all cells with its own interval,
of which a cell's mean counts as one observation.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import checkout  # noqa: F401  (so that the package is found)
import pandas as pd
import scipy.stats

from bayes_pruning.config.errors import UserError
from bayes_pruning.results import frame
from bayes_pruning.results.paper import Key
from bayes_pruning.results.selection import choose, lengths
from bayes_pruning.results.statistics import CONFIDENCE, FEWEST, Difference, half_width, paired_difference, summarise
from bayes_pruning.results.tables import markdown as table_text
from bayes_pruning.script import report_incomplete, run
from bayes_pruning.studies.table1 import ACCURACIES, Accuracy, final_by_seed

RARE = 0.01  # of so many intervals without zero: less likely by chance than this is no chance


@dataclass(frozen=True)
class Judged:
    """Hold one accuracy over all cells: second minus first."""

    accuracy: Accuracy
    cells: Sequence[tuple[Key, Difference]]
    outside: int  # cells whose interval leaves out zero
    chance: float  # probability of at least as many if there is no difference
    mean: float  # over the cells
    half_width: float  # of its 95% interval

    @property
    def distinguishable(self) -> bool:
        """Return whether too many cells differ, or their mean does."""
        return self.chance < RARE or abs(self.mean) > self.half_width


def compare(first: pd.DataFrame, second: pd.DataFrame) -> tuple[list[Judged], int]:
    """Pair the last epochs of two frames (selection.choose) by cell and seed, for each accuracy.

    Also return how many cells are not compared: only one of the two has them, or fewer than FEWEST seeds are in both.
    Raise UserError if fewer than FEWEST are left, or the two differ in their lengths.
    """
    if set(first["epochs"]) != set(second["epochs"]):
        each = f"{lengths(first)} and {lengths(second)} epochs"
        raise UserError(f"The two sources have runs of {each}: only runs of one length can be compared.")
    one, other = final_by_seed(first), final_by_seed(second)
    judged = []
    for accuracy in ACCURACIES:
        cells = []
        for key in sorted(one.keys() & other.keys()):
            difference = paired_difference(other[key][accuracy.column], one[key][accuracy.column])
            if difference is not None and difference.n >= FEWEST:
                cells.append((key, difference))
        if len(cells) < FEWEST:
            raise UserError(f"{len(cells)} cells have {FEWEST} seeds in both sources: a test takes at least {FEWEST}.")
        outside = sum(without_zero(difference) for _, difference in cells)
        chance = float(scipy.stats.binom.sf(outside - 1, len(cells), 1 - CONFIDENCE))
        means = summarise(difference.mean for _, difference in cells)
        assert means is not None
        judged.append(Judged(accuracy, cells, outside, chance, means.mean, half_width(means)))
    return judged, len(one.keys() | other.keys()) - len(cells)


def without_zero(difference: Difference) -> bool:
    """Return whether an interval leaves out zero; one without width, of seeds that are all equal, does not."""
    return difference.low > 0 or difference.high < 0


def markdown(judged: Sequence[Judged], unpaired: int, every: bool) -> str:
    """Return the verdict, and the cells whose interval leaves out zero, or every cell."""
    parts = []
    for each in judged:
        verdict = "can be told apart" if each.distinguishable else "can not be told apart"
        parts.append(
            f"**Accuracy {each.accuracy.when} pruning: {verdict}.** {len(each.cells)} cells; mean difference "
            f"{100 * each.mean:+.4f} ± {100 * each.half_width:.4f} points; {each.outside} intervals without zero "
            f"(by chance at least as many with probability {each.chance:.2f}).\n"
        )
        rows = [
            (
                f"{dataset}, {model}, {pruner}, {sparsity:g}",
                difference.n,
                f"{100 * difference.mean:+.3f}",
                f"{100 * difference.low:+.3f} to {100 * difference.high:+.3f}",
            )
            for (dataset, model, pruner, sparsity), difference in each.cells
            if every or without_zero(difference)
        ]
        if rows:
            parts.append(table_text(("cell", "seeds", "difference, points", "95% interval"), rows))
    if unpaired:
        parts.append(f"Not compared, because not both have {FEWEST} seeds of them: {unpaired} cells.\n")
    return "\n".join(parts)


def main() -> None:
    """Read both, print the comparison; exit status 1 if they can be told apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="runs in fp32: a folder of run folders, or an archive")
    parser.add_argument("second", type=Path, help="the same runs in another precision")
    parser.add_argument("--protocol", help="if the runs follow several protocols: which")
    parser.add_argument("--epochs", type=int, help="if the runs have different numbers of epochs: which")
    parser.add_argument("--all", action="store_true", help="list every cell")
    args = parser.parse_args()
    frames = []
    for source in (args.first, args.second):
        results = frame.load(source)
        report_incomplete(results)
        frames.append(choose(results.frame, args.protocol, args.epochs))
    judged, unpaired = compare(*frames)
    print(markdown(judged, unpaired, every=args.all), end="")
    if any(each.distinguishable for each in judged):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
