"""Measure what claims are about, one number a seed: last values, overfitting, oscillation, trends of the Bayes factor.

Losses and accuracies are those before pruning unless a name says otherwise. A measure raises Undecidable if its runs
are missing or too short for it.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from bayes_pruning.config.paths import conf_dir
from bayes_pruning.config.presets import ratio_of
from bayes_pruning.pruning.posterior import log_ratio
from bayes_pruning.results.cells import Cell, Cells
from bayes_pruning.results.paper import SPARSITIES, UNPRUNED
from bayes_pruning.results.statistics import FEWEST, summarise
from bayes_pruning.studies.claims.rules import Undecidable, Where

WINDOW = 4  # epochs over which a loss is averaged; even, since a gate that opens every other epoch makes it zigzag
FEWEST_EPOCHS = 2 * WINDOW  # for a statement about early and late epochs
FEWEST_FACTORS = 3  # pruned epochs for a trend of the Bayes factor
# Deviations of one run. Two runs differ by less in 95 of 100 pairs if the deviation is known. It is estimated: from ten
# seeds the difference of two others is within it in 92, from five in 88, from three in 81 of 100 pairs.
PAIR_OF_SEEDS = 1.96 * 2**0.5


def by_epoch(runs: Cells, cell: Cell, metric: str) -> pd.DataFrame:
    """Return a metric: a row an epoch, a column a seed."""
    values = runs.by_epoch(cell, metric)
    if values.empty:
        raise Undecidable(f"no runs of {cell}")
    return values


def long_enough(runs: Cells, cell: Cell, metric: str) -> pd.DataFrame:
    """Return the same of runs that have early and late epochs."""
    values = by_epoch(runs, cell, metric)
    if len(values) < FEWEST_EPOCHS:
        raise Undecidable(f"the runs of {cell} have {len(values)} epochs, which is fewer than {FEWEST_EPOCHS}")
    return values


def last(runs: Cells, cell: Cell, metric: str) -> pd.Series:
    """Return a metric at the last epoch."""
    return by_epoch(runs, cell, metric).iloc[-1]


def lowest_epoch(runs: Cells, cell: Cell) -> pd.Series:
    """Return the epoch of the lowest test loss, after which it turns."""
    return long_enough(runs, cell, "test_loss").idxmin()


def overfitting(runs: Cells, cell: Cell) -> pd.Series:
    """Return how far the test loss rises after its lowest value, as a fraction of it; both over WINDOW epochs."""
    smooth = long_enough(runs, cell, "test_loss").rolling(WINDOW).mean()
    return smooth.iloc[-1] / smooth.min() - 1


def oscillation(runs: Cells, cell: Cell, metric: str) -> pd.Series:
    """Return the mean absolute change of a loss from one epoch to the next, in nats."""
    return long_enough(runs, cell, metric).diff().abs().mean()


def sparsity_steps(runs: Cells, cell: Cell) -> pd.Series:
    """Return the mean absolute change of the sparsity from one epoch to the next, over the last third."""
    sparsities = long_enough(runs, cell, "sparsity")
    return sparsities.diff().abs().iloc[-(len(sparsities) // 3) :].mean()


def log_factors(runs: Cells, cell: Cell) -> pd.DataFrame:
    """Return log Bayes factors in nats where something was pruned, NaN elsewhere (there the factor is 1 by definition).

    They are of the ratio that the runs' own reading takes (posterior.log_ratio).
    """
    names = ("log_likelihood", "log_prior", "log_likelihood_before", "log_prior_before")
    after, prior, before, prior_before = (by_epoch(runs, cell, name) for name in names)
    ratios = np.vectorize(log_ratio, excluded=("ratio",), otypes=[float])(
        after + prior, before + prior_before, ratio=ratio_of(runs.rows[cell]["protocol"].iloc[0])
    )
    factors = pd.DataFrame(ratios, after.index, after.columns).where(by_epoch(runs, cell, "pruned") == 1)
    if factors.isna().all(axis=None):
        raise Undecidable(f"the Bayes factors of {cell} were not computed, or nothing was pruned")
    return factors


def tolerance(runs: Cells, where: Where) -> float:
    """Return the difference below which accuracies are similar: 2.8 deviations of the unpruned seeds."""
    unpruned = summarise(last(runs, where.cell(UNPRUNED), "test_accuracy"))
    if unpruned is None or unpruned.n < FEWEST:
        raise Undecidable(f"fewer than {FEWEST} unpruned seeds, whose deviation is the measure of what is similar")
    return PAIR_OF_SEEDS * unpruned.sd


def beyond_seeds(runs: Cells, where: Where, pruner: str, metric: str) -> pd.Series:
    """Return by how much more a metric differs from the unpruned run of its seed than unpruned runs among themselves.

    Both are relative differences without sign, means over the epochs from the second on.
    """
    unpruned = long_enough(runs, where.cell(UNPRUNED), metric).iloc[1:]
    pruned = (long_enough(runs, where.cell(pruner), metric).iloc[1:] / unpruned - 1).abs().mean()
    if unpruned.shape[1] < 2:
        raise Undecidable("a single unpruned seed")
    between = [(unpruned.drop(columns=b).div(unpruned[b], axis=0) - 1).abs().mean() for b in unpruned]
    return pruned - float(np.mean(between))


def factor_trend(runs: Cells, cell: Cell) -> pd.Series:
    """Return the least-squares slope of the log Bayes factor, in nats an epoch, if FEWEST_FACTORS epochs pruned."""
    known = log_factors(runs, cell).dropna(axis=1, thresh=FEWEST_FACTORS)
    if known.empty:
        raise Undecidable(f"no run of {cell} pruned in {FEWEST_FACTORS} epochs")
    slopes = {}
    for seed, factors in known.items():
        values = factors.dropna()
        slopes[seed] = np.polyfit(values.index.to_numpy(dtype=float), values.to_numpy(), 1)[0]
    return pd.Series(slopes)


def weights(model: str) -> int:
    """Return the number of prunable weights of a network of conf/model for images of 28 x 28, grey, and ten classes."""
    about = OmegaConf.load(conf_dir() / "model" / f"{model}.yaml")
    if model == "fcn":
        return sum(a * b for a, b in pairwise([28 * 28, *about.hidden, 10]))
    filters, side = [1, *about.filters], 28 // 2 ** len(about.filters)
    convolutions = sum(a * b * about.kernel_size**2 for a, b in pairwise(filters))
    return convolutions + filters[-1] * side**2 * about.hidden + about.hidden * 10


def paired(first: pd.Series, second: pd.Series) -> pd.Series:
    """Return first - second for the seeds that both have."""
    difference = (first - second).dropna()
    if difference.empty:
        raise Undecidable("the runs compared share no seed")
    return difference


def over_baseline(runs: Cells, where: Where, pruner: str, sparsity: float, metric: str) -> pd.Series:
    """Return a metric of a method at the last epoch minus that of the unpruned network."""
    return paired(last(runs, where.cell(pruner, sparsity), metric), last(runs, where.cell(UNPRUNED), metric))


def step_trend(runs: Cells, where: Where, pruner: str, metric: str) -> pd.Series:
    """Return the least-squares slope of a metric at the last epoch over the five sparsities, a step apart."""
    return slope_over_steps([last(runs, where.cell(pruner, level), metric) for level in SPARSITIES])


def slope_over_steps(levels: Sequence[pd.Series]) -> pd.Series:
    """Return the least-squares slope over the five sparsities, a step apart, of a number at each, by seed."""
    values = pd.concat(levels, axis=1).dropna()
    if values.empty:
        raise Undecidable("the runs compared share no seed")
    steps = np.arange(len(SPARSITIES)) - (len(SPARSITIES) - 1) / 2
    return pd.Series(values.to_numpy() @ steps / (steps @ steps), index=values.index)
