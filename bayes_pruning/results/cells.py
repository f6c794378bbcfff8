"""One cell of the experiment as curves: a metric by epoch and seed. Figures and claims are made from these."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.presets import ratio_of
from bayes_pruning.results.names import percent
from bayes_pruning.results.run_records import UNPRUNED
from bayes_pruning.results.selection import protocols
from bayes_pruning.training.metrics import COLUMNS


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
    return _by_epoch(runs_of(frame, cell), cell, metric)


class Cells:
    """The cells of a tidy frame, each searched for once: for what asks for many curves.

    Args:
        frame: runs of one protocol (readings.choose).
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        keys = ["dataset", "model", "pruner", "target_sparsity"]
        groups: Any = frame.groupby(keys)  # with tuples of three strings and a float as keys
        self._rows: dict[Cell, pd.DataFrame] = {Cell(*key): rows for key, rows in groups}
        self._tables: dict[Cell, pd.DataFrame] = {}

    def ratio(self, cell: Cell) -> str:
        """What the Bayes factor of a cell's runs is a ratio of (decisions.RATIOS)."""
        return ratio_of(str(self._rows[cell]["protocol"].iloc[0]))

    def curves(self, cell: Cell, metric: str) -> pd.DataFrame:
        """As the function of this name, of the frame."""
        known = Cell(cell.dataset, cell.model, cell.pruner) if cell.pruner == UNPRUNED else cell
        if known not in self._rows:
            return pd.DataFrame()
        if known not in self._tables:
            self._tables[known] = _by_epoch(self._rows[known], known, COLUMNS[1:])
        found: Any = self._tables[known][metric]  # a frame: all columns under that name
        return found  # type: ignore[no-any-return]


def _by_epoch(rows: pd.DataFrame, cell: Cell, metric: str | Sequence[str]) -> pd.DataFrame:
    """A row an epoch, a column a seed; of several metrics, their tables side by side under their names."""
    twice = rows[rows.duplicated(["seed", "epoch"])]
    if not twice.empty:
        seed = twice["seed"].iloc[0]
        names = " and ".join(sorted(rows.loc[rows["seed"] == seed, "run"].unique()))
        raise UserError(f"{names} are both {cell}, seed {seed}: take the runs of one protocol and one length.")
    values: Any = metric if isinstance(metric, str) else list(metric)
    return rows.pivot(index="epoch", columns="seed", values=values).sort_index()


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
