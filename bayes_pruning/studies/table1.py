"""Build the paper's Table 1 from logged runs, with the spread that the paper leaves out and its values beside ours.

`cells` turns a frame (results.frame, narrowed by selection.choose) into the cells of the table; `compare` pairs
methods by seed, each Bayes method with its classic twin or its controls. What there are no runs for is None here and
shown as missing. Rendering is in formats.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bayes_pruning.results import declared
from bayes_pruning.results.paper import DATASETS, METHODS, MODELS, UNPRUNED, Key, paper_values, rank
from bayes_pruning.results.statistics import Difference, Summary, paired_difference, summarise


@dataclass(frozen=True)
class Accuracy:
    """Say which network's accuracy a table reports, and the columns of metrics.csv that hold it."""

    when: str
    network: str  # in words, for the caption
    column: str
    sparsity: str  # the column with the measured sparsity of that same network


BEFORE = Accuracy("before", "the network as the optimiser left it", "test_accuracy", "sparsity_before")
AFTER = Accuracy("after", "the network after the gate's decision", "pruned_test_accuracy", "sparsity")
ACCURACIES = (BEFORE, AFTER)


@dataclass(frozen=True)
class Cell:
    """Hold one method at one sparsity: our runs (None without any), the paper's value (None where it has none)."""

    ours: Summary | None  # accuracy over seeds
    sparsity: float | None  # measured, mean over seeds
    paper: float | None

    @property
    def difference(self) -> float | None:
        """Return our mean minus the paper's value."""
        return None if self.ours is None or self.paper is None else self.ours.mean - self.paper


# A method minus another in one cell, paired by seed, by Accuracy.when; None if they share no seed.
Differences = Mapping[str, Difference | None]


def cells(frame: pd.DataFrame, accuracy: Accuracy) -> dict[Key, Cell]:
    """Return the cells of Table 1 at each run's last epoch, in the paper's order, the unpruned one of a block first.

    They are the paper's (if the runs are of any of its data sets) and those that only our runs have.
    """
    runs, methods = final_by_seed(frame), method_names(frame)
    paper = paper_values() if set(frame["dataset"]) & {*DATASETS} else {}
    found: dict[Key, Cell] = {}
    for dataset, model, sparsity in grid([*runs, *paper]):
        pruned = [] if sparsity is None else [(dataset, model, method, sparsity) for method in methods]
        for key in [(dataset, model, UNPRUNED, 0.0), *pruned]:
            ours = summarise(runs[key][accuracy.column]) if key in runs else None
            measured = float(runs[key][accuracy.sparsity].mean()) if key in runs else None
            found[key] = Cell(ours, measured, paper.get(key))
    return found


Pair = tuple[str, str]  # a method, and what it is compared to


def twins(frame: pd.DataFrame) -> list[Pair]:
    """Return each method that declares a classic twin, and that twin."""
    known = declared.twins(frame)
    return [(name, known[name]) for name in method_names(frame) if name in known]


def controls(frame: pd.DataFrame) -> list[Pair]:
    """Return each of the paper's Bayes methods with each of its controls that has runs."""
    names = method_names(frame)
    return [(method, control) for control, method in declared.controls() if method in METHODS and control in names]


def compare(frame: pd.DataFrame, pairs: Sequence[Pair]) -> dict[tuple[Key, str], Differences]:
    """Compare the methods of each pair, wherever there are runs of any method.

    Return the differences by the first method's cell and the name of the second.
    """
    runs = final_by_seed(frame)
    compared: dict[tuple[Key, str], Differences] = {}
    for dataset, model, sparsity in grid(runs):
        if sparsity is None:
            continue
        for method, twin in pairs:
            key = (dataset, model, method, sparsity)
            one, other = runs.get(key), runs.get((dataset, model, twin, sparsity))
            compared[key, twin] = {accuracy.when: paired(one, other, accuracy) for accuracy in ACCURACIES}
    return compared


def paired(one: pd.DataFrame | None, other: pd.DataFrame | None, accuracy: Accuracy) -> Difference | None:
    """Return the difference of two cells' runs (`final_by_seed`), None if one has no runs or they share no seed."""
    if one is None or other is None:
        return None
    return paired_difference(one[accuracy.column], other[accuracy.column])


def method_names(frame: pd.DataFrame) -> list[str]:
    """Return the paper's four methods, then any other pruner of the runs."""
    return [*METHODS, *sorted(set(frame["pruner"]) - {UNPRUNED, *METHODS})]


def final_by_seed(frame: pd.DataFrame) -> dict[Key, pd.DataFrame]:
    """Return the last epoch of each run, by what it is, each indexed by seed."""
    final = frame[frame["epoch"] == frame["epochs"]].set_index("seed")
    groups = final.groupby(["dataset", "model", "pruner", "target_sparsity"])
    return {(str(d), str(m), str(p), float(s)): group for (d, m, p, s), group in groups}  # type: ignore[arg-type]


def grid(keys: Iterable[Key]) -> list[tuple[str, str, float | None]]:
    """Return (dataset, model, sparsity) of the table's rows in order; with only a baseline, one of sparsity None."""
    sparsities: dict[tuple[str, str], set[float]] = {}
    for dataset, model, pruner, sparsity in keys:
        asked = sparsities.setdefault((dataset, model), set())
        if pruner != UNPRUNED:
            asked.add(sparsity)
    pairs = sorted(sparsities, key=lambda pair: (rank(pair[0], DATASETS), rank(pair[1], MODELS)))
    return [(*pair, sparsity) for pair in pairs for sparsity in sorted(sparsities[pair]) or (None,)]
