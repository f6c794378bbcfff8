"""The ranking of readings (ranking.py) as Markdown, as CSV and as a figure."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_pruning import plot_parts, presets, ranking
from bayes_pruning.claims import OUTCOMES
from bayes_pruning.plot_style import BLUE, VERMILLION, Style
from bayes_pruning.ranking import EVERYWHERE, ClaimCount, Distance, GateUse, Ranked
from bayes_pruning.statistics import Difference
from bayes_pruning.table_formats import NAMES
from bayes_pruning.tables import ACCURACIES

LEGEND = (
    "Distance: root mean square difference between our mean accuracy over seeds and the paper's value, over the cells "
    "of Table 1 with runs [95% percentile interval of resampled seeds]. Over the reference: the distance minus that of "
    "the reference, the nearest of the readings with the most cells, over the cells and seeds that both have, from the "
    "same resampled seeds; an interval that holds 0 means that the data can not tell the two apart. Ordered by it."
)
GATES = (
    "Opened: mean fraction of the epochs that pruned. Every other epoch: runs that pruned in the first epoch and in "
    "each second one after it, as the gate `alternate` does without any evidence. As twin, as unpruned: runs with the "
    "very same accuracies in every epoch. Bayes minus classic: mean over sparsities, paired by seed [95% t interval]."
)
DISTANCE_HEADER = (
    "Reading", "Accuracy", "Cells", "Seeds", "Distance", "Over the reference", "Bayes cells", "Their distance",
)  # fmt: skip
GATE_HEADER = (
    "Reading", "Where", "Method", "Runs", "Opened", "Every other epoch", "As twin", "As unpruned",
    "Bayes minus classic, before", "after",
)  # fmt: skip
CLAIMS = "The paper's claims under each reading (scripts/check_claims.py says each with its numbers)."
COLORS = {"before": BLUE, "after": VERMILLION}
ROW_HEIGHT = 0.17  # inches a reading


@dataclass(frozen=True)
class Ranking:
    """All that is said about the readings in a frame."""

    distances: Sequence[Ranked]
    gates: Sequence[GateUse]
    claims: Sequence[ClaimCount]
    epochs: int


def ranking_of(frame: pd.DataFrame) -> Ranking:
    """Everything about a frame of runs of one length and any number of readings."""
    return Ranking(
        ranking.rank(frame), ranking.gate_uses(frame), ranking.claim_counts(frame), int(frame["epochs"].iloc[0])
    )


def markdown(found: Ranking) -> str:
    """Distances by place, gates, claims."""
    parts = [f"# Readings of the paper, by the distance of their accuracies to Table 1 ({found.epochs} epochs)\n"]
    for place in dict.fromkeys(row.place for row in found.distances):
        parts += [f"## {place_name(place)}\n", distances_table(found, place)]
    parts += [LEGEND + "\n", "## What the gates did\n", gates_table(found), GATES + "\n"]
    parts += ["## Claims\n", claims_table(found), mixed_claims_table(found), CLAIMS + "\n"]
    return "\n".join([*parts, "## The readings\n", readings_list(found)])


def distances_table(found: Ranking, place: str = EVERYWHERE) -> str:
    """A line for each reading and accuracy at one place, best first; LEGEND says what is in it."""
    return _table(DISTANCE_HEADER, [_distance_cells(row) for row in found.distances if row.place == place])


def gates_table(found: Ranking) -> str:
    """What each gate did; GATES says what is in it."""
    return _table(GATE_HEADER, map(_gate_cells, found.gates))


def claims_table(found: Ranking) -> str:
    """How many claims hold under each reading."""
    rows = [[presets.name_of(c.protocol), *(c.counts[o] for o in OUTCOMES)] for c in found.claims]
    return _table(("Reading", *OUTCOMES), rows)


def mixed_claims_table(found: Ranking) -> str:
    """The claims that do not come out the same under all readings."""
    mixed = [key for key in found.claims[0].outcomes if len({c.outcomes[key] for c in found.claims}) > 1]
    header = ("Claim", "Where", *(presets.name_of(c.protocol) for c in found.claims))
    return _table(header, [[*key, *(c.outcomes[key] for c in found.claims)] for key in mixed])


def readings_list(found: Ranking) -> str:
    """Each reading's name and what it says."""
    return "".join(f"- {presets.name_of(c.protocol)}: {c.protocol}\n" for c in found.claims)


def csv_text(found: Ranking) -> str:
    """A row for each line of the distances, numbers in full."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    distance = ("cells", "rms", "low", "high")
    writer.writerow(
        ("reading", "protocol", "accuracy", "place", "seeds", *distance, *(f"bayes_{name}" for name in distance),
         "common_cells", "over_reference", "over_reference_low", "over_reference_high")
    )  # fmt: skip
    for row in found.distances:
        cells = [*_plain(row.all_cells, distance), *_plain(row.bayes_cells, distance)]
        over = _plain(row.over_reference, ("n", "mean", "low", "high"))
        writer.writerow([_name(row), row.protocol, row.when, row.place, row.seeds, *cells, *over])
    return buffer.getvalue()


def _plain(found: Distance | Difference | None, names: Sequence[str]) -> list[Any]:
    return [None if found is None else getattr(found, name) for name in names]


def figure(found: Ranking, style: Style) -> Figure:
    """Distances everywhere, a line a reading, best above; accuracy before pruning filled, after it hollow."""
    rows = [row for row in found.distances if row.place == EVERYWHERE]
    order = list(dict.fromkeys(map(_name, rows)))
    places = {name: len(order) - i for i, name in enumerate(order)}
    with style.context():
        drawn = Figure((style.width, 1.6 + ROW_HEIGHT * style.font / 8 * len(order)), layout="constrained")
        axes = drawn.add_subplot()
        for row in rows:
            _point(axes, row, places[_name(row)])
        axes.set_xscale("log")
        axes.set_yticks(list(places.values()), list(places))
        axes.set_xlabel("root mean square difference to the paper's accuracies")
        handles = [_handle(when) for when in COLORS]
        drawn.legend(handles=handles, loc="outside upper right", ncols=2)
        drawn.suptitle(
            "Which reading of the paper gives its Table 1", x=0.01, ha="left", fontsize=style.font, fontweight="bold"
        )
        counts = sorted({row.all_cells.cells for row in rows})
        seeds = sorted({row.seeds for row in rows})
        where = sorted({place_name(row.place) for row in found.distances if row.place != EVERYWHERE})
        plot_parts.small_print(
            drawn,
            style,
            [
                f"Over {_range(counts)} of the 126 cells of Table 1 ({', '.join(where)}), at least {_range(seeds)} "
                f"seeds a cell, {found.epochs} epochs.",
                "Bars: 95% percentile intervals of resampled seeds.",
            ],
        )
    return drawn


def _point(axes: Axes, row: Ranked, place: float) -> None:
    color, distance = COLORS[row.when], row.all_cells
    axes.hlines(place, distance.low, distance.high, color=color, linewidth=1.5)
    axes.plot([distance.rms], [place], label=f"{_name(row)}, {row.when}", **_marker(row.when))


def _marker(when: str) -> dict[str, Any]:
    return {"marker": "o", "linestyle": "", "color": COLORS[when], "fillstyle": "full" if when == "before" else "none"}


def _handle(when: str) -> Line2D:
    return Line2D([], [], label=f"accuracy {when} pruning", **_marker(when))


def _range(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def place_name(place: str) -> str:
    """'mnist fcn' -> 'MNIST FCN'."""
    return "All cells with runs" if place == EVERYWHERE else " ".join(NAMES.get(part, part) for part in place.split())


def _name(row: Ranked) -> str:
    """A reading by the name of its preset, with its gate where that is not the paper's."""
    return f"{presets.name_of(row.protocol)}{f' with {row.gate}' if row.gate else ''}"


def _table(header: Sequence[str], rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines) + "\n"


def _distance_cells(row: Ranked) -> list[Any]:
    bayes = ["none", ""] if row.bayes_cells is None else [row.bayes_cells.cells, _shown(row.bayes_cells)]
    over = "reference" if row.over_reference is None else _signed(row.over_reference)
    return [_name(row), row.when, row.all_cells.cells, row.seeds, _shown(row.all_cells), over, *bayes]


def _shown(distance: Distance) -> str:
    return f"{distance.rms:.4f} [{distance.low:.4f}, {distance.high:.4f}]"


def _signed(found: Difference | None) -> str:
    if found is None:
        return "missing"
    interval = "no interval" if math.isnan(found.low) else f"[{found.low:+.4f}, {found.high:+.4f}]"
    return f"{found.mean:+.4f} {interval}"


def _gate_cells(use: GateUse) -> list[Any]:
    name, differences = presets.name_of(use.protocol), [_signed(use.over_twin[a.when]) for a in ACCURACIES]
    counts = [use.alternating, use.as_twin, use.as_unpruned]
    return [name, place_name(use.place), use.pruner, use.runs, f"{use.opened:.2f}", *counts, *differences]
