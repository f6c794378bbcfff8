"""Draw the figure that the paper lacks: accuracy before and after pruning against sparsity, with its Table 1."""

import itertools
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_pruning.figures import plotting
from bayes_pruning.figures.plotting import GREY, HOLLOW, Line, rows_of
from bayes_pruning.figures.style import METHOD_LABELS, METHOD_LOOKS, Style
from bayes_pruning.results import paper
from bayes_pruning.results.cells import CELL, Cell
from bayes_pruning.results.paper import UNPRUNED, display_name, paper_values, percent
from bayes_pruning.results.selection import setting

PANEL_HEIGHT = 0.9  # of a figure's
BESIDE = ("random", "bayes_random", UNPRUNED, "magnitude", "bayes_magnitude")  # at one sparsity, from the left
LOOKS = {pruner: METHOD_LOOKS[pruner] for pruner in BESIDE}
KINDS: dict[str, dict[str, Any]] = {  # how the three kinds of points are told apart, whatever their method
    "before pruning": {"linestyle": "-"},
    "after pruning": {"linestyle": ":", **HOLLOW},
    "paper, Table 1": {"linestyle": "none", "marker": "x"},
}
BEFORE, AFTER, PAPER = KINDS


def accuracy_lines(frame: pd.DataFrame) -> list[Line]:
    """Return a line for each point: data sets and networks with pruned runs, the paper's sparsities and any other."""
    pruned = frame[frame["pruner"] != UNPRUNED]
    sparsities = sorted({*paper.SPARSITIES, *pruned["target_sparsity"]})
    return [
        Line(dataset, model, pruner, sparsity, str(Cell(dataset, model, pruner, sparsity)), look)
        for dataset, model in pruned[["dataset", "model"]].drop_duplicates().itertuples(index=False)
        for pruner, look in METHOD_LOOKS.items()
        for sparsity in ([0.0] if pruner == UNPRUNED else sparsities)
    ]


def accuracy_by_sparsity(frame: pd.DataFrame, lines: list[Line], title: str, style: Style, _: str) -> Figure:
    """Draw a panel for each data set and network that has runs; arguments as learning_curves.learning_curves."""
    rows = rows_of(frame, lines)
    points = _points(rows, lines)
    sparsities = sorted({line.target_sparsity for line in lines if line.pruner != UNPRUNED})
    cells = set(zip(rows["dataset"], rows["model"], strict=True))
    datasets = sorted({dataset for dataset, _ in cells}, key=lambda name: paper.rank(name, paper.DATASETS))
    models = sorted({model for _, model in cells}, key=lambda name: paper.rank(name, paper.MODELS))
    panels: list[Any] = [[_title(d, m) if (d, m) in cells else "." for m in models] for d in datasets]
    if style.stacked:
        panels = [[panel] for panel in itertools.chain(*panels) if panel != "."]
    with style.context():
        figure = Figure((style.width, style.height * (PANEL_HEIGHT * len(panels) + 0.5)), layout="constrained")
        for panel, axes in figure.subplot_mosaic(panels).items():
            axes.set_title(plotting.plain(panel))
            _draw(axes, points[points["panel"] == panel], ["unpruned", *map(percent, sparsities)])
        kinds = [Line2D([], [], **{"color": GREY, "marker": "o", "label": kind} | look) for kind, look in KINDS.items()]
        methods = [plotting.handle(METHOD_LABELS[pruner], look, linestyle="") for pruner, look in METHOD_LOOKS.items()]
        plotting.heading(figure, style, title, [*methods, *kinds])
        others = [display_name(name) for name in sorted(frame["pruner"].unique()) if name not in METHOD_LOOKS]
        not_drawn = f"Not drawn: {', '.join(others)}." if others else ""
        plotting.small_print(figure, style, [*_sentences(rows, lines), not_drawn])
    return figure


def _title(dataset: str, model: str) -> str:
    return f"{display_name(dataset)}, {display_name(model)}"


def _points(rows: pd.DataFrame, lines: list[Line]) -> pd.DataFrame:
    """Return each run's last accuracies and the paper's: columns `panel`, `pruner`, `asked`, `kind`, `accuracy`."""
    last = rows[rows["epoch"] == rows["epochs"]]
    before = last.assign(accuracy=last["test_accuracy"], kind=BEFORE)
    after = last.assign(accuracy=last["pruned_test_accuracy"], kind=AFTER)[last["pruner"] != UNPRUNED]
    theirs = pd.Series(paper_values()).rename_axis(CELL).reset_index(name="accuracy").assign(kind=PAPER)
    points = pd.concat([before, after, pd.DataFrame(lines, columns=CELL).merge(theirs, on=CELL)])
    return points.assign(
        panel=[_title(*names) for names in zip(points["dataset"], points["model"], strict=True)],
        asked=points["target_sparsity"].map(percent).where(points["pruner"] != UNPRUNED, "unpruned"),
    )


def _draw(axes: Axes, points: pd.DataFrame, order: list[str]) -> None:
    """Draw at each sparsity four methods side by side, at the left the unpruned network."""
    for kind, look in KINDS.items():
        of_kind = points[points["kind"] == kind]
        plotting.point_plot(axes, of_kind, LOOKS, x="asked", y="accuracy", hue="pruner", order=order, dodge=0.5, **look)
    unpruned = points[(points["pruner"] == UNPRUNED) & (points["kind"] == BEFORE)]["accuracy"]
    if not unpruned.empty:
        axes.axhline(unpruned.mean(), color="black", linestyle="--", linewidth=0.8, zorder=1)
    axes.set(xlabel="sparsity asked", ylabel="test accuracy")
    plotting.accuracy_axis(axes)


def _sentences(rows: pd.DataFrame, lines: list[Line]) -> list[str]:
    missing = plotting.without_runs(lines, rows)
    seeds = sorted(rows.groupby("label")["seed"].nunique().unique())
    return [
        f"Mean of {' or '.join(map(str, seeds))} seed{'s' if seeds[-1] > 1 else ''}, upright lines ±1 standard "
        "deviation, cut where they leave the frame; dashed: unpruned baseline.",
        f"No runs for {len(missing)} of {len(lines)} points." if missing else "",
        "The axis is logarithmic in the error.",
        setting(rows),
    ]
