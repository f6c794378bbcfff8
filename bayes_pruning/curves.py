"""One cell of the experiment as curves: a metric by epoch and seed. Figures and claims are made from these."""

from dataclasses import dataclass

import pandas as pd

from bayes_pruning.errors import UserError
from bayes_pruning.logged import UNPRUNED
from bayes_pruning.readings import protocols


@dataclass(frozen=True)
class Cell:
    """Runs that differ in their seed only. The unpruned baseline is one cell, whatever sparsity is named."""

    dataset: str
    model: str
    pruner: str
    sparsity: float = 0.0  # as asked

    def __str__(self) -> str:
        named = [self.dataset, self.model, self.pruner]
        return " ".join(named if self.pruner == UNPRUNED else [*named, percent(self.sparsity)])


def runs_of(frame: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """The rows of a cell's runs, none if it has none."""
    return frame[
        (frame["dataset"] == cell.dataset)
        & (frame["model"] == cell.model)
        & (frame["pruner"] == cell.pruner)
        & (frame["target_sparsity"] == (0.0 if cell.pruner == UNPRUNED else cell.sparsity))
    ]


def curves(frame: pd.DataFrame, cell: Cell, metric: str) -> pd.DataFrame:
    """A metric of a cell's runs: a row an epoch, a column a seed; empty if there are no runs.

    Raises UserError if two runs share a seed, as when runs of two protocols are mixed.
    """
    rows = runs_of(frame, cell)
    twice = rows[rows.duplicated(["seed", "epoch"])]
    if not twice.empty:
        seed = twice["seed"].iloc[0]
        names = " and ".join(sorted(rows.loc[rows["seed"] == seed, "run"].unique()))
        raise UserError(f"{names} are both {cell}, seed {seed}: take the runs of one protocol and one length.")
    return rows.pivot(index="epoch", columns="seed", values=metric).sort_index()


def sparsities_of(frame: pd.DataFrame, dataset: str, model: str, pruner: str) -> list[float]:
    """The sparsities asked of a method, ascending."""
    rows = frame[(frame["dataset"] == dataset) & (frame["model"] == model) & (frame["pruner"] == pruner)]
    return sorted(rows["target_sparsity"].unique())


def setting(frame: pd.DataFrame) -> str:
    """The protocol and length of the runs in words; unpruned runs stand for any protocol."""
    pruned = frame[frame["pruner"] != UNPRUNED]
    rows = frame if pruned.empty else pruned
    epochs = " or ".join(str(epochs) for epochs in sorted(rows["epochs"].unique()))
    return f"Protocol: {'; or '.join(protocols(rows))}. {epochs} epochs."


def percent(fraction: float) -> str:
    """0.25 -> '25%', 0.725 -> '72.5%'."""
    return f"{100 * fraction:.10g}%"
