"""What claims are about, each one number a seed: last values, overfitting, oscillation, trends of the Bayes factor.

Losses and accuracies are those before pruning unless a name says otherwise. A measure raises Undecidable if its runs
are missing or too short for it.
"""

import numpy as np
import pandas as pd

from bayes_pruning.claim_rules import Undecidable, Where
from bayes_pruning.curves import Cell, Cells

WINDOW = 4  # epochs over which a loss is averaged; even, since a gate that opens every other epoch makes it zigzag
FEWEST_EPOCHS = 2 * WINDOW  # for a statement about early and late epochs
FEWEST_FACTORS = 3  # pruned epochs for a trend of the Bayes factor
SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.99)


def by_epoch(runs: Cells, cell: Cell, metric: str) -> pd.DataFrame:
    """A metric: a row an epoch, a column a seed."""
    found = runs.curves(cell, metric)
    if found.empty:
        raise Undecidable(f"no runs of {cell}")
    return found


def long_enough(runs: Cells, cell: Cell, metric: str) -> pd.DataFrame:
    """As `by_epoch`, of runs that have early and late epochs."""
    found = by_epoch(runs, cell, metric)
    if len(found) < FEWEST_EPOCHS:
        raise Undecidable(f"the runs of {cell} have {len(found)} epochs, which is fewer than {FEWEST_EPOCHS}")
    return found


def last(runs: Cells, cell: Cell, metric: str) -> pd.Series:
    """A metric at the last epoch."""
    return by_epoch(runs, cell, metric).iloc[-1]


def fall(runs: Cells, cell: Cell, metric: str) -> pd.Series:
    """By how much a metric is lower at the last epoch than at the first."""
    found = long_enough(runs, cell, metric)
    return found.iloc[0] - found.iloc[-1]


def lowest_epoch(runs: Cells, cell: Cell) -> pd.Series:
    """The epoch of the lowest test loss, after which it turns."""
    return long_enough(runs, cell, "test_loss").idxmin()


def overfitting(runs: Cells, cell: Cell) -> pd.Series:
    """How far the test loss rises after its lowest value, as a fraction of that; both are means of WINDOW epochs."""
    smooth = long_enough(runs, cell, "test_loss").rolling(WINDOW).mean()
    return smooth.iloc[-1] / smooth.min() - 1


def oscillation(runs: Cells, cell: Cell) -> pd.Series:
    """Mean absolute change of the test loss from one epoch to the next, in nats."""
    return long_enough(runs, cell, "test_loss").diff().abs().mean()


def sparsity_steps(runs: Cells, cell: Cell) -> pd.Series:
    """Mean absolute change of the sparsity after the epoch, from one epoch to the next, over the last third."""
    found = long_enough(runs, cell, "sparsity")
    return found.diff().abs().iloc[-(len(found) // 3) :].mean()


def log_factors(runs: Cells, cell: Cell) -> pd.DataFrame:
    """Log Bayes factors in nats where something was pruned, NaN elsewhere (there the factor is 1 by definition)."""
    return by_epoch(runs, cell, "log_bayes_factor").where(by_epoch(runs, cell, "pruned") == 1)


def factor_trend(runs: Cells, cell: Cell) -> pd.Series:
    """Least-squares slope of the log Bayes factor, in nats an epoch, for seeds with FEWEST_FACTORS epochs pruned."""
    slopes = {seed: _slope(values.dropna()) for seed, values in log_factors(runs, cell).items()}
    found = pd.Series({seed: slope for seed, slope in slopes.items() if slope is not None}, dtype=float)
    if found.empty:
        raise Undecidable(f"no run of {cell} pruned in {FEWEST_FACTORS} epochs")
    return found


def _slope(values: pd.Series) -> float | None:
    if len(values) < FEWEST_FACTORS:
        return None
    return float(np.polyfit(values.index.to_numpy(dtype=float), values.to_numpy(), 1)[0])


def paired(first: pd.Series, second: pd.Series) -> pd.Series:
    """first - second for the seeds that both have."""
    difference = (first - second).dropna()
    if difference.empty:
        raise Undecidable("the runs compared share no seed")
    return difference


def over_baseline(runs: Cells, where: Where, pruner: str, sparsity: float, metric: str) -> pd.Series:
    """A metric of a method at the last epoch minus that of the unpruned network."""
    return paired(last(runs, where.cell(pruner, sparsity), metric), last(runs, where.cell("none"), metric))


def step_trend(runs: Cells, where: Where, pruner: str, metric: str) -> pd.Series:
    """Least-squares slope of a metric at the last epoch over the five sparsities, a step from one to the next."""
    values = pd.concat([last(runs, where.cell(pruner, level), metric) for level in SPARSITIES], axis=1).dropna()
    if values.empty:
        raise Undecidable("the runs compared share no seed")
    steps = np.arange(len(SPARSITIES)) - (len(SPARSITIES) - 1) / 2
    return pd.Series(values.to_numpy() @ steps / (steps @ steps), index=values.index)
