"""Details of training that the paper leaves open (experiment=details), each held against Table 1 beside the default.

A detail is the name of a network (conf/experiment/details.yaml), with "kept" after it where masks are kept. It is
compared to the default, `fcn`, over the cells and seeds that both have, by the likelihood of likelihood.py with the
variances of the default's runs: details are run with one or two seeds, which have next to none of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_pruning.results.paper import DATASETS, UNPRUNED, Key, display_name, paper_values, percent
from bayes_pruning.results.statistics import FEWEST
from bayes_pruning.results.tables import markdown as table_text
from bayes_pruning.studies import likelihood, table1
from bayes_pruning.studies.likelihood import Cells
from bayes_pruning.studies.table1 import BEFORE

DEFAULT = "fcn"
SHOWN = ((UNPRUNED, 0.0), ("random", 0.25), ("random", 0.5), ("random", 0.99), ("magnitude", 0.9), ("magnitude", 0.99))
LEGEND = (
    "Each cell: accuracy before pruning minus the paper's, mean over seeds. Distance: root mean square of these; the "
    "default's over the same cells and seeds in brackets. Nearer by: how many nats more likely the paper's values are "
    "than under the default, over these cells; below -3 the default has 95% of the weight of the two."
)


@dataclass(frozen=True)
class Detail:
    """One detail on one data set."""

    dataset: str
    name: str  # without the "fcn_" of the network's
    seeds: int  # the most that a cell has
    differences: Mapping[tuple[str, float], float]  # our mean minus the paper's value, by pruner and sparsity
    rms: float
    default_rms: float  # over the same cells and seeds
    nearer: float  # log-likelihood minus the default's, in nats


def compare(runs: pd.DataFrame, base: pd.DataFrame) -> list[Detail]:
    """Every detail that has cells in common with the default, the nearest first on each data set.

    Args:
        runs: of the experiment, with those of the default.
        base: the default's with several seeds a cell, for their variances.
    """
    found = []
    for dataset in DATASETS:
        here = _cells(runs[runs["dataset"] == dataset])
        default = here.pop(DEFAULT, {})
        details = [
            _compared(dataset, name, cells, default, base) for name, cells in here.items() if _shared(cells, default)
        ]
        found += sorted(details, key=lambda detail: -detail.nearer)
    return found


def _cells(runs: pd.DataFrame) -> dict[str, dict[tuple[str, float], pd.Series]]:
    """The accuracies by seed of each pruner and sparsity, by detail."""
    kept = runs["protocol"].str.startswith("stay zero") & (runs["pruner"] != UNPRUNED)
    final = runs.assign(detail=runs["model"] + np.where(kept, " kept", ""))
    final = final[final["epoch"] == final["epochs"]]
    found: dict[str, dict[tuple[str, float], pd.Series]] = {}
    for (detail, pruner, sparsity), rows in final.groupby(["detail", "pruner", "target_sparsity"]):
        values = rows.set_index("seed")[BEFORE.column]
        found.setdefault(str(detail), {})[str(pruner), float(sparsity)] = values  # type: ignore[arg-type]
    return found


def _shared(
    cells: Mapping[tuple[str, float], pd.Series], default: Mapping[tuple[str, float], pd.Series]
) -> list[tuple[str, float]]:
    return [cell for cell in SHOWN if cell in cells and cell in default and len(_seeds(cells[cell], default[cell]))]


def _seeds(one: pd.Series, other: pd.Series) -> pd.Index:
    return one.index.intersection(other.index)


def _compared(
    dataset: str,
    name: str,
    cells: Mapping[tuple[str, float], pd.Series],
    default: Mapping[tuple[str, float], pd.Series],
    base: pd.DataFrame,
) -> Detail:
    shared, paper = _shared(cells, default), paper_values()
    values = np.array([paper[dataset, DEFAULT, *cell] for cell in shared])
    seeds = np.array([len(_seeds(cells[cell], default[cell])) for cell in shared])
    variance = _variances(dataset, shared, base)
    residuals = [
        values - np.array([own[cell].loc[_seeds(cells[cell], default[cell])].mean() for cell in shared])
        for own in (cells, default)
    ]
    both = Cells(np.stack(residuals), np.stack([variance] * 2), np.stack([variance / seeds] * 2))
    likelihoods = likelihood.log_likelihood(both)
    rms = np.sqrt((both.residual**2).mean(-1))
    return Detail(
        dataset,
        name.removeprefix(f"{DEFAULT}_").replace("_", " "),
        int(seeds.max()),
        dict(zip(shared, (-residuals[0]).tolist(), strict=True)),
        float(rms[0]),
        float(rms[1]),
        float(likelihoods[0] - likelihoods[1]),
    )


def _variances(dataset: str, cells: Sequence[tuple[str, float]], base: pd.DataFrame) -> np.ndarray:
    """Of one run in each cell, from the default's seeds; where it has too few, the median of the data set's cells."""
    final = table1.final_by_seed(base[(base["dataset"] == dataset) & (base["model"] == DEFAULT)])
    known = {key: float(rows[BEFORE.column].var()) for key, rows in final.items() if len(rows) >= FEWEST}
    keys: list[Key] = [(dataset, DEFAULT, *cell) for cell in cells]
    return np.array([known.get(key, float(np.median(list(known.values())))) for key in keys])


def markdown(found: Sequence[Detail]) -> str:
    """A table for each data set."""
    head = ["Detail", "Seeds", *(_cell_name(*cell) for cell in SHOWN), "Distance", "Nearer by"]
    parts = []
    for dataset in dict.fromkeys(detail.dataset for detail in found):
        rows = [
            [
                detail.name,
                str(detail.seeds),
                *(f"{detail.differences[cell]:+.4f}" if cell in detail.differences else "" for cell in SHOWN),
                f"{detail.rms:.4f} ({detail.default_rms:.4f})",
                f"{detail.nearer:+.1f}",
            ]
            for detail in found
            if detail.dataset == dataset
        ]
        parts.append(f"{display_name(dataset)}:\n\n" + table_text(head, rows))
    return "\n".join([*parts, f"{LEGEND}\n"])


def _cell_name(pruner: str, sparsity: float) -> str:
    return display_name(pruner) if pruner == UNPRUNED else f"{display_name(pruner)} {percent(sparsity)}"
