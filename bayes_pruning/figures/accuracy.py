"""The figure that the paper lacks: accuracy before and after pruning against sparsity, with its Table 1."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bayes_pruning.figures import parts as parts
from bayes_pruning.figures.learning_curves import PAPER_SPARSITIES, split
from bayes_pruning.figures.parts import Line
from bayes_pruning.figures.style import METHOD_LOOKS, METHODS, Style
from bayes_pruning.results.cells import Cell, curves, runs_of, setting
from bayes_pruning.results.names import NAMES, percent
from bayes_pruning.results.paper import paper_values
from bayes_pruning.results.run_records import UNPRUNED

Array = np.ndarray[Any, np.dtype[np.float64]]

ROWS = ("mnist", "mnist_5k", "fashion_mnist", "cifar10")  # of panels, where there are runs
COLUMNS = ("fcn", "cnn")
PANEL_HEIGHT = 0.9  # of a figure's
LEGEND_HEIGHT = 0.12  # of a panel's
TICKS = (0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995, 0.999)
SMALLEST_ERROR = 1e-4  # drawn for any below it: the axis is logarithmic in the error
DODGE = 0.13  # between the methods at one sparsity, in steps of the x axis
KINDS: dict[str, dict[str, Any]] = {  # how the three kinds of points are told apart, whatever their method
    "before pruning": {"fillstyle": "full", "linestyle": "-"},
    "after pruning": {"fillstyle": "none", "linestyle": ":"},
    "paper, Table 1": {"marker": "x", "linestyle": "", "markeredgewidth": 1.4},
}
BEFORE, AFTER, PAPER = KINDS


def accuracy_lines(frame: pd.DataFrame) -> list[Line]:
    """One cell a point, for each data set and network with pruned runs: the paper's sparsities and any other."""
    pruned = frame[frame["pruner"] != UNPRUNED]
    sparsities = sorted({*PAPER_SPARSITIES, *pruned["target_sparsity"]})
    cells = [
        Cell(dataset, model, pruner, sparsity)
        for dataset, model in pruned[["dataset", "model"]].drop_duplicates().itertuples(index=False)
        for pruner in METHODS
        for sparsity in ([0.0] if pruner == UNPRUNED else sparsities)
    ]
    return [Line(cell, str(cell), METHOD_LOOKS[cell.pruner]) for cell in cells]


def accuracy_by_sparsity(frame: pd.DataFrame, lines: list[Line], title: str, style: Style, _: str) -> Figure:
    """A panel for each data set and network that has runs; arguments as figure_curves.learning_curves."""
    drawn, missing = split(frame, lines)
    pairs = {(line.cell.dataset, line.cell.model) for line in drawn}
    datasets, models = _in_order({pair[0] for pair in pairs}, ROWS), _in_order({pair[1] for pair in pairs}, COLUMNS)
    with style.context():
        figure = Figure((style.width, style.height * (PANEL_HEIGHT * len(datasets) + 0.5)), layout="constrained")
        heights = [*(1.0 for _ in datasets), LEGEND_HEIGHT]
        grid = figure.add_gridspec(len(heights), len(models), height_ratios=heights)
        for pair in sorted(pairs):
            axes = figure.add_subplot(grid[datasets.index(pair[0]), models.index(pair[1])])
            _panel(axes, frame, [line.cell for line in lines if (line.cell.dataset, line.cell.model) == pair])
        figure.suptitle(title, x=0.01, ha="left", fontsize=style.font, fontweight="bold")
        _legend(figure.add_subplot(grid[-1, :]))
        parts.small_print(figure, style, _sentences(frame, drawn, len(missing), len(lines)))
    return figure


def _in_order(names: set[str], order: Sequence[str]) -> list[str]:
    return [*(name for name in order if name in names), *sorted(names - {*order})]


def _panel(axes: Axes, frame: pd.DataFrame, cells: Sequence[Cell]) -> None:
    """One data set and network: at each sparsity four methods side by side, at the left the unpruned network."""
    axes.set_title(f"{NAMES.get(cells[0].dataset, cells[0].dataset)}, {NAMES.get(cells[0].model, cells[0].model)}")
    error_scale(axes)
    sparsities = sorted({cell.sparsity for cell in cells})
    for place, pruner in enumerate(METHODS):
        offset = 0.0 if pruner == UNPRUNED else (place - 2.5) * DODGE
        own = [cell for cell in cells if cell.pruner == pruner]
        places = [sparsities.index(cell.sparsity) + offset for cell in own]
        _points(axes, pruner, BEFORE, places, [_last(frame, cell, "test_accuracy") for cell in own])
        if pruner != UNPRUNED:
            _points(axes, pruner, AFTER, places, [_last(frame, cell, "pruned_test_accuracy") for cell in own])
        known = [paper_values().get((cell.dataset, cell.model, cell.pruner, cell.sparsity), np.nan) for cell in own]
        _points(axes, pruner, PAPER, places, [(value, 0.0) for value in known])
    baseline, _ = _last(frame, cells[0], "test_accuracy")
    axes.axhline(baseline, color=METHOD_LOOKS[UNPRUNED].color, linestyle="--", linewidth=0.8, label="_baseline")
    axes.set_xticks(range(len(sparsities)), ["unpruned", *map(percent, sparsities[1:])])
    axes.set_xlabel("sparsity asked")
    axes.set_ylabel("test accuracy")
    accuracy_axis(axes)


def _points(axes: Axes, pruner: str, kind: str, places: list[float], values: list[tuple[float, float]]) -> None:
    """Draw means with their standard deviations; what is NaN is left out, and nothing is drawn if all is."""
    means, deviations = np.array(values).T
    if np.isnan(means).all():
        return
    look = METHOD_LOOKS[pruner]
    options: dict[str, Any] = {"marker": look.marker or "P", "color": look.color, **KINDS[kind]}
    axes.plot(places, means, label=f"{METHODS[pruner]}, {kind}", **options)
    axes.vlines(places, means - deviations, means + deviations, color=look.color, linewidth=0.8)


def _last(frame: pd.DataFrame, cell: Cell, metric: str) -> tuple[float, float]:
    """Mean and standard deviation of a cell at the last epoch; NaN without runs, no deviation for one seed."""
    values = curves(frame, cell, metric)
    if values.empty:
        return np.nan, np.nan
    mean, deviation = parts.spread(values)
    return float(mean.iloc[-1]), float(deviation.iloc[-1])


def _to_axis(accuracy: Array) -> Array:
    """Equal steps for equal ratios of the error, so that 0.97 and 0.99 are as far apart as 0.1 and 0.7."""
    return -np.log10(np.maximum(1 - np.asarray(accuracy), SMALLEST_ERROR))


def _from_axis(position: Array) -> Array:
    return 1 - 10.0 ** -np.asarray(position)


def error_scale(axes: Axes) -> None:
    """Make the y axis logarithmic in the error, 1 - accuracy."""
    axes.set_yscale("function", functions=(_to_axis, _from_axis))


def accuracy_axis(axes: Axes) -> None:
    """Fit the y axis of `error_scale` to what is drawn, and label it."""
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()])
    low, high = _to_axis(np.array([np.nanmin(drawn), np.nanmax(drawn)]))
    room = 0.06 * (high - low) or 0.05
    axes.set_ylim(*_from_axis(np.array([low - room, high + room])))
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend(axes: Axes) -> None:
    """Methods by colour and marker, kinds of points by their fill: in axes of their own, below the panels."""
    methods = [
        Line2D([], [], color=look.color, marker=look.marker or "P", linestyle="", label=METHODS[pruner])
        for pruner, look in METHOD_LOOKS.items()
    ]
    kinds = [
        Line2D([], [], **{"marker": "o", "color": "#444444", "label": kind, **look}) for kind, look in KINDS.items()
    ]
    axes.set_axis_off()
    axes.legend(handles=[*methods, *kinds], loc="center", ncols=4, handlelength=3.2)


def _sentences(frame: pd.DataFrame, drawn: Sequence[Line], missing: int, wanted: int) -> list[str]:
    rows = pd.concat([runs_of(frame, line.cell) for line in drawn])
    counts = {int(runs_of(frame, line.cell)["seed"].nunique()) for line in drawn}
    counted_seeds = f"{' or '.join(map(str, sorted(counts)))} seed{'s' if max(counts) > 1 else ''}"
    return [
        f"Mean of {counted_seeds}, upright lines ±1 standard deviation; dashed: unpruned baseline.",
        f"No runs for {missing} of {wanted} points." if missing else "",
        "The axis is logarithmic in the error.",
        setting(rows),
    ]
