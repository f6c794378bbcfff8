"""Accuracy of exactly sparse networks against their sparsity, one line a schedule, with the paper's claims."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_pruning.figures.accuracy import accuracy_axis, error_scale
from bayes_pruning.figures.parts import small_print
from bayes_pruning.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, Look, Style
from bayes_pruning.results.names import display_name, percent
from bayes_pruning.results.paper import Key, paper_values
from bayes_pruning.results.run_records import UNPRUNED
from bayes_pruning.studies import table1
from bayes_pruning.studies.exact_sparsity_tables import CLAIMED, METHODS, PROPOSED
from bayes_pruning.studies.table1 import AFTER

LOOKS = dict(
    zip(
        METHODS,
        (
            Look(GREY, ":", "x"), Look(ORANGE, ":", "^"), Look(SKY, "-.", "D"), Look(GREEN, "--", "s"),
            Look(PURPLE, "-.", "v"), Look(VERMILLION, "--", "P"), Look(BLUE, "-", "o"),
        ),
        strict=True,
    )
)  # fmt: skip
STEP = 0.07  # between the methods at one sparsity, in steps of the x axis


def schedules(frame: pd.DataFrame, style: Style) -> Figure:
    """A panel for each data set and network that has runs; arguments as figures.Plate.figure takes them."""
    runs = table1.final_by_seed(frame)
    cells = [(dataset, model, sparsity) for dataset, model, sparsity in table1.grid(runs) if sparsity is not None]
    places = list(dict.fromkeys((dataset, model) for dataset, model, _ in cells))
    sparsities = sorted({sparsity for *_, sparsity in cells})
    with style.context():
        figure = Figure((style.width, style.height * 1.15), layout="constrained")
        panels = figure.subplots(1, len(places), squeeze=False)[0]
        for axes, (dataset, model) in zip(panels, places, strict=True):
            _panel(axes, runs, dataset, model, sparsities)
        panels[0].set_ylabel("test accuracy after pruning")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=5, handlelength=2.6, columnspacing=1.4)
        counts = {len(found) for (*_, pruner, _), found in runs.items() if pruner != UNPRUNED}
        seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
        small_print(figure, style, [f"Mean of {seeds} seeds, upright lines ±1 standard deviation; last epoch."])
    return figure


Runs = Mapping[Key, pd.DataFrame]


def _panel(axes: Axes, runs: Runs, dataset: str, model: str, sparsities: Sequence[float]) -> None:
    axes.set_title(f"{display_name(dataset)}, {display_name(model)}")
    error_scale(axes)
    if (dataset, model, UNPRUNED, 0.0) in runs:
        baseline = runs[dataset, model, UNPRUNED, 0.0][AFTER.column].mean()
        axes.axhline(baseline, color=BLACK, linestyle="--", linewidth=0.8, label="Unpruned")
    for place, method in enumerate(METHODS):
        _method(axes, runs, (dataset, model, method), sparsities, (place - len(METHODS) // 2) * STEP)
    for column, marker in zip(CLAIMED, "*+", strict=True):
        known = [paper_values().get((dataset, model, column, sparsity), math.nan) for sparsity in sparsities]
        label = f"paper, {display_name(column)}"
        axes.plot(range(len(known)), known, marker=marker, color=BLACK, linestyle="", label=label)
    axes.set_xticks(range(len(sparsities)), [percent(sparsity) for sparsity in sparsities])
    axes.set_xlabel("sparsity")
    accuracy_axis(axes)


def _method(axes: Axes, runs: Runs, cell: tuple[str, str, str], sparsities: Sequence[float], offset: float) -> None:
    """Means and standard deviations of one method; nothing where it has no runs."""
    there = [place for place, sparsity in enumerate(sparsities) if (*cell, sparsity) in runs]
    accuracies = [runs[*cell, sparsities[place]][AFTER.column] for place in there]
    if not there:
        return
    places = [place + offset for place in there]
    means = np.array([values.mean() for values in accuracies])
    spread = np.nan_to_num([values.std(ddof=1) for values in accuracies])
    look = LOOKS[cell[2]]
    width = 2.0 if cell[2] == PROPOSED else 1.0
    axes.plot(places, means, label=display_name(cell[2]), linewidth=width, **look.options())
    axes.vlines(places, means - spread, means + spread, color=look.color, linewidth=0.8)
