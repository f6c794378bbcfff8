"""Compare pruning schedules: networks exactly as sparse as asked, beside what the paper claims for 99%.

All accuracies are after pruning, of the network whose zeros are counted. Differences are paired by seed. The tables and
the figure are in docs/bayesian_schedule.md (publication.ScheduleStudy). Frames are those of frame.load with one more
column, `prunable_weights`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_pruning.figures import plotting
from bayes_pruning.figures.style import DASH_DOT, DOTS, SHORT, WHOLE, Look, Style
from bayes_pruning.results.cells import Cell, Cells
from bayes_pruning.results.paper import UNPRUNED, Key, display_name, paper_values, percent
from bayes_pruning.results.statistics import Difference, summarise
from bayes_pruning.results.tables import markdown
from bayes_pruning.studies import table1
from bayes_pruning.studies.formats import MISSING
from bayes_pruning.studies.table1 import AFTER

LOOKS = {
    "one_shot": Look("C7", DOTS, "X"),
    "iterative": Look("C1", DOTS, "^"),
    "gradual": Look("C9", DASH_DOT, "D"),
    "gradual_global": Look("C2", SHORT, "s"),
    "gradual_snip": Look("C4", DASH_DOT, "v"),
    "gradual_evidence": Look("C3", SHORT, "P"),
    "bayes_schedule": Look("C0", WHOLE, "o"),
}
METHODS = tuple(LOOKS)
REFERENCE, PROPOSED = "gradual", "bayes_schedule"
FLOOR = "gradual_evidence"  # the proposed method without its Bayes factor: it prunes to the floor of the schedule
CLAIMED = ("magnitude", "bayes_magnitude")  # the paper's columns that a target is taken from
WEIGHTS = "prunable_weights"  # a column beside those of frame.load
ROUNDING = 2  # weights: the zeros of each of three or four layers are a whole number
HIGH = 0.9  # from this sparsity on the proposed method is to beat the reference
PAPER = {f"paper, {display_name(column)}": marker for column, marker in zip(CLAIMED, "x+", strict=True)}
TITLE = "Accuracy of exactly sparse networks against their sparsity"
WIDE = 2.0  # line of the proposed method in the figure, in points
Row = tuple[str, str, float]  # of a table: dataset, model, sparsity
Runs = Mapping[Key, pd.DataFrame]


@dataclass(frozen=True)
class Target:
    """Hold what is asked of the proposed method in one cell, and what it does."""

    row: Row
    mean: float
    seeds: int
    exact: bool  # every run has the zeros asked for, to within the rounding of counts
    over_paper: Mapping[str, float]  # mean minus the paper's value, by column
    relative: Mapping[str, float]  # the same of what each side has over its own unpruned network
    over_reference: Difference | None

    @property
    def met(self) -> bool:
        """Return whether it is as sparse as asked, reaches the paper, and at high sparsity beats the reference."""
        enough = self.exact and all(difference >= 0 for difference in self.over_paper.values())
        if self.row[2] < HIGH:
            return enough
        return enough and self.over_reference is not None and self.over_reference.low > 0


def accuracies(frame: pd.DataFrame) -> str:
    """Return Markdown: every method's accuracy at each sparsity beside the unpruned network's and the paper's."""
    runs, paper = table1.final_by_seed(frame), paper_values()
    head = ["Dataset", "Model", "Sparsity", "Unpruned", *map(_claim_name, CLAIMED), *map(display_name, METHODS)]
    rows = []
    for row in rows_of(runs):
        claims = [f"{paper[key]:.4f}" if (key := _key(row, column)) in paper else "" for column in CLAIMED]
        unpruned = _cell(runs.get((*row[:2], UNPRUNED, 0.0)))
        cells = [_cell(runs.get(_key(row, method))) for method in METHODS]
        rows.append([*_names(row), unpruned, *claims, *cells])
    return markdown(head, rows)


def differences(frame: pd.DataFrame, reference: str = REFERENCE, methods: Sequence[str] = METHODS) -> str:
    """Return Markdown: each of `methods` minus `reference`, paired by seed, with 95% t intervals."""
    runs = table1.final_by_seed(frame)
    others = [method for method in methods if method != reference]
    rows = [
        [*_names(row), *(_paired(runs, row, method, reference) or MISSING for method in others)]
        for row in rows_of(runs)
    ]
    return markdown(["Dataset", "Model", "Sparsity", *map(display_name, others)], rows)


def targets(frame: pd.DataFrame) -> list[Target]:
    """Return what the proposed method reaches, wherever it has runs."""
    runs, paper = table1.final_by_seed(frame), paper_values()
    reached = []
    for row in rows_of(runs):
        if (final := runs.get(_key(row, PROPOSED))) is None:
            continue
        mean = float(final[AFTER.column].mean())
        over_paper = {column: mean - paper[_key(row, column)] for column in CLAIMED if _key(row, column) in paper}
        unpruned, relative = (*row[:2], UNPRUNED, 0.0), dict[str, float]()
        if unpruned in runs and unpruned in paper:
            ahead = runs[unpruned][AFTER.column].mean() - paper[unpruned]
            relative = {column: over - ahead for column, over in over_paper.items()}
        exact = ((final[AFTER.sparsity] - row[2]).abs() * final[WEIGHTS] <= ROUNDING).all()
        over_reference = _paired(runs, row, PROPOSED, REFERENCE)
        reached.append(Target(row, mean, len(final), bool(exact), over_paper, relative, over_reference))
    return reached


def targets_table(frame: pd.DataFrame) -> str:
    """Return Markdown of `targets` of the proposed method."""
    minus = [f"minus {_claim_name(column)}" for column in CLAIMED]
    minus += [f"{name}, both over their unpruned network" for name in minus]
    head = ["Dataset", "Model", "Sparsity", display_name(PROPOSED), "Exactly as sparse", *minus]
    rows = []
    for target in targets(frame):
        both = target.over_paper, target.relative
        beyond = [f"{over[column]:+.4f}" if column in over else "" for over in both for column in CLAIMED]
        names = [*_names(target.row), f"{target.mean:.4f} ({target.seeds})", "yes" if target.exact else "no"]
        rows.append([*names, *beyond, target.over_reference or MISSING, "met" if target.met else "missed"])
    return markdown([*head, f"minus {display_name(REFERENCE)}", "Target"], rows)


def brake(frame: pd.DataFrame) -> str:
    """Return Markdown: what the Bayes factor adds to the floor of its schedule, and how many epochs of each seed let
    more go than that floor (the last of them in brackets)."""
    runs, cells = table1.final_by_seed(frame), Cells(frame)
    rows = []
    for row in rows_of(runs):
        difference = _paired(runs, row, PROPOSED, FLOOR)
        if difference is not None:
            epochs = [f"{count} ({last})" if count else "0" for count, last in _beyond_floor(cells, row)]
            rows.append([*_names(row), difference, ", ".join(epochs)])
    both = f"{display_name(PROPOSED)} minus {display_name(FLOOR)}"
    return markdown(["Dataset", "Model", "Sparsity", both, "Epochs beyond the floor"], rows)


def _beyond_floor(cells: Cells, row: Row) -> list[tuple[int, int]]:
    """Return for each seed the epochs that pruned and left more zeros than FLOOR has then: how many, and the last."""
    proposed, floor = (Cell(*_key(row, method)) for method in (PROPOSED, FLOOR))
    before, after = (cells.by_epoch(proposed, column) for column in ("sparsity_before", "sparsity"))
    weights = cells.rows[proposed][WEIGHTS].iloc[0]
    beyond = []
    for seed, reached in cells.by_epoch(floor, "sparsity").items():
        if seed in after:
            more = (after[seed] - reached) * weights > ROUNDING
            grown = (after[seed] - before[seed]) * weights > ROUNDING
            epochs = after.index[more & grown]
            beyond.append((len(epochs), max(epochs, default=0)))
    return beyond


def rows_of(runs: Runs) -> list[Row]:
    """Return the rows of a table of runs (`table1.final_by_seed`): wherever there is a pruned one."""
    return [(dataset, model, sparsity) for dataset, model, sparsity in table1.grid(runs) if sparsity is not None]


def _key(row: Row, method: str) -> Key:
    dataset, model, sparsity = row
    return dataset, model, method, sparsity


def _names(row: Row) -> list[str]:
    return [display_name(row[0]), display_name(row[1]), percent(row[2])]


def _paired(runs: Runs, row: Row, one: str, other: str) -> Difference | None:
    return table1.paired(runs.get(_key(row, one)), runs.get(_key(row, other)), AFTER)


def _cell(runs: pd.DataFrame | None) -> str:
    accuracy = None if runs is None else summarise(runs[AFTER.column])
    if accuracy is None:
        return MISSING
    return f"{accuracy.mean:.4f} ± {accuracy.sd:.4f} ({accuracy.n})" if accuracy.n > 1 else f"{accuracy.mean:.4f} (1)"


def _claim_name(column: str) -> str:
    return f"paper's {display_name(column)}"


def schedules(frame: pd.DataFrame, style: Style) -> Figure:
    """Draw a panel for each data set and network that has runs, side by side."""
    runs = table1.final_by_seed(frame)
    cells = rows_of(runs)
    places = list(dict.fromkeys((dataset, model) for dataset, model, _ in cells))
    sparsities = sorted({sparsity for *_, sparsity in cells})
    with style.context():
        figure = Figure((style.width, 1.2 * style.height), layout="constrained")
        panels = figure.subplots(1, len(places), squeeze=False).flatten()
        for axes, (dataset, model) in zip(panels, places, strict=True):
            _panel(axes, runs, dataset, model, sparsities)
            axes.set_ylabel("test accuracy after pruning" if axes is panels[0] else "")
        handles = [Line2D([], [], color="black", linestyle="--", linewidth=0.8, label="Unpruned")]
        for method, look in LOOKS.items():
            width = {"linewidth": WIDE} if method == PROPOSED else {}
            handles.append(plotting.handle(display_name(method), look, **width))
        handles += [Line2D([], [], color="black", linestyle="", marker=m, label=label) for label, m in PAPER.items()]
        plotting.heading(figure, style, TITLE, handles)
        counts = {len(final) for (*_, pruner, _), final in runs.items() if pruner != UNPRUNED}
        seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
        sentence = f"Mean of {seeds} seeds, upright lines ±1 standard deviation; last epoch."
        plotting.small_print(figure, style, [sentence, "The axis is logarithmic in the error."])
    return figure


def _panel(axes: Axes, runs: Runs, dataset: str, model: str, sparsities: Sequence[float]) -> None:
    axes.set_title(f"{display_name(dataset)}, {display_name(model)}")
    order = [percent(sparsity) for sparsity in sparsities]
    data = pd.concat(
        runs[key].assign(sparsity=percent(sparsity))
        for method in METHODS
        for sparsity in sparsities
        if (key := (dataset, model, method, sparsity)) in runs
    )
    for wide, rows in data.groupby(data["pruner"] == PROPOSED):
        width = {"linewidth": WIDE} if wide else {}
        plotting.point_plot(
            axes, rows, LOOKS, x="sparsity", y=AFTER.column, hue="pruner", order=order, dodge=0.42, **width
        )
    for column, marker in zip(CLAIMED, PAPER.values(), strict=True):
        known = [paper_values().get((dataset, model, column, sparsity)) for sparsity in sparsities]
        axes.plot(range(len(known)), np.array(known, dtype=float), marker=marker, color="black", linestyle="")
    if (dataset, model, UNPRUNED, 0.0) in runs:
        baseline = runs[dataset, model, UNPRUNED, 0.0][AFTER.column].mean()
        axes.axhline(baseline, color="black", linestyle="--", linewidth=0.8, zorder=1)
    axes.set_xlabel("sparsity")
    plotting.accuracy_axis(axes)
