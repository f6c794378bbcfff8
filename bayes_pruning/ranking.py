"""Which reading of the paper its Table 1 follows: how far each reading's accuracies are from the paper's.

For a reading and an accuracy (before or after pruning), the distance is the root mean square difference between our
means over seeds and the paper's values, over the cells of Table 1 that have runs. Its interval comes from resampling
the seeds: they are drawn with replacement, the same draw for all cells and readings, which share their seeds (common
random numbers). The interval says what other seeds of ours might have given; the paper's own spread is not known.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayes_pruning import claims, tables
from bayes_pruning.logged import UNPRUNED
from bayes_pruning.readings import of_protocol, protocols
from bayes_pruning.statistics import Difference, paired_difference
from bayes_pruning.tables import ACCURACIES, TWIN_PREFIX, Accuracy, Key

DRAWS = 4000
SEED = 0  # of the resampling
EVERYWHERE = "all"
GATES = {"bayes_": "", "laplace_": "laplace_evidence"}  # prefixes of pruners, and how a reading by such a gate is told

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Distance:
    """Root mean square difference to the paper's values, with the 95% percentile interval of resampled seeds."""

    cells: int
    rms: float
    low: float
    high: float


@dataclass(frozen=True)
class Ranked:
    """One reading and one accuracy, at one place or everywhere."""

    protocol: str
    gate: str  # one of GATES, whose runs take the places of the Bayes methods
    when: str  # accuracy before or after pruning
    place: str  # "mnist fcn", or EVERYWHERE
    seeds: int  # the fewest that a cell has
    all_cells: Distance
    bayes_cells: Distance | None  # of the Bayes methods alone, the only ones that most readings change
    over_reference: Difference | None  # its distance minus the reference's, over cells and seeds of both; None for it


@dataclass(frozen=True)
class GateUse:
    """What the gate of a method did under a reading, over all sparsities and seeds of a place."""

    protocol: str
    place: str
    pruner: str
    runs: int
    opened: float  # mean fraction of the epochs
    alternating: int  # runs that pruned in the first epoch and in every second one after it, and in no other
    as_twin: int  # runs with a classic twin that has the very same accuracies in every epoch
    as_unpruned: int  # the same of the unpruned network
    over_twin: Mapping[str, Difference | None]  # accuracy minus the twin's, mean over sparsities, paired by seed


@dataclass(frozen=True)
class ClaimCount:
    """What becomes of the paper's claims under a reading."""

    protocol: str
    counts: Mapping[str, int]
    outcomes: Mapping[tuple[str, str], str]  # by (claim, place)


def rank(frame: pd.DataFrame) -> list[Ranked]:
    """Every reading in `frame` and both accuracies, best first at each place, EVERYWHERE before the single places.

    Readings need not have runs for the same cells. So that none is better for the cells that it lacks, they are ordered
    by their difference to one reference: of the readings by the paper's own gate that have the most cells, the nearest.
    Where any reading has runs of Bayes methods, those that have none are left out.
    """
    paper = tables.paper_values()
    table = {
        (protocol, gate, accuracy.when): {key: runs[accuracy.column] for key, runs in cells.items() if key in paper}
        for protocol in protocols(frame)
        for prefix, gate in GATES.items()
        for cells in [_cells(of_protocol(frame, protocol), prefix)]
        for accuracy in ACCURACIES
    }
    seeds = sorted({int(seed) for cells in table.values() for values in cells.values() for seed in values.index})
    draws = (
        np.random.default_rng(SEED).multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), DRAWS).astype(float)
    )
    places = sorted({_place(key) for cells in table.values() for key in cells})
    found: list[Ranked] = []
    for place in [EVERYWHERE, *places]:
        here = {
            reading: {key: values for key, values in cells.items() if place in (EVERYWHERE, _place(key))}
            for reading, cells in table.items()
        }
        own = {reading: cells for reading, cells in here.items() if any(map(_is_bayes, cells))}
        others = {reading: cells for reading, cells in here.items() if cells}
        found += _rank_here(own or others, place, paper, seeds, draws)  # classic runs alone tell no readings apart
    return found


def _is_bayes(key: Key) -> bool:
    return key[2].startswith(TWIN_PREFIX)


def _cells(runs: pd.DataFrame, prefix: str) -> Mapping[Key, pd.DataFrame]:
    """Runs by cell, with the methods of one prefix in the places of the Bayes methods; none if it has no runs."""
    own, others = runs["pruner"].str.startswith(prefix), runs["pruner"].str.startswith(tuple(GATES))
    if prefix != TWIN_PREFIX and not own.any():
        return {}
    named = runs[own].assign(pruner=TWIN_PREFIX + runs.loc[own, "pruner"].str.removeprefix(prefix))
    return tables.final_by_seed(pd.concat([runs[~others], named]))


def _rank_here(
    here: Mapping[tuple[str, str, str], Mapping[Key, pd.Series]],
    place: str,
    paper: Mapping[Key, float],
    seeds: Sequence[int],
    draws: Array,
) -> list[Ranked]:
    def error(cells: Mapping[Key, pd.Series]) -> tuple[float, Array]:
        return _error(list(cells.values()), [paper[key] for key in cells], seeds, draws)

    printed = {reading: cells for reading, cells in here.items() if not reading[1]} or here  # the paper's own gate
    most = max(map(len, printed.values()))
    full = {reading: error(cells)[0] for reading, cells in printed.items() if len(cells) == most}
    reference = min(full, key=lambda reading: full[reading])
    found = []
    for reading, cells in here.items():
        bayes = {key: values for key, values in cells.items() if _is_bayes(key)}
        own, other = _common(cells, here[reference])
        (one, one_drawn), (two, two_drawn) = error(own), error(other)
        found.append(
            Ranked(
                *reading,
                place,
                min(int(values.count()) for values in cells.values()),
                _distance(len(cells), *error(cells)),
                _distance(len(bayes), *error(bayes)) if bayes else None,
                None if reading == reference else Difference(len(own), one - two, *_interval(one_drawn - two_drawn)),
            )
        )
    return sorted(found, key=lambda row: row.over_reference.mean if row.over_reference else 0.0)


def _common(
    one: Mapping[Key, pd.Series], other: Mapping[Key, pd.Series]
) -> tuple[dict[Key, pd.Series], dict[Key, pd.Series]]:
    """The cells and seeds that both have."""
    shared = {key: one[key].index.intersection(other[key].index) for key in one if key in other}
    keys = [key for key, index in shared.items() if len(index)]
    return {key: one[key].loc[shared[key]] for key in keys}, {key: other[key].loc[shared[key]] for key in keys}


def _error(
    cells: Sequence[pd.Series], paper: Sequence[float], seeds: Sequence[int], draws: Array
) -> tuple[float, Array]:
    """The root mean square difference of the cells' means to `paper`, of all seeds and of each draw of seeds."""
    values = np.array([cell.reindex(list(seeds)).to_numpy(dtype=float) for cell in cells])  # [cells, seeds]
    there, wanted = ~np.isnan(values), np.array(paper)
    whole = np.sqrt(np.mean((np.nanmean(values, axis=1) - wanted) ** 2))
    with np.errstate(invalid="ignore"):  # NaN for a draw that leaves a cell without any of its seeds
        squares = ((draws @ np.nan_to_num(values).T) / (draws @ there.T) - wanted) ** 2
    drawn = np.sqrt(squares.mean(axis=1))
    return float(whole), drawn


def _distance(cells: int, rms: float, drawn: Array) -> Distance:
    return Distance(cells, rms, *_interval(drawn))


def _interval(drawn: Array) -> tuple[float, float]:
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _place(key: Key) -> str:
    return f"{key[0]} {key[1]}"


def gate_uses(frame: pd.DataFrame) -> list[GateUse]:
    """What the gates of the methods that ask for evidence did, by reading and place."""
    found = []
    for protocol in protocols(frame):
        runs = of_protocol(frame, protocol)
        bayes = runs[runs["pruner"].str.startswith(tuple(GATES))]
        for (dataset, model, pruner), own in bayes.groupby(["dataset", "model", "pruner"]):
            here = runs[(runs["dataset"] == dataset) & (runs["model"] == model)]
            found.append(_gate_use(protocol, f"{dataset} {model}", str(pruner), own, here))
    return found


def _gate_use(protocol: str, place: str, pruner: str, own: pd.DataFrame, here: pd.DataFrame) -> GateUse:
    twins = {(row[0], row[1]): rows for row, rows in _runs(here[here["pruner"] == _twin(pruner)])}
    unpruned = {row[1]: rows for row, rows in _runs(here[here["pruner"] == UNPRUNED])}
    alternating = as_twin = as_unpruned = 0
    for (sparsity, seed), rows in _runs(own):
        alternating += bool((rows["pruned"] == rows["epoch"] % 2).all())
        as_twin += _same(rows, twins.get((sparsity, seed)))
        as_unpruned += _same(rows, unpruned.get(seed))
    return GateUse(
        protocol,
        place,
        pruner,
        own["hash"].nunique(),
        float(own["pruned"].mean()),
        alternating,
        as_twin,
        as_unpruned,
        {accuracy.when: _over_twin(here, pruner, accuracy) for accuracy in ACCURACIES},
    )


def _twin(pruner: str) -> str:
    """The classic method with the same selector."""
    return pruner.partition("_")[2]


def _runs(rows: pd.DataFrame) -> Iterable[tuple[Any, pd.DataFrame]]:
    return rows.groupby(["target_sparsity", "seed"])


def _same(rows: pd.DataFrame, other: pd.DataFrame | None) -> bool:
    """Whether two runs have the same accuracies in every epoch, before and after pruning."""
    columns = [accuracy.column for accuracy in ACCURACIES]
    return other is not None and np.array_equal(rows[columns].to_numpy(), other[columns].to_numpy())


def _over_twin(here: pd.DataFrame, pruner: str, accuracy: Accuracy) -> Difference | None:
    """Mean over the sparsities that both have, for each seed that has them all."""
    final = here[here["epoch"] == here["epochs"]]
    own, twin = (
        final[final["pruner"] == name].pivot(index="seed", columns="target_sparsity", values=accuracy.column)
        for name in (pruner, _twin(pruner))
    )
    shared = [sparsity for sparsity in own.columns if sparsity in twin.columns]
    if not shared:
        return None
    means = (cells[shared].dropna().mean(axis=1).to_dict() for cells in (own, twin))
    return paired_difference(*means)


def claim_counts(frame: pd.DataFrame) -> list[ClaimCount]:
    """The paper's claims under each reading."""
    found = []
    for protocol in protocols(frame):
        findings = claims.check(of_protocol(frame, protocol))
        outcomes = {(finding.claim, finding.where): finding.verdict.outcome for finding in findings}
        found.append(ClaimCount(protocol, claims.counts(findings), outcomes))
    return found
