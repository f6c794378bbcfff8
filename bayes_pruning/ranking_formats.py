"""The ranking of readings (ranking.py) as Markdown, as CSV and as a figure."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
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
    "of Table 1 with runs [95% percentile interval of resampled seeds]. Over the best: the distance minus that of the "
    "best line, over the cells that both have, from the same resampled seeds; an interval that holds 0 means that "
    "the data can not tell the two apart."
)
GATES = (
    "Opened: mean fraction of the epochs that pruned. Every other epoch: runs that pruned in the first epoch and in "
    "each second one after it, as the gate `alternate` does without any evidence. As twin, as unpruned: runs with the "
    "very same accuracies in every epoch. Bayes minus classic: mean over sparsities, paired by seed [95% t interval]."
)
DISTANCE_HEADER = (
    "Reading", "Accuracy", "Cells", "Seeds", "Distance", "Over the best", "Bayes cells", "Their distance",
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
    for place, rows in groupby(found.distances, lambda row: row.place):
        parts += [f"## {place_name(place)}\n", _table(DISTANCE_HEADER, [_distance_cells(row) for row in rows])]
    parts += [
        LEGEND + "\n",
        "## What the gates did\n",
        _table(GATE_HEADER, map(_gate_cells, found.gates)),
        GATES + "\n",
    ]
    parts += ["## Claims\n", _claims_table(found.claims), CLAIMS + "\n"]
    return (
        "\n".join(
            [*parts, "## The readings\n", *(f"- {presets.name_of(c.protocol)}: {c.protocol}" for c in found.claims)]
        )
        + "\n"
    )


def csv_text(found: Ranking) -> str:
    """A row for each line of the distances, numbers in full."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    distance = ("cells", "rms", "low", "high")
    writer.writerow(
        ("reading", "protocol", "accuracy", "place", "seeds", *distance, *(f"bayes_{name}" for name in distance),
         "common_cells", "over_best", "over_best_low", "over_best_high")
    )  # fmt: skip
    for row in found.distances:
        cells = [*_plain(row.all_cells, distance), *_plain(row.bayes_cells, distance)]
        over = _plain(row.over_best, ("n", "mean", "low", "high"))
        writer.writerow([presets.name_of(row.protocol), row.protocol, row.when, row.place, row.seeds, *cells, *over])
    return buffer.getvalue()


def _plain(found: Distance | Difference | None, names: Sequence[str]) -> list[Any]:
    return [None if found is None else getattr(found, name) for name in names]


def figure(found: Ranking, style: Style) -> Figure:
    """Distances everywhere, a line a reading, best above; accuracy before pruning filled, after it hollow."""
    rows = [row for row in found.distances if row.place == EVERYWHERE]
    order = list(dict.fromkeys(row.protocol for row in rows))
    places = {protocol: len(order) - i for i, protocol in enumerate(order)}
    with style.context():
        drawn = Figure((style.width, 1.6 + ROW_HEIGHT * style.font / 8 * len(order)), layout="constrained")
        axes = drawn.add_subplot()
        for row in rows:
            _point(axes, row, places[row.protocol])
        axes.set_xscale("log")
        axes.set_yticks(list(places.values()), [presets.name_of(protocol) for protocol in places])
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
    axes.plot([distance.rms], [place], label=f"{row.protocol}, {row.when}", **_marker(row.when))


def _marker(when: str) -> dict[str, Any]:
    return {"marker": "o", "linestyle": "", "color": COLORS[when], "fillstyle": "full" if when == "before" else "none"}


def _handle(when: str) -> Line2D:
    return Line2D([], [], label=f"accuracy {when} pruning", **_marker(when))


def _range(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def place_name(place: str) -> str:
    """'mnist fcn' -> 'MNIST FCN'."""
    return "All cells with runs" if place == EVERYWHERE else " ".join(NAMES.get(part, part) for part in place.split())


def _table(header: Sequence[str], rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines) + "\n"


def _distance_cells(row: Ranked) -> list[Any]:
    bayes = ["none", ""] if row.bayes_cells is None else [row.bayes_cells.cells, _shown(row.bayes_cells)]
    over = "best" if row.over_best is None else _signed(row.over_best)
    name = presets.name_of(row.protocol)
    return [name, row.when, row.all_cells.cells, row.seeds, _shown(row.all_cells), over, *bayes]


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


def _claims_table(found: Sequence[ClaimCount]) -> str:
    """Counts by reading; then the claims that do not come out the same under all of them."""
    counts = _table(
        ("Reading", *OUTCOMES), [[presets.name_of(c.protocol), *(c.counts[o] for o in OUTCOMES)] for c in found]
    )
    mixed = [key for key in found[0].outcomes if len({c.outcomes[key] for c in found}) > 1]
    header = ("Claim", "Where", *(presets.name_of(c.protocol) for c in found))
    return f"{counts}\n{_table(header, [[*key, *(c.outcomes[key] for c in found)] for key in mixed])}"
