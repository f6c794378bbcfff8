"""Group the runs of a frame by cell: those that differ in their seed only. Figures and claims are made from these."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bayes_pruning.config.errors import UserError
from bayes_pruning.results.paper import UNPRUNED, percent

CELL = ["dataset", "model", "pruner", "target_sparsity"]


@dataclass(frozen=True)
class Cell:
    """Name a cell: the data set, network, pruner and sparsity that its runs share."""

    dataset: str
    model: str
    pruner: str
    sparsity: float = 0.0  # as asked; 0 for the unpruned baseline

    def __str__(self) -> str:
        names = [self.dataset, self.model, self.pruner]
        return " ".join(names if self.pruner == UNPRUNED else [*names, percent(self.sparsity)])


class Cells:
    """Hold the cells of a tidy frame of one protocol (selection.choose), and in `rows` the rows of each cell's runs.

    Raise UserError if two runs of a cell share a seed.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        refuse_shared_seeds(frame)
        groups: Any = frame.groupby(CELL)  # whose keys are tuples of three strings and a float
        self.rows: dict[Cell, pd.DataFrame] = {Cell(*key): rows for key, rows in groups}
        self._pivots: dict[tuple[Cell, str], pd.DataFrame] = {}  # claims ask for the same ones again

    def by_epoch(self, cell: Cell, metric: str) -> pd.DataFrame:
        """Return a metric of a cell's runs: a row an epoch, a column a seed; empty if there are no runs."""
        if cell not in self.rows:
            return pd.DataFrame()
        if (cell, metric) not in self._pivots:
            self._pivots[cell, metric] = self.rows[cell].pivot(index="epoch", columns="seed", values=metric)
        return self._pivots[cell, metric]


def refuse_mixed_settings(frame: pd.DataFrame) -> None:
    """Raise UserError, naming two runs, if runs of a cell differ in a setting that no table names."""
    told = frame.drop_duplicates("hash").drop_duplicates([*CELL, "settings"])
    groups: Any = told[told.duplicated(CELL, keep=False)].groupby(CELL)
    for key, cell in groups:
        first, *others = zip(cell["run"], map(json.loads, cell["settings"]), strict=True)
        for run, settings in others:
            for name in sorted(first[1] | settings):
                if (here := first[1].get(name)) != (there := settings.get(name)):
                    raise UserError(
                        f"{first[0]} and {run} are both {Cell(*key)} and differ in {name} ({json.dumps(here)} and "
                        f"{json.dumps(there)}): keep them in separate folders, or give one another model.name or "
                        "pruner.name."
                    )


def refuse_shared_seeds(frame: pd.DataFrame) -> None:
    """Raise UserError if two runs of a cell share a seed, as when runs of two protocols are mixed."""
    twice = frame[frame.duplicated([*CELL, "seed", "epoch"])]
    if not twice.empty:
        seed, cell = twice["seed"].iloc[0], twice[CELL].iloc[0]
        same = (frame[CELL] == cell).all(axis=1) & (frame["seed"] == seed)
        names = " and ".join(sorted(frame.loc[same, "run"].unique()))
        both = f"{names} are both {Cell(*cell)}, seed {seed}"
        raise UserError(f"{both}: keep them in separate folders, or take the runs of one protocol and one length.")
