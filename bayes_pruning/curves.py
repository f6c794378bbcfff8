"""One cell of the experiment as curves: a metric by epoch and seed. Figures and claims are made from these."""

from dataclasses import dataclass

import pandas as pd

from bayes_pruning.errors import UserError
from bayes_pruning.plot_style import percent

GATED = ("bayes_random", "bayes_magnitude")  # the pruners that read every field of the protocol


@dataclass(frozen=True)
class Cell:
    """Runs that differ in their seed only; the sparsity is the one asked for, 0 for pruner none."""

    dataset: str
    model: str
    pruner: str
    sparsity: float = 0.0

    def __str__(self) -> str:
        return " ".join([self.dataset, self.model, self.pruner, *([percent(self.sparsity)] if self.sparsity else [])])


def runs_of(frame: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """The rows of a cell's runs, none if it has none. The unpruned runs have one cell, whatever sparsity is named."""
    sparsity = 0.0 if cell.pruner == "none" else cell.sparsity
    return frame[
        (frame["dataset"] == cell.dataset)
        & (frame["model"] == cell.model)
        & (frame["pruner"] == cell.pruner)
        & (frame["target_sparsity"] == sparsity)
    ]


def curves(frame: pd.DataFrame, cell: Cell, metric: str) -> pd.DataFrame:
    """A metric of a cell's runs: a row an epoch, a column a seed; empty if there are no runs.

    Raises UserError if two runs share a seed, which happens when runs of two protocols are mixed.
    """
    rows = runs_of(frame, cell)
    twice = rows[rows.duplicated(["seed", "epoch"])]
    if not twice.empty:
        seed = twice["seed"].iloc[0]
        protocols = sorted(rows.loc[rows["seed"] == seed, "protocol"].unique())
        raise UserError(
            f"There are two runs of {cell}, seed {seed} (protocol {' and '.join(protocols)}): take one protocol and length."
        )
    return rows.pivot(index="epoch", columns="seed", values=metric).sort_index()


def sparsities(frame: pd.DataFrame, dataset: str, model: str, pruner: str) -> list[float]:
    """The sparsities asked of a method, ascending."""
    rows = frame[(frame["dataset"] == dataset) & (frame["model"] == model) & (frame["pruner"] == pruner)]
    return sorted(rows["target_sparsity"].unique())


def protocol_of(frame: pd.DataFrame) -> str:
    """What the runs' protocol is called in small print: that of the methods which read all of it, if there are any."""
    for rows in (frame[frame["pruner"].isin(GATED)], frame[frame["pruner"] != "none"], frame):
        if not rows.empty:
            return "; or ".join(sorted(rows["protocol"].unique()))
    return ""
