"""The ranking of readings (ranking.py) as Markdown, as CSV and as a figure, read at one epoch or at several."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bayes_pruning.config import presets
from bayes_pruning.figures import plotting
from bayes_pruning.figures.style import WHOLE, Look, Style
from bayes_pruning.results.paper import NAMES
from bayes_pruning.results.selection import read_out
from bayes_pruning.results.statistics import Difference
from bayes_pruning.results.tables import markdown as table_text
from bayes_pruning.studies import likelihood, ranking
from bayes_pruning.studies.claims.verdicts import OUTCOMES
from bayes_pruning.studies.ranking import EVERYWHERE, ClaimCount, GateUse, Ranked, Simulated
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
HEADER = (
    "Reading", "Accuracy", "Cells", "Seeds", "Distance", "Chi-square", "Excess", "Behind", "With offsets", "Contrasts",
    "Least", "Pattern",
)  # fmt: skip
GATES = (
    "Opened: mean fraction of the epochs that pruned. Every other epoch: runs that pruned in each second epoch, from "
    "the first or the second one on, as the gate `alternate` does without any evidence. As twin, as unpruned: runs "
    "with the very same accuracies in every epoch. Bayes minus classic: accuracy before pruning, mean over sparsities, "
    "paired by seed [95% t interval]; the paper's is that of Table 1."
)
SIMULATION = (
    "Each line: {tables} simulated tables for which that reading is right, from the means, variances and numbers of "
    "seeds of our runs on {place}, one reading of each pattern at epoch {epoch}. Best: fraction of the tables in which "
    "it is the best. Alike: in which it is among those with 95% of the weight. An excess or an offset is the standard "
    "deviation of what is wrong with each simulated cell, or with all cells of a family."
)
CLAIMS = (
    "The paper's claims under each reading, with that reading's own Bayes factor (scripts/check_claims.py --protocol "
    "says each with its numbers)."
)
LOOKS = {"before": Look("C0", WHOLE, "o"), "after": Look("C3", WHOLE, "D")}
SPLIT = {  # columns of several values, in readings.csv
    "reading": ("protocol", "accuracy"),
    "chi_square": tuple(f"chi_square_{repeats}" for repeats in likelihood.REPEATS),
    "least": ("least", "without"),
    "most": ("most", "without_most"),
}
ROW_HEIGHT = 0.17  # inches a reading


@dataclass(frozen=True)
class Ranking:
    """All that is said about the readings in a frame; what depends on the epoch, by it."""

    ranked: Mapping[int, Sequence[Ranked]]
    gates: Sequence[GateUse]
    simulated: Sequence[Simulated]
    claims: Sequence[ClaimCount]  # at the last epoch

    @property
    def epochs(self) -> list[int]:
        """At which the runs were read, ascending."""
        return sorted(self.ranked)

    @property
    def last(self) -> Sequence[Ranked]:
        """Those at the last epoch."""
        return self.ranked[self.epochs[-1]]

    @property
    def places(self) -> list[str]:
        """EVERYWHERE, if there are several, and the places with the most readings first."""
        found = list(dict.fromkeys(row.place for row in self.last))
        return sorted(found, key=lambda place: (place != EVERYWHERE, -sum(row.place == place for row in self.last)))

    @property
    def fullest(self) -> str:
        """The place with the most readings."""
        return next(place for place in self.places if place != EVERYWHERE or len(self.places) == 1)


def ranking_of(frame: pd.DataFrame, epoch: int | None = None) -> Ranking:
    """Everything about a frame of runs of one length and any number of readings.

    Args:
        frame: of frame.load.
        epoch: to read them at; None for the last and the one before, which a gate that alternates tells apart.
    """
    end = int(frame["epochs"].iloc[0])
    read = {at: read_out(frame, at) for at in ([max(1, end - 1), end] if epoch is None else [epoch])}
    last = read[max(read)]
    ranked = {at: ranking.rank(runs) for at, runs in read.items()}
    found = Ranking(ranked, ranking.gate_uses(last, sorted(read)), (), ranking.claim_counts(last))
    return replace(found, simulated=ranking.simulate(last, found.fullest))


def markdown(found: Ranking) -> str:
    """Likelihoods by place, simulation, gates, claims."""
    parts = [f"# Readings of the paper, by the likelihood of its Table 1 (epochs {_epochs(found)})\n"]
    parts += [ranked_tables(found, after=True), "## Tables for which a reading is right\n", simulation_table(found)]
    parts += ["## What the gates did\n", gates_table(found), GATES + "\n"]
    parts += ["## Claims\n", claims_table(found), mixed_claims_table(found), CLAIMS + "\n"]
    return "\n".join([*parts, "## The readings\n", readings_list(found)])


def ranked_tables(found: Ranking, after: bool = False) -> str:
    """At each place a line for each reading and accuracy, best at the last epoch first; LEGEND says what is in it.

    Args:
        found: all readings.
        after: whether accuracies after pruning have more than their best line.
    """
    parts = []
    for place in found.places:
        rows = [row for row in found.last if row.place == place]
        best = next((row for row in rows if row.reading[1] != BEFORE.when), None)
        kept = [row for row in rows if after or row.reading[1] == BEFORE.when or row is best]
        parts.append(f"{place_name(place)}:\n\n{table_text(HEADER, [_ranked_cells(found, row) for row in kept])}")
    return "\n".join([*parts, f"{LEGEND.format(epochs=_epochs(found))}\n"])


def _ranked_cells(found: Ranking, last: Ranked) -> list[Any]:
    rows = [
        row for at in found.epochs for row in found.ranked[at] if (row.reading, row.place) == (last.reading, last.place)
    ]

    def both(show: Any) -> str:
        return " / ".join(map(str, map(show, rows)))

    single = likelihood.REPEATS.index(1)
    return [
        presets.name_of(last.reading[0]),
        last.reading[1],
        last.cells,
        last.seeds,
        both(lambda row: f"{row.rms:.4f}"),
        both(lambda row: f"{row.chi_square[1 - single]:.0f} ({row.chi_square[single]:.0f})"),
        both(lambda row: f"{row.excess:.4f}"),
        both(lambda row: f"{row.behind:.1f}{'*' if row.alike else ''}"),
        both(lambda row: f"{row.behind_with_offsets:.1f}"),
        both(lambda row: "none" if row.behind_in_contrasts is None else f"{row.behind_in_contrasts:.1f}"),
        both(lambda row: f"{row.least[0]:.1f} without {row.least[1]}"),
        both(lambda row: row.pattern),
    ]


def simulation_table(found: Ranking) -> str:
    """How the ranking fares where the right reading is known."""
    header = (
        "Right",
        "Runs in a cell",
        "Excess",
        "Offset",
        "Best",
        "Alike",
        "Best, with offsets",
        "Alike, with offsets",
    )
    rows = [
        [
            presets.name_of(row.protocol),
            *row.scenario,
            row.best,
            row.alike,
            row.best_with_offsets,
            row.alike_with_offsets,
        ]
        for row in found.simulated
    ]
    shown = [[f"{cell:.2f}" if i > 3 else cell for i, cell in enumerate(row)] for row in rows]
    said = SIMULATION.format(tables=ranking.TABLES, place=place_name(found.fullest), epoch=found.epochs[-1])
    return f"{table_text(header, shown)}\n{said}\n"


def gates_table(found: Ranking) -> str:
    """What each gate did; GATES says what is in it."""
    header = (
        "Reading", "Where", "Method", "Runs", "Opened", "Every other epoch", "As twin", "As unpruned",
        *(f"Bayes minus classic at {at}" for at in found.epochs), "The paper's",
    )  # fmt: skip
    return table_text(header, map(_gate_cells, found.gates))


def _gate_cells(use: GateUse) -> list[Any]:
    counts = [use.alternating, use.as_twin, use.as_unpruned]
    differences = map(_signed, use.over_twin)
    paper = "" if use.paper is None else f"{use.paper:+.4f}"
    where = place_name(use.place)
    return [
        presets.name_of(use.protocol),
        where,
        use.pruner,
        use.runs,
        f"{use.opened:.2f}",
        *counts,
        *differences,
        paper,
    ]


def claims_table(found: Ranking) -> str:
    """How many claims hold under each reading."""
    rows = [[presets.name_of(c.protocol), *(c.counts[o] for o in OUTCOMES)] for c in found.claims]
    return table_text(("Reading", *OUTCOMES), rows)


def mixed_claims_table(found: Ranking) -> str:
    """The claims that do not come out the same under all readings that have the seeds to decide them."""
    keys = found.claims[0].outcomes if found.claims else []
    mixed = [key for key in keys if len({c.outcomes[key] for c in found.claims}) > 1]
    header = ("Claim", "Where", *(presets.name_of(c.protocol) for c in found.claims))
    return table_text(header, [[*key, *(c.outcomes[key] for c in found.claims)] for key in mixed])


def readings_list(found: Ranking) -> str:
    """Each reading's name and what it says."""
    known = dict.fromkeys(row.reading[0] for row in found.last)
    return "".join(f"- {presets.name_of(protocol)}: {protocol}\n" for protocol in known)


def csv_text(found: Ranking) -> str:
    """A row for each epoch, place, reading and accuracy, numbers in full."""
    rows = [
        {"epoch": at, "name": presets.name_of(row.reading[0])} | asdict(row)
        for at in found.epochs
        for row in found.ranked[at]
    ]
    flat = pd.json_normalize(rows)
    for column, names in SPLIT.items():
        flat[list(names)] = flat.pop(column).tolist()
    return flat.to_csv(index=False, lineterminator="\n", float_format="%.10g")


def figure(found: Ranking, style: Style) -> Figure:
    """Distances at the fullest place, a line a reading, best above; hollow at the epoch before the last."""
    rows = [(at, row) for at in found.epochs for row in found.ranked[at] if row.place == found.fullest]
    order = list(dict.fromkeys(presets.name_of(row.reading[0]) for row in found.last if row.place == found.fullest))
    data = pd.DataFrame(
        {"epoch": at, "reading": presets.name_of(row.reading[0]), "when": row.reading[1], "rms": row.rms}
        for at, row in rows
    )
    with style.context():
        drawn = Figure((style.width, 1.6 + ROW_HEIGHT * style.font / 8 * len(order)), layout="constrained")
        axes = drawn.add_subplot()
        handles = []
        for at in found.epochs:
            fill = {"linestyle": "none"} | ({} if at == found.epochs[-1] else plotting.HOLLOW)
            of_epoch = data[data["epoch"] == at]
            plotting.point_plot(axes, of_epoch, LOOKS, x="rms", y="reading", hue="when", order=order, dodge=0.3, **fill)
            handles += [plotting.handle(f"{when} pruning, epoch {at}", LOOKS[when], **fill) for when in LOOKS]
        axes.set_xscale("log")
        axes.grid(axis="y")
        axes.set(xlabel="root mean square difference\nto the paper's accuracies", ylabel="")
        plotting.heading(drawn, style, "How near Table 1 each reading comes", handles)
        cells, seeds = (sorted({getattr(row, name) for _, row in rows}) for name in ("cells", "seeds"))
        plotting.small_print(
            drawn,
            style,
            [
                f"Over {_range(cells)} of the 126 cells of Table 1 ({place_name(found.fullest)}), "
                f"at least {_range(seeds)} seeds a cell."
            ],
        )
    return drawn


def _range(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _epochs(found: Ranking) -> str:
    return " and ".join(map(str, found.epochs))


def place_name(place: str) -> str:
    """'mnist fcn' -> 'MNIST FCN'."""
    return "All cells with runs" if place == EVERYWHERE else " ".join(NAMES.get(part, part) for part in place.split())


def _signed(found: Difference | None) -> str:
    if found is None:
        return "missing"
    interval = f"no interval, n = {found.n}" if math.isnan(found.low) else f"[{found.low:+.4f}, {found.high:+.4f}]"
    return f"{found.mean:+.4f} {interval}"
