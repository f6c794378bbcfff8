"""Write the ranking of readings (ranking.py) as Markdown, CSV and a figure, read at one epoch or at several."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from bayes_pruning.config import presets
from bayes_pruning.figures import plotting
from bayes_pruning.figures.style import WHOLE, Look, Style
from bayes_pruning.results.paper import DATASETS, MODELS, NAMES
from bayes_pruning.results.paper import rank as rank_of
from bayes_pruning.results.selection import read_out
from bayes_pruning.results.statistics import Difference
from bayes_pruning.results.tables import markdown as table_text
from bayes_pruning.studies.claims.rules import CLAIMS, FAILS, HOLDS
from bayes_pruning.studies.claims.verdicts import OUTCOMES
from bayes_pruning.studies.ranking import EVERYWHERE, READING, SHARED, TABLES, claim_outcomes, gate_uses, rank, simulate
from bayes_pruning.studies.table1 import BEFORE

LEGEND = (
    "Two numbers in a cell are those at epochs {epochs}, by the last of which the lines are ordered. Distance: root "
    "mean square difference between our mean accuracy over seeds and the paper's value. Chi-square: the sum of its "
    "squares over the variance that the seeds explain, if the paper's cells are means of five runs, and in brackets of "
    "single ones; about the number of cells for a reading that is right. Excess: the standard deviation that is "
    "missing for that. Behind: by how many nats the paper's values are less likely than under the best reading, the "
    "paper's number of runs and the excess integrated out; * marks those that have 95% of the weight together, which "
    "can not be told apart. With offsets: the same if all unpruned, all random and all magnitude cells of a place may "
    "be off by an unknown number each. Contrasts: the same of the differences between each Bayes cell and its classic "
    "twin. Least: how little it is behind when a cell or all cells of one sparsity are left out, and which. Pattern: "
    "readings with one number give the same accuracies, as far as seeds can tell."
)
GATES = (
    "Opened: mean fraction of the epochs that pruned. Every other epoch: runs that pruned in each second epoch, from "
    "the first or the second one on, as the gate `alternate` does without any evidence. As twin, as unpruned: runs "
    "with the very same accuracies in every epoch. Bayes minus classic: accuracy before pruning, mean over sparsities, "
    "paired by seed [95% t interval]; the paper's is that of Table 1."
)
SIMULATION = (
    "Each line: {tables} simulated tables for which that reading is right, from the means, variances and numbers of "
    "seeds of our runs on {block}, one reading of each pattern at epoch {epoch}. Best: fraction of the tables in which "
    "it is the best. Alike: in which it is among those with 95% of the weight. An excess or an offset is the standard "
    "deviation of what is wrong with each simulated cell, or with all cells of a family."
)
OF_CLAIMS = (
    "The paper's claims under each reading, with that reading's own Bayes factor (scripts/check_claims.py --protocol "
    "says each with its numbers)."
)
OVERVIEW = (
    "Each cell: by how many nats the paper's values are less likely than under the best reading of the column, at "
    "epochs {epochs}. * marks those that have 95% of the weight together, which can not be told apart. The lines are "
    "ordered by {block} at the last epoch. An empty cell was not run."
)
LOOKS = {"before": Look("C0", WHOLE, "o"), "after": Look("C3", WHOLE, "D")}
ROW_HEIGHT = 0.17  # inches a reading


@dataclass(frozen=True)
class Ranking:
    """Hold all that is said about the readings in a frame; the tables are those of ranking.py."""

    epochs: Sequence[int]  # at which the runs were read, ascending
    blocks: Sequence[str]  # EVERYWHERE, if there are several, and the blocks with the most readings first
    fullest: str  # the block with the most readings
    ranked: pd.DataFrame  # with the column `epoch`
    gates: pd.DataFrame
    simulated: pd.DataFrame
    claims: pd.DataFrame  # at the last epoch

    @property
    def last(self) -> pd.DataFrame:
        """Return the ranking at the last epoch."""
        return self.ranked[self.ranked["epoch"] == self.epochs[-1]]


def ranking_of(frame: pd.DataFrame, epoch: int | None = None) -> Ranking:
    """Return everything about a frame of runs of one length and any number of readings.

    Without an `epoch` they are read at the last and the one before, which a gate that alternates tells apart.
    """
    end = int(frame["epochs"].iloc[0])
    epochs = sorted({max(1, end - 1), end}) if epoch is None else [epoch]
    by_epoch = {at: rank(read_out(frame, at)) for at in epochs}
    readings = by_epoch[epochs[-1]]["block"].value_counts(sort=False)
    blocks = sorted(readings.index, key=lambda block: (block != EVERYWHERE, -readings[block]))
    fullest, last = _fullest(blocks), read_out(frame, epochs[-1])
    return Ranking(
        epochs,
        blocks,
        fullest,
        pd.concat(by_epoch, names=["epoch"]).reset_index(level="epoch"),
        gate_uses(last, epochs),
        simulate(last, fullest),
        claim_outcomes(last),
    )


def _fullest(blocks: Sequence[str]) -> str:
    return next(block for block in blocks if block != EVERYWHERE and not block.endswith(SHARED))


def markdown(ranking: Ranking) -> str:
    """Return likelihoods by block, simulation, gates and claims."""
    parts = [f"# Readings of the paper, by the likelihood of its Table 1 (epochs {_epochs(ranking)})\n"]
    parts += [ranked_tables(ranking), "## Tables for which a reading is right\n", simulation_table(ranking)]
    parts += ["## What the gates did\n", gates_table(ranking), GATES + "\n"]
    parts += ["## Claims\n", claims_table(ranking), mixed_claims_table(ranking), OF_CLAIMS + "\n"]
    return "\n".join([*parts, "## The readings\n", readings_list(ranking)])


def ranked_tables(ranking: Ranking) -> str:
    """Return for each block a line for each reading, best at the last epoch first; LEGEND says what is in it."""
    lines = _lines(ranking)
    parts = [f"{block_name(block)}:\n\n{_table(lines[ranking.last['block'] == block])}" for block in ranking.blocks]
    return "\n".join([*parts, f"{LEGEND.format(epochs=_epochs(ranking))}\n"])


def overview_table(ranking: Ranking, both: str) -> str:
    """Return one table of how far each reading is behind in each block; OVERVIEW says what is in it.

    The reading whose name is `both` has a line for its accuracies after pruning too.
    """
    lines = _lines(ranking)
    blocks = [block for block in ranking.blocks if not block.endswith(SHARED)]
    blocks.sort(
        key=lambda block: (block != EVERYWHERE, *(rank_of(part, (*MODELS, *DATASETS)) for part in block.split()[::-1]))
    )
    lines["block"] = ranking.last["block"]
    shown = lines[(lines["Accuracy"] == BEFORE.when) | (lines["Reading"] == both)]
    behind = shown.pivot(index=["Reading", "Accuracy"], columns="block", values="Behind").fillna("")
    fullest = shown.loc[shown["block"] == ranking.fullest, ["Reading", "Accuracy"]]
    table = behind.reindex(pd.MultiIndex.from_frame(fullest))[blocks].reset_index()
    titles = {block: "Together" if block == EVERYWHERE else block_name(block) for block in blocks}
    said = OVERVIEW.format(epochs=_epochs(ranking), block=titles[ranking.fullest])
    return f"{_table(table.rename(columns=titles))}\n{said}\n"


def _lines(ranking: Ranking) -> pd.DataFrame:
    """Return the lines of the ranking at the last epoch, with the numbers of all epochs in their cells."""
    ranked, key = ranking.ranked, ["block", *READING]
    texts = pd.DataFrame(
        {
            "Distance": _texts(ranked["rms"], "{:.4f}"),
            "Chi-square": _texts(ranked["chi_square_5"], "{:.0f}") + _texts(ranked["chi_square_1"], " ({:.0f})"),
            "Excess": _texts(ranked["excess"], "{:.4f}"),
            "Behind": _texts(ranked["behind"], "{:.1f}") + ranked["alike"].map({True: "*", False: ""}),
            "With offsets": _texts(ranked["behind_with_offsets"], "{:.1f}"),
            "Contrasts": _texts(ranked["behind_in_contrasts"], "{:.1f}", "none"),
            "Least": _texts(ranked["least"], "{:.1f} without ") + ranked["without"],
            "Pattern": ranked["pattern"].astype(str),
        }
    )
    joined = texts.groupby([ranked[name] for name in key]).agg(" / ".join)
    lines = ranking.last[[*key, "cells", "seeds"]].join(joined, on=key).drop(columns="block")
    titles = {"protocol": "Reading", "accuracy": "Accuracy", "cells": "Cells", "seeds": "Seeds"}
    return lines.assign(protocol=lines["protocol"].map(presets.name_of)).rename(columns=titles)


def _texts(numbers: pd.Series, form: str, missing: str = "") -> pd.Series:
    return numbers.map(form.format, na_action="ignore").astype(object).fillna(missing)


def _table(rows: pd.DataFrame) -> str:
    return table_text(list(rows.columns), rows.to_numpy())


def simulation_table(ranking: Ranking) -> str:
    """Return how the ranking fares where the right reading is known."""
    rows = ranking.simulated.copy()
    rows["protocol"] = rows["protocol"].map(presets.name_of)
    rates = ["best", "alike", "best_with_offsets", "alike_with_offsets"]
    rows[rates] = rows[rates].map("{:.2f}".format)
    rows.columns = pd.Index(
        ("Right", "Runs in a cell", "Excess", "Offset", "Best", "Alike", "Best, with offsets", "Alike, with offsets")
    )
    said = SIMULATION.format(tables=TABLES, block=block_name(ranking.fullest), epoch=ranking.epochs[-1])
    return f"{_table(rows)}\n{said}\n"


def gates_table(ranking: Ranking) -> str:
    """Return what each gate did; GATES says what is in it."""
    uses = ranking.gates
    rows = pd.DataFrame(
        {
            "Reading": uses["protocol"].map(presets.name_of),
            "Where": uses["block"].map(block_name),
            "Method": uses["pruner"],
            "Runs": uses["runs"],
            "Opened": _texts(uses["opened"], "{:.2f}"),
            "Every other epoch": uses["alternating"],
            "As twin": uses["as_twin"],
            "As unpruned": uses["as_unpruned"],
            **{
                f"Bayes minus classic at {at}": [_signed(differences[i]) for differences in uses["over_twin"]]
                for i, at in enumerate(ranking.epochs)
            },
            "The paper's": _texts(uses["paper"], "{:+.4f}"),
        }
    )
    return _table(rows)


def claims_table(ranking: Ranking) -> str:
    """Return how many claims hold under each reading."""
    counts = ranking.claims.apply(pd.Series.value_counts).reindex(OUTCOMES).fillna(0).astype(int).T
    return _table(counts.rename(presets.name_of).rename_axis("Reading").reset_index())


def mixed_claims_table(ranking: Ranking) -> str:
    """Return the claims that do not come out the same under all readings that have the seeds to decide them."""
    mixed = ranking.claims[ranking.claims.nunique(axis=1) > 1]
    return _table(mixed.rename(columns=presets.name_of).reset_index())


def contrary_claims_table(ranking: Ranking) -> str:
    """Return the claims that hold under one reading and fail under another, in the paper's words."""
    both = [{HOLDS, FAILS} <= set(outcomes) for outcomes in ranking.claims.to_numpy()]
    claims = ranking.claims[both]
    table = claims.rename(columns=presets.name_of).reset_index()
    return _table(table.assign(Claim=table["Claim"].map(lambda name: CLAIMS[name].statement)))


def readings_list(ranking: Ranking) -> str:
    """Return each reading's name and what it says."""
    known = ranking.last["protocol"].unique()
    return "".join(f"- {presets.name_of(protocol)}: {protocol}\n" for protocol in known)


def csv_text(ranking: Ranking) -> str:
    """Return a row for each epoch, block, reading and accuracy, with as many digits as all processors agree on."""
    rows = ranking.ranked.rename(columns={"block": "place"})
    rows.insert(1, "name", rows["protocol"].map(presets.name_of))
    return rows.round(10).to_csv(index=False, lineterminator="\n", float_format="%.10g")


def figure(ranking: Ranking, style: Style) -> Figure:
    """Draw the distances in the fullest block: a line a reading, best above; hollow before the last epoch."""
    data = ranking.ranked[ranking.ranked["block"] == ranking.fullest]
    data = data.assign(reading=data["protocol"].map(presets.name_of))
    order = list(data.loc[data["epoch"] == ranking.epochs[-1], "reading"].unique())
    with style.context():
        drawn = Figure((style.width, 1.6 + ROW_HEIGHT * style.font / 8 * len(order)), layout="constrained")
        axes = drawn.add_subplot()
        handles = []
        for at in ranking.epochs:
            fill = {"linestyle": "none"} | ({} if at == ranking.epochs[-1] else plotting.HOLLOW)
            of_epoch = data[data["epoch"] == at]
            plotting.point_plot(
                axes, of_epoch, LOOKS, x="rms", y="reading", hue="accuracy", order=order, dodge=0.3, **fill
            )
            handles += [plotting.handle(f"{when} pruning, epoch {at}", LOOKS[when], **fill) for when in LOOKS]
        axes.set_xscale("log")
        axes.grid(axis="y")
        axes.set(xlabel="root mean square difference\nto the paper's accuracies", ylabel="")
        plotting.heading(drawn, style, "How near Table 1 each reading comes", handles)
        where = f"Over {_range(data['cells'])} of the 126 cells of Table 1 ({block_name(ranking.fullest)})"
        plotting.small_print(drawn, style, [f"{where}, at least {_range(data['seeds'])} seeds a cell."])
    return drawn


def _range(numbers: pd.Series) -> str:
    return " to ".join(map(str, sorted({numbers.min(), numbers.max()})))


def _epochs(ranking: Ranking) -> str:
    return " and ".join(map(str, ranking.epochs))


def block_name(block: str) -> str:
    """Return a block's name for people: 'mnist fcn' -> 'MNIST FCN'."""
    if block == EVERYWHERE:
        return "All rows in which several readings were run"
    name = " ".join(NAMES.get(part, part) for part in block.removesuffix(SHARED).split())
    return f"{name}, the cells that several readings have" if block.endswith(SHARED) else name


def _signed(difference: Difference | None) -> str:
    if difference is None:
        return "missing"
    alone = f", n = {difference.n}" if math.isnan(difference.low) else ""
    return f"{difference}{alone}"
