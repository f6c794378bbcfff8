"""Which reading of the paper its Table 1 follows: how probable its values are under each (likelihood.py), and why.

A reading is compared at one epoch (readings.read_out), for the accuracy before or after pruning, over the cells of
Table 1 that the fullest of the readings at a place has; a reading that lacks one of them is left out there. Beside the
cells themselves stand the contrasts, each Bayes cell minus its classic twin's: an offset that both have, as from a
detail of training that the paper leaves open, is not in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import chdtri

from bayes_pruning.config.errors import UserError
from bayes_pruning.results.declared import twins
from bayes_pruning.results.paper import METHODS, UNPRUNED, Key, paper_values
from bayes_pruning.results.selection import of_protocol, protocols
from bayes_pruning.results.statistics import FEWEST, Difference, paired_difference
from bayes_pruning.studies import likelihood, table1
from bayes_pruning.studies.claims import verdicts
from bayes_pruning.studies.likelihood import Array, Cells
from bayes_pruning.studies.table1 import ACCURACIES, BEFORE

EVERYWHERE = "all"
BORROWED = 4  # degrees of freedom that a cell's variance takes from its method's others: as many as five seeds have
RESOLUTION = 1e-4  # of an accuracy: one test image of 10,000; seeds that agree are not known better
SURPRISE = 0.05  # probability of a larger difference between two readings that are the same
TABLES, SEED = 200, 0  # simulated
# In simulated tables: the runs in a cell, an excess of each, an offset that a family shares (standard deviations).
SCENARIOS = ((5, 0.0, 0.0), (1, 0.005, 0.0), (5, 0.005, 0.01))

Reading = tuple[str, str]  # protocol, accuracy before or after pruning


@dataclass(frozen=True)
class Ranked:
    """One reading and one accuracy, at one place or everywhere. Likelihoods are in nats behind the best one there."""

    reading: Reading
    place: str  # "mnist fcn", or EVERYWHERE
    cells: int
    seeds: int  # the fewest that a cell has
    rms: float  # root mean square difference of our means to the paper's values
    chi_square: tuple[float, ...]  # for each of likelihood.REPEATS, without any excess
    excess: float  # standard deviation beyond the seeds'
    behind: float
    alike: bool  # whether it is among those that have most of the weight together
    behind_with_offsets: float  # if unpruned, random and magnitude cells may each be off by what such cells share
    behind_in_contrasts: float | None
    least: tuple[float, str]  # the least it is behind when one cell or one sparsity is left out, and which
    most: tuple[float, str]
    pattern: int  # readings with one number give the same accuracies as far as seeds can tell, see `_patterns`


@dataclass(frozen=True)
class Simulated:
    """How often, in simulated tables for which a reading is right, it is the best and among those not told apart."""

    protocol: str
    scenario: tuple[int, float, float]
    best: float
    alike: float
    best_with_offsets: float
    alike_with_offsets: float


@dataclass(frozen=True)
class GateUse:
    """What the gate of a method did under a reading, over all sparsities and seeds of a place."""

    protocol: str
    place: str
    pruner: str
    runs: int
    opened: float  # mean fraction of the epochs
    alternating: int  # runs that pruned in every second epoch, from the first or from the second one on
    as_twin: int  # runs with a classic twin that has the very same accuracies in every epoch
    as_unpruned: int  # the same of the unpruned network
    over_twin: Sequence[Difference | None]  # at each epoch: accuracy before pruning minus the twin's, paired by seed
    paper: float | None  # the same of the paper's values, a mean over sparsities like them


@dataclass(frozen=True)
class ClaimCount:
    """What becomes of the paper's claims under a reading."""

    protocol: str
    counts: Mapping[str, int]
    outcomes: Mapping[tuple[str, str], str]  # by (claim, place)


@dataclass(frozen=True)
class Place:
    """The readings that have all the cells of the fullest, at one place or everywhere. NaN where there is no run."""

    readings: list[Reading]
    keys: list[Key]
    accuracy: Array  # [readings, cells, seeds]
    runs: Array  # which run it is of, as a number, the same shape

    @property
    def families(self) -> list[str]:
        """For each cell, which ones a detail of training may shift alike: unpruned, random or magnitude at a place."""
        return [f"{key[0]} {key[1]} {twins().get(key[2], key[2])}" for key in self.keys]

    def pick(self, readings: Sequence[int]) -> "Place":
        """Some of the readings."""
        return Place([self.readings[i] for i in readings], self.keys, self.accuracy[readings], self.runs[readings])


def rank(frame: pd.DataFrame) -> list[Ranked]:
    """Every reading in `frame` and both accuracies, best first at each place, EVERYWHERE before the single places.

    Where any reading has runs of Bayes methods, those that have none are left out: classic runs tell no readings apart.
    Raises UserError if no run is of a cell of Table 1.
    """
    table = _table(frame)
    every = {key for cells in table.values() for key in cells}
    if not every:
        raise UserError("None of these runs is of a cell of Table 1 (results/paper_table1.csv): nothing to rank.")
    places = sorted(
        {f"{key[0]} {key[1]}" for key in every if _is_bayes(key)} or {f"{key[0]} {key[1]}" for key in every}
    )
    return [
        row
        for where in ([EVERYWHERE, *places] if len(places) > 1 else places)
        for row in _ranked(_place(table, where), where)
    ]


def _table(frame: pd.DataFrame) -> dict[Reading, dict[Key, pd.DataFrame]]:
    """The last epochs of the runs in each cell of Table 1, by seed, by reading."""
    final, paper = frame[frame["epoch"] == frame["epochs"]], paper_values()
    return {
        (protocol, accuracy.when): {
            key: runs.assign(accuracy=runs[accuracy.column]) for key, runs in cells.items() if key in paper
        }
        for protocol in protocols(final)
        for cells in [table1.final_by_seed(of_protocol(final, protocol))]
        for accuracy in ACCURACIES
    }


def _place(table: Mapping[Reading, Mapping[Key, pd.DataFrame]], where: str) -> Place:
    here = {
        reading: {key: runs for key, runs in cells.items() if where in (EVERYWHERE, f"{key[0]} {key[1]}")}
        for reading, cells in table.items()
    }
    here = {reading: cells for reading, cells in here.items() if any(map(_is_bayes, cells))} or here
    most = max(map(len, here.values()))
    here = {reading: cells for reading, cells in here.items() if len(cells) == most}
    keys = sorted(next(iter(here.values())))
    seeds = sorted({seed for cells in here.values() for runs in cells.values() for seed in runs.index})
    known: dict[str, int] = {}
    accuracy, runs = np.full((2, len(here), most, len(seeds)), np.nan)
    for i, cells in enumerate(here.values()):
        for j, key in enumerate(keys):
            at = [seeds.index(seed) for seed in cells[key].index]
            accuracy[i, j, at] = cells[key]["accuracy"]
            runs[i, j, at] = [known.setdefault(name, len(known)) for name in cells[key]["hash"]]
    return Place(list(here), keys, accuracy, runs)


def _ranked(here: Place, where: str) -> list[Ranked]:
    cells, contrasts = compared(here), _contrasts(here)
    own = likelihood.log_likelihood(cells)
    behind, offsets = _behind(own), _behind(likelihood.log_likelihood(cells, here.families))
    between = _behind(likelihood.log_likelihood(contrasts)) if contrasts.residual.size else None
    left_out = {name: _behind(likelihood.log_likelihood(cells.drop(mask))) for name, mask in _left_out(here.keys)}
    chi_squares = [likelihood.chi_square(cells, repeats) for repeats in likelihood.REPEATS]
    excess, alike, numbers = likelihood.excess(cells), likelihood.not_told_apart(own), _patterns(here, behind)
    found = []
    for i in np.argsort(behind, kind="stable"):
        without = sorted((float(values[i]), name) for name, values in left_out.items())
        found.append(
            Ranked(
                here.readings[i],
                where,
                len(here.keys),
                int((~np.isnan(here.accuracy[i])).sum(-1).min()),
                float(np.sqrt((cells.residual[i] ** 2).mean())),
                tuple(float(values[i]) for values in chi_squares),
                float(excess[i]),
                float(behind[i]),
                bool(alike[i]),
                float(offsets[i]),
                None if between is None else float(between[i]),
                without[0],
                without[-1],
                numbers[i],
            )
        )
    return found


def _behind(log_likelihoods: Array) -> Array:
    return log_likelihoods.max() - log_likelihoods  # type: ignore[no-any-return]


def _left_out(keys: Sequence[Key]) -> list[tuple[str, Array]]:
    """Nothing, each cell, and all cells of a sparsity if others are left."""
    single = [(" ".join([*key[:3], f"{key[3]:g}"]), np.array([other == key for other in keys])) for key in keys]
    sparsities = sorted({key[3] for key in keys})
    whole = [(f"all at {sparsity:g}", np.array([key[3] == sparsity for key in keys])) for sparsity in sparsities]
    nothing = ("nothing", np.zeros(len(keys), dtype=bool))
    return [nothing, *((name, mask) for name, mask in [*single, *whole] if not mask.all())]


def compared(here: Place) -> Cells:
    """The paper's values against our means: arrays [readings, cells]."""
    paper, single = paper_values(), _variances(here.accuracy, here.keys)
    residual = np.array([paper[key] for key in here.keys]) - np.nanmean(here.accuracy, -1)
    return Cells(residual, single, single / _count(here.accuracy))


def _contrasts(here: Place) -> Cells:
    """As `compared`, of Bayes minus classic cells, ours paired by seed; the paper's pairs may not have shared seeds."""
    paper, single = paper_values(), _variances(here.accuracy, here.keys)
    pairs = [(i, here.keys.index(twin)) for i, key in enumerate(here.keys) if (twin := _twin_of(key)) in here.keys]
    pairs = [(i, j) for i, j in pairs if i != j]
    bayes, classic = [i for i, _ in pairs], [j for _, j in pairs]
    ours = here.accuracy[:, bayes] - here.accuracy[:, classic]
    keys = [here.keys[i] for i in bayes]
    wanted = np.array([paper[here.keys[i]] - paper[here.keys[j]] for i, j in pairs])
    own = _variances(ours, keys) / np.maximum(1, _count(ours))
    return Cells(wanted - np.nanmean(ours, -1), single[:, bayes] + single[:, classic], own)


def _count(values: Array) -> Array:
    return (~np.isnan(values)).sum(-1)  # type: ignore[no-any-return]


def _variances(values: Array, keys: Sequence[Key]) -> Array:
    """The variance of one run in each cell: [readings, cells] of values [readings, cells, seeds].

    From its seeds and, as if by BORROWED more degrees of freedom, from the median of its method's cells (all methods'
    for the unpruned one): a few seeds may agree by luck, and their cell would then outweigh all others.
    """
    freedom = _count(values) - 1
    squares = np.nansum((values - np.nanmean(values, -1, keepdims=True)) ** 2, -1)
    known = np.where(freedom > 0, squares / chdtri(np.maximum(1, freedom), 0.5), np.nan)  # a variance's median is lower
    alike = np.array([[key[2] == UNPRUNED or key[:3] == other[:3] for other in keys] for key in keys])
    pooled = np.stack([np.nanmedian(known[:, own], -1) for own in alike], -1) if len(keys) else squares
    return np.maximum(RESOLUTION**2, (squares + BORROWED * pooled) / (freedom + BORROWED))  # type: ignore[no-any-return]


def _patterns(here: Place, behind: Array) -> list[int]:
    """Readings numbered, best first, so that those with one number give the same accuracies as far as seeds can tell.

    A reading has the number of a better one if a chi-square test of the difference of their means, over the cells whose
    runs differ and the seeds that both have, is no surprise; only the best reading with a number is compared.
    """
    single = _variances(here.accuracy, here.keys)
    numbers, firsts = [0] * len(here.readings), list[int]()

    def same(i: int, j: int) -> bool:
        gaps = here.accuracy[i] - here.accuracy[j]
        common = _count(gaps)
        differ = ((here.runs[i] != here.runs[j]) & ~np.isnan(gaps)).any(-1)
        gap = np.nanmean(gaps[differ], -1) ** 2 / ((single[i] + single[j]) / np.maximum(1, common))[differ]
        alike = not differ.any() or gap.sum() <= chdtri(differ.sum(), SURPRISE)
        return here.readings[i][1] == here.readings[j][1] and bool(alike)

    for i in map(int, np.argsort(behind, kind="stable")):
        known = next((n for n, first in enumerate(firsts) if same(i, first)), len(firsts))
        firsts += [i] * (known == len(firsts))
        numbers[i] = known + 1
    return numbers


def simulate(frame: pd.DataFrame, where: str) -> list[Simulated]:
    """Whether the ranking finds the right reading where it is known: simulated tables, one reading of each pattern.

    Accuracies before pruning, with the means, variances and seeds that the runs have at a place.
    """
    here = _place(_table(frame), where)
    here = here.pick([i for i, (_, when) in enumerate(here.readings) if when == BEFORE.when])
    numbers = _patterns(here, _behind(likelihood.log_likelihood(compared(here))))
    here = here.pick([numbers.index(number) for number in sorted(set(numbers))])
    means, seeds, single = np.nanmean(here.accuracy, -1), _count(here.accuracy), _variances(here.accuracy, here.keys)
    found = []
    for scenario in SCENARIOS:
        for truth, (protocol, _) in enumerate(here.readings):
            rng = np.random.default_rng([SEED, truth])
            drawn = likelihood.simulated(means, single, seeds, truth, TABLES, *scenario, here.families, rng)
            rates: list[float] = []
            for families in (None, here.families):
                values = likelihood.log_likelihood(drawn, families)
                rates.append(float((values.argmax(-1) == truth).mean()))
                rates.append(float(likelihood.not_told_apart(values)[:, truth].mean()))
            found.append(Simulated(protocol, scenario, *rates))
    return found


def _is_bayes(key: Key) -> bool:
    return key[2] in twins()


def _twin_of(key: Key) -> Key:
    return (*key[:2], twins().get(key[2], key[2]), key[3])


def gate_uses(frame: pd.DataFrame, epochs: Sequence[int]) -> list[GateUse]:
    """What the gates of the methods that ask for evidence did, by reading and place; accuracies at `epochs`."""
    columns = [accuracy.column for accuracy in ACCURACIES]
    curves = {str(name): rows[columns].to_numpy().tobytes() for name, rows in frame.groupby("hash")}
    classic = twins(frame)
    bayes = frame[frame["pruner"].isin(classic)]
    alternates = {
        str(name): bool((rows.diff().abs().iloc[1:] == 1).all()) for name, rows in bayes.groupby("hash")["pruned"]
    }
    found = []
    for protocol in protocols(frame):
        runs = of_protocol(frame, protocol)
        runs = runs[runs["epoch"].isin([1, *epochs])]
        for (dataset, model), here in runs.groupby(["dataset", "model"]):
            first = here[here["epoch"] == 1]
            places = zip(first["pruner"], first["target_sparsity"], first["seed"], strict=True)
            names = dict(zip(places, first["hash"], strict=True))
            for pruner in sorted(name for name in set(here["pruner"]) if name in classic):
                own = {key[1:]: name for key, name in names.items() if key[0] == pruner}
                found.append(
                    GateUse(
                        protocol,
                        f"{dataset} {model}",
                        pruner,
                        len(own),
                        float(frame.loc[frame["hash"].isin(own.values()), "pruned"].mean()),
                        sum(alternates[name] for name in own.values()),
                        sum(
                            curves[name] == curves.get(names.get((classic[pruner], *at), ""))
                            for at, name in own.items()
                        ),
                        sum(
                            curves[n] == curves.get(names.get((UNPRUNED, 0.0, seed), ""))
                            for (_, seed), n in own.items()
                        ),
                        *_over_twin(here, pruner, classic[pruner], epochs),
                    )
                )
    return found


def _over_twin(
    here: pd.DataFrame, pruner: str, twin: str, epochs: Sequence[int]
) -> tuple[list[Difference | None], float | None]:
    """At each epoch the mean over the sparsities that both have, for each seed that has them all; that of the paper."""
    own, other = (
        {epoch: rows.pivot(index="seed", columns="target_sparsity", values=BEFORE.column) for epoch, rows in at}
        for at in (here[here["pruner"] == name].groupby("epoch") for name in (pruner, twin))
    )
    if not other:
        return [None for _ in epochs], None
    shared = [sparsity for sparsity in own[epochs[0]].columns if sparsity in other[epochs[0]].columns]
    differences = [
        paired_difference(*(at[epoch][shared].dropna().mean(axis=1) for at in (own, other))) for epoch in epochs
    ]
    place, paper = (str(here["dataset"].iloc[0]), str(here["model"].iloc[0])), paper_values()
    methods = [name for name in METHODS if twins().get(name) == twin]
    keys: list[Key] = [(*place, name, float(sparsity)) for name in methods for sparsity in shared]
    known = [paper[key] - paper[_twin_of(key)] for key in keys if key in paper]
    return differences, float(np.mean(known)) if len(known) == len(shared) else None


def claim_counts(frame: pd.DataFrame) -> list[ClaimCount]:
    """The paper's claims under each reading of which some cell has the seeds that an interval takes."""
    found = []
    for protocol in protocols(frame):
        runs = of_protocol(frame, protocol)
        own = runs[runs["pruner"].isin([name for name in METHODS if name in twins()]) & (runs["epoch"] == 1)]
        if own.groupby(["dataset", "model", "pruner", "target_sparsity"])["seed"].nunique().max() >= FEWEST:
            findings = verdicts.check(runs)
            outcomes = {(finding.claim, finding.where): finding.verdict.outcome for finding in findings}
            found.append(ClaimCount(protocol, verdicts.counts(findings), outcomes))
    return found
