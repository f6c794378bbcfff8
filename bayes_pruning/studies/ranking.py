"""Which reading of the paper its Table 1 follows: how probable its values are under each (likelihood.py), and why.

A reading is a protocol with the accuracy before or after pruning. Readings are compared at one epoch
(selection.read_out), over the cells of Table 1 that the fullest of them has in a block (a data set and a network) or in
all blocks together. A reading that lacks one of these cells is left out there. Where that leaves one protocol alone,
the largest part of the block that two protocols share is compared too, and among all blocks this part counts; a block
where one protocol alone was run tells no protocols apart, and does not count among them. Beside the cells themselves
stand the contrasts: each Bayes cell minus its classic twin's. An offset that both have, as from a detail of training
that the paper leaves open, is not in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import chdtri

from bayes_pruning.config.errors import UserError
from bayes_pruning.results.cells import CELL, refuse_mixed_settings, refuse_shared_seeds
from bayes_pruning.results.declared import twins
from bayes_pruning.results.paper import METHODS, UNPRUNED, paper_values
from bayes_pruning.results.selection import of_protocol, protocols
from bayes_pruning.results.statistics import FEWEST, Difference, paired_difference
from bayes_pruning.studies import likelihood
from bayes_pruning.studies.claims import verdicts
from bayes_pruning.studies.likelihood import Array, Cells
from bayes_pruning.studies.table1 import ACCURACIES, BEFORE

EVERYWHERE = "all"  # instead of a block
SHARED = " shared"  # after a block's name: the part of its cells that several readings have
BORROWED = 4  # degrees of freedom that a cell's variance takes from its method's others: as many as five seeds have
MIDDLE: Literal["lower", "linear"] = "lower"  # of the two middle variances of an even number; linear is their mean
TEST_IMAGES = 10_000  # that an accuracy is a mean of, in all three data sets
RESOLUTION = 1 / TEST_IMAGES  # seeds that agree are not known better than to one image
SURPRISE = 0.05  # probability of a larger difference between two readings that are the same
TABLES, SEED = 200, 0  # simulated
# In simulated tables: the runs in a cell, an excess of each, an offset that a family shares (standard deviations).
SCENARIOS = ((5, 0.0, 0.0), (1, 0.005, 0.0), (5, 0.005, 0.01))
READING = ["protocol", "accuracy"]


@dataclass(frozen=True)
class Compared:
    """The readings that have all the cells of the fullest, and the accuracies of their runs."""

    readings: pd.DataFrame  # their protocol and accuracy
    cells: pd.DataFrame  # CELL, the paper's value, the method, and the family that an offset is shared in
    accuracy: Array  # [readings, cells, seeds], NaN where there is no run
    run: Array  # which run it is of, as a number, the same shape

    @cached_property
    def seeds(self) -> Array:
        """Return how many seeds there are: [readings, cells]."""
        return _count(self.accuracy)

    @cached_property
    def means(self) -> Array:
        """Return the mean accuracies: [readings, cells]."""
        return np.nanmean(self.accuracy, -1)

    @cached_property
    def variances(self) -> Array:
        """Return the variance of one run: [readings, cells]. Without any second seed it is that of the test images."""
        return _variances(self.accuracy, self.cells, self.means * (1 - self.means) / TEST_IMAGES)

    def pick(self, readings: Array | list[int]) -> "Compared":
        """Return some of the readings, by their numbers."""
        return Compared(self.readings.iloc[readings], self.cells, self.accuracy[readings], self.run[readings])


def rank(frame: pd.DataFrame) -> pd.DataFrame:
    """Rank every reading in `frame`, best first in all blocks together and in each block.

    Return a row for each block (EVERYWHERE first, if it is of several) and reading, with the columns

        block, protocol, accuracy: what the row is of; `block` ends with SHARED where a part is compared.
        cells, seeds: how many cells are compared, and the fewest seeds that one of them has.
        rms: root mean square difference of our means to the paper's values.
        chi_square_N: if each of the paper's cells is the mean of N runs, without any excess.
        excess: standard deviation beyond the seeds'.
        behind: by how many nats its likelihood is lower than the best one's.
        alike: True for those that have most of the weight together.
        behind_with_offsets: the same if the cells of a family may share an offset.
        behind_in_contrasts: the same of Bayes minus classic cells; NaN if there are none.
        least, without; most, without_most: how far it is behind if one cell or one sparsity is left out, and which.
        pattern: readings with one number give the same accuracies as far as seeds can tell (`_patterns`).

    Where any reading has runs of Bayes methods, those that have none are left out: classic runs tell no readings apart.
    Raise UserError if no run is of a cell of Table 1.
    """
    compared = _places(_accuracies(frame))
    return pd.concat([_ranked(readings, name) for name, readings in compared.items()], ignore_index=True)


def _places(rows: pd.DataFrame) -> dict[str, Compared]:
    """Return what is compared in each place where readings are ranked, by its name, in the order of the ranking."""
    if rows.empty:
        raise UserError("None of these runs is of a cell of Table 1 (results/paper_table1.csv): nothing to rank.")
    bayes = rows[rows["pruner"].isin(twins())]
    blocks = {
        block: rows[rows["block"] == block] for block in sorted((rows if bayes.empty else bayes)["block"].unique())
    }
    parts = {name + SHARED: part for name, block in blocks.items() if not (part := _shared(block)).empty}
    compared = {name: _compared(part) for name, part in sorted((blocks | parts).items())}
    several = [name for name, readings in compared.items() if readings.readings["protocol"].nunique() > 1]
    together = [(blocks | parts)[name] for name in several or blocks]
    if len(together) > 1:
        compared = {EVERYWHERE: _compared(pd.concat(together)), **compared}
    return compared


def _runs_by_protocol(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the first epochs of the Bayes, classic and unpruned runs that stand under each protocol."""
    known = twins(frame)
    runs = frame[frame["pruner"].isin([UNPRUNED, *known, *known.values()]) & (frame["epoch"] == 1)]
    parts = [of_protocol(runs, protocol).assign(protocol=protocol) for protocol in protocols(frame)]
    for part in parts:
        refuse_mixed_settings(part)
        refuse_shared_seeds(part)
    rows = pd.concat(parts)
    return rows.assign(block=rows["dataset"] + " " + rows["model"])


def _accuracies(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies (`value`) of the last epoch in the cells of Table 1, by reading, cell and seed."""
    columns = {accuracy.column: accuracy.when for accuracy in ACCURACIES}
    last = frame.loc[frame["epoch"] == frame["epochs"], ["hash", *columns]].rename(columns=columns)
    paper = pd.Series(paper_values(), name="paper").rename_axis(CELL).reset_index()
    about = ["protocol", "block", *CELL, "seed", "hash"]
    rows = _runs_by_protocol(frame)[about].merge(paper, on=CELL).merge(last, on="hash")
    long = rows.melt([*about, "paper"], list(columns.values()), var_name="accuracy")
    return long.assign(accuracy=pd.Categorical(long["accuracy"], list(columns.values()), ordered=True))


def _of_comparable_protocols(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of protocols that have runs of Bayes methods, or all rows if no protocol has any."""
    bayes = rows[rows["pruner"].isin(twins())]
    return rows if bayes.empty else rows[rows["protocol"].isin(bayes["protocol"])]


def _shared(block: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the largest set of cells that two protocols have; none if no protocol has more cells."""
    rows = _of_comparable_protocols(block)
    has = pd.crosstab([rows[name] for name in CELL], rows["protocol"]) > 0
    both = max((has[one] & has[other] for one, other in combinations(has, 2)), key=sum, default=has.any(axis=1))
    in_both = pd.MultiIndex.from_frame(rows[CELL]).isin(both.index[both])
    return rows[in_both & bool(both.sum() < has.sum().max())]


def _compared(rows: pd.DataFrame) -> Compared:
    rows = _of_comparable_protocols(rows)
    of_each = rows[["protocol", *CELL, "paper"]].drop_duplicates()
    fullest = of_each.groupby("protocol").size().idxmax()
    cells = of_each[of_each["protocol"] == fullest].drop(columns="protocol").sort_values(CELL, ignore_index=True)
    shared = of_each.merge(cells).groupby("protocol").size()
    rows = rows[rows["protocol"].isin(shared.index[shared == len(cells)])]
    wide = rows.assign(run=pd.factorize(rows["hash"])[0]).pivot(
        index=[*READING, *CELL], columns="seed", values=["value", "run"]
    )
    readings = rows[READING].drop_duplicates().sort_values(READING, ignore_index=True)
    accuracy, run = (wide[name].to_numpy(float).reshape(len(readings), len(cells), -1) for name in ("value", "run"))
    where = cells["dataset"] + " " + cells["model"] + " "
    classic = cells["pruner"].replace(twins())
    cells = cells.assign(method=where + cells["pruner"], family=where + classic)
    return Compared(readings.astype(str), cells, accuracy, run)


def _ranked(compared: Compared, block: str) -> pd.DataFrame:
    cells, families = against_paper(compared), list(compared.cells["family"])
    log_likelihoods = likelihood.log_likelihood(cells)
    behind, contrasts = _behind(log_likelihoods), _contrasts(compared)
    left_out = pd.DataFrame(
        {name: _behind(likelihood.log_likelihood(cells.drop(mask))) for name, mask in _left_out(compared.cells)}
    )
    forwards, backwards = (left_out.sort_index(axis=1, ascending=up) for up in (True, False))
    ranked = pd.DataFrame(
        {
            "block": block,
            "cells": len(compared.cells),
            "seeds": compared.seeds.min(-1),
            "rms": np.sqrt((cells.residual**2).mean(-1)),
            "excess": likelihood.excess(cells),
            "behind": behind,
            "alike": likelihood.not_told_apart(log_likelihoods),
            "behind_with_offsets": _behind(likelihood.log_likelihood(cells, families)),
            "behind_in_contrasts": np.nan if contrasts is None else _behind(likelihood.log_likelihood(contrasts)),
            "pattern": _patterns(compared, behind),
            "protocol": compared.readings["protocol"],
            "accuracy": compared.readings["accuracy"],
            **{f"chi_square_{repeats}": likelihood.chi_square(cells, repeats) for repeats in likelihood.REPEATS},
            "least": forwards.min(axis=1),
            "without": forwards.idxmin(axis=1),  # of equal ones the first name
            "most": backwards.max(axis=1),
            "without_most": backwards.idxmax(axis=1),  # of equal ones the last name
        }
    )
    return ranked.sort_values("behind", kind="stable")


def _behind(log_likelihoods: Array) -> Array:
    return log_likelihoods.max() - log_likelihoods


def _left_out(cells: pd.DataFrame) -> list[tuple[str, Array]]:
    """Return nothing, each cell, and all cells of a sparsity if others are left: a name and a mask of the cells."""
    sparsities = cells["target_sparsity"].map("{:g}".format)
    single = cells["dataset"] + " " + cells["model"] + " " + cells["pruner"] + " " + sparsities
    masks = [("nothing", np.zeros(len(cells), dtype=bool))]
    for names in (single, "all at " + sparsities):
        masks += [(name, (names == name).to_numpy()) for name in names.unique()]
    return [(name, mask) for name, mask in masks if not mask.all()]


def against_paper(compared: Compared) -> Cells:
    """Return the paper's values against our means: arrays [readings, cells]."""
    variances = compared.variances
    return Cells(compared.cells["paper"].to_numpy() - compared.means, variances, variances / compared.seeds)


def _contrasts(compared: Compared) -> Cells | None:
    """Return the same of Bayes minus classic cells, ours paired by seed; None if no cell has its twin.

    The paper's pairs may not have shared seeds, so both variances count.
    """
    cells = compared.cells.reset_index(names="number")
    with_twin = cells.assign(pruner=cells["pruner"].map(twins()))
    pairs = with_twin.merge(cells, on=CELL, suffixes=("", "_classic"))
    if pairs.empty:
        return None
    bayes, classic = pairs["number"].to_numpy(), pairs["number_classic"].to_numpy()
    ours, single = compared.accuracy[:, bayes] - compared.accuracy[:, classic], compared.variances
    residual = (pairs["paper"] - pairs["paper_classic"]).to_numpy() - np.nanmean(ours, -1)
    both = single[:, bayes] + single[:, classic]
    return Cells(residual, both, _variances(ours, cells.iloc[bayes], both) / np.maximum(1, _count(ours)))


def _count(values: Array) -> Array:
    return (~np.isnan(values)).sum(-1)


def _variances(values: Array, cells: pd.DataFrame, otherwise: Array) -> Array:
    """Return the variance of one run in each cell: [readings, cells] of values [readings, cells, seeds].

    It is from the cell's seeds and, as if by BORROWED more degrees of freedom, from the median of its method's cells: a
    few seeds may agree by luck, and their cell would then outweigh all others. The median of all cells stands for the
    unpruned cell's, and for a method of which no cell has two seeds. Of an even number it is the lower of the two in
    the middle: of two cells, one whose network dies in some seeds then does not lend its variance to the others. If no
    cell at all has two seeds, it is `otherwise`, of the same shape.
    """
    freedom = _count(values) - 1
    squares = np.nansum((values - np.nanmean(values, -1, keepdims=True)) ** 2, -1)
    single = np.where(
        freedom > 0, squares / chdtri(np.maximum(1, freedom), 0.5), np.nan
    )  # a variance's median is lower
    known = pd.DataFrame(single.T)  # rows are cells
    methods = known.groupby(cells["method"].to_numpy()).quantile(0.5, interpolation=MIDDLE)
    of_pruned = methods.reindex(cells["method"].where(cells["pruner"] != UNPRUNED)).set_axis(known.index)
    pooled = of_pruned.fillna(known.quantile(0.5, interpolation=MIDDLE))
    borrowed = np.where(pooled.isna(), otherwise.T, pooled).T
    return np.maximum(RESOLUTION**2, (squares + BORROWED * borrowed) / (freedom + BORROWED))


def _patterns(compared: Compared, behind: Array) -> list[int]:
    """Number the readings, best first, so that those with one number give the same accuracies as far as seeds can tell.

    A reading has the number of a better one if a chi-square test of the difference of their means, over the cells whose
    runs differ and the seeds that both have, is no surprise; only the best reading with a number is compared.
    """
    single, when = compared.variances, compared.readings["accuracy"].to_numpy()
    numbers, firsts = [0] * len(behind), list[int]()

    def same(i: int, j: int) -> bool:
        gaps = compared.accuracy[i] - compared.accuracy[j]
        differ = ((compared.run[i] != compared.run[j]) & ~np.isnan(gaps)).any(-1)
        variances = (single[i] + single[j]) / np.maximum(1, _count(gaps))
        chi_square = (np.nanmean(gaps[differ], -1) ** 2 / variances[differ]).sum()
        return bool(when[i] == when[j] and (not differ.any() or chi_square <= chdtri(differ.sum(), SURPRISE)))

    for i in map(int, np.argsort(behind, kind="stable")):
        known = next((n for n, first in enumerate(firsts) if same(i, first)), len(firsts))
        firsts += [i] * (known == len(firsts))
        numbers[i] = known + 1
    return numbers


def simulate(frame: pd.DataFrame, block: str) -> pd.DataFrame:
    """Simulate tables for which a reading is right, the best reading of each pattern, and rank these readings by them.

    Accuracies are those before pruning, with the means, variances and seeds that the runs of a block have. Return a row
    for each scenario (`runs`, `excess`, `offset`) and right reading (`protocol`): how often it is the `best` and among
    those that are not told apart (`alike`), without and with offsets of the families.
    """
    accuracies = _accuracies(frame)
    compared = _compared(accuracies[accuracies["block"] == block])
    compared = compared.pick(np.flatnonzero(compared.readings["accuracy"] == BEFORE.when))
    behind = _behind(likelihood.log_likelihood(against_paper(compared)))
    compared = compared.pick(pd.Series(behind).groupby(_patterns(compared, behind)).idxmin().to_numpy())
    means, variances, seeds = compared.means, compared.variances, compared.seeds
    families, rows = list(compared.cells["family"]), []
    for scenario in SCENARIOS:
        for truth, protocol in enumerate(compared.readings["protocol"]):
            rng = np.random.default_rng([SEED, truth])
            tables = likelihood.simulated(means, variances, seeds, truth, TABLES, *scenario, families, rng)
            row = {"protocol": protocol, **dict(zip(("runs", "excess", "offset"), scenario, strict=True))}
            for suffix, shared in (("", None), ("_with_offsets", families)):
                values = likelihood.log_likelihood(tables, shared)
                row[f"best{suffix}"] = (values.argmax(-1) == truth).mean()
                row[f"alike{suffix}"] = likelihood.not_told_apart(values)[:, truth].mean()
            rows.append(row)
    return pd.DataFrame(rows)


def gate_uses(frame: pd.DataFrame, epochs: Sequence[int]) -> pd.DataFrame:
    """Say what the gates of the methods that have a classic twin did, over all sparsities and seeds of a block.

    Return a row for each protocol, block and pruner, with the columns

        runs: how many there are.
        opened: mean fraction of the epochs that pruned.
        alternating: runs that pruned in every second epoch, from the first or from the second one on.
        as_twin, as_unpruned: runs with the very same accuracies in every epoch as the twin, as the unpruned network.
        over_twin: at each of `epochs` the accuracy before pruning minus the twin's, paired by seed.
        paper: the same of the paper's values, a mean over the sparsities that both have.
    """
    by_run = frame.groupby("hash")
    step = by_run["pruned"].diff()
    columns = [accuracy.column for accuracy in ACCURACIES]
    about = pd.DataFrame(
        {
            "opened": by_run["pruned"].mean(),
            "alternating": (step.isna() | (step.abs() == 1)).groupby(frame["hash"]).all(),
            "accuracies": {name: rows[columns].to_numpy().tobytes() for name, rows in by_run},
        }
    )
    known = twins(frame)
    runs = _runs_by_protocol(frame)[["protocol", "block", *CELL, "seed", "hash"]].join(about, on="hash")
    bayes = runs[runs["pruner"].isin(known)].assign(twin=lambda rows: rows["pruner"].map(known))
    cell = ["protocol", "block", "seed"]
    others = runs.rename(columns={"pruner": "twin"})[[*cell, "twin", "target_sparsity", "accuracies"]]
    unpruned = others.loc[others["twin"] == UNPRUNED, [*cell, "accuracies"]]
    bayes = bayes.merge(others, how="left", on=[*cell, "twin", "target_sparsity"], suffixes=("", "_twin"))
    bayes = bayes.merge(unpruned, how="left", on=cell, suffixes=("", "_unpruned"))
    for name in ("twin", "unpruned"):
        bayes[f"as_{name}"] = bayes["accuracies"] == bayes[f"accuracies_{name}"]
    groups = bayes.groupby(["protocol", "block", "pruner", "twin"])
    uses = groups[["alternating", "as_twin", "as_unpruned"]].sum()
    uses.insert(0, "runs", groups.size())
    uses.insert(1, "opened", groups["opened"].mean())
    at_epochs = frame[frame["epoch"].isin(epochs)].drop(columns="protocol")
    values = runs[["protocol", "block", "hash"]].merge(at_epochs, on="hash")
    over_twin, paper = list[Any](), list[float]()
    for protocol, block, pruner, twin in uses.index:
        rows = values[(values["protocol"] == protocol) & (values["block"] == block)]
        differences, shared = _over_twin(rows, pruner, twin, epochs)
        over_twin.append(differences)
        paper.append(_paper_over_twin(block, twin, shared))
    return uses.assign(over_twin=over_twin, paper=paper).reset_index()


def _over_twin(
    rows: pd.DataFrame, pruner: str, twin: str, epochs: Sequence[int]
) -> tuple[list[Difference | None], list[float]]:
    """Return the difference at each epoch, for seeds with all sparsities that both have, and these."""
    bayes, classic = (
        rows[rows["pruner"] == name].pivot(index=["epoch", "seed"], columns="target_sparsity", values=BEFORE.column)
        for name in (pruner, twin)
    )
    shared = bayes.columns.intersection(classic.columns)
    if shared.empty:
        return [None for _ in epochs], []
    means = [
        table[shared].dropna().mean(axis=1).unstack("epoch").reindex(columns=list(epochs)) for table in (bayes, classic)
    ]
    return [paired_difference(*(mean[at] for mean in means)) for at in epochs], shared.astype(float).to_list()


def _paper_over_twin(block: str, twin: str, sparsities: Sequence[float]) -> float:
    """Return the mean over sparsities of what the paper's Bayes method is above its twin; NaN if it lacks a value."""
    paper = paper_values()
    (dataset, model), methods = block.split(), [name for name in METHODS if twins().get(name) == twin]
    gains = [
        paper.get((dataset, model, method, sparsity), np.nan) - paper.get((dataset, model, twin, sparsity), np.nan)
        for method in methods
        for sparsity in sparsities
    ]
    return float(np.mean(gains)) if gains else np.nan


def claim_outcomes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what becomes of the paper's claims: a row for each claim and where it is made, a column for each protocol.

    The protocols are those of which some cell of a Bayes method has the seeds that an interval takes.
    """
    outcomes = {}
    for protocol, runs in _runs_by_protocol(frame).groupby("protocol"):
        bayes = runs[runs["pruner"].isin(set(METHODS) & set(twins()))]
        if bayes.groupby(CELL)["seed"].nunique().max() >= FEWEST:
            findings = verdicts.check(frame[frame["hash"].isin(runs["hash"])])
            outcomes[protocol] = {(finding.claim, finding.where): finding.verdict.outcome for finding in findings}
    nothing = pd.MultiIndex.from_arrays([[], []])
    return pd.DataFrame(outcomes, index=None if outcomes else nothing).rename_axis(["Claim", "Where"])
