"""Draw accuracy of exactly sparse networks against their sparsity, one line a schedule, with the paper's claims."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_pruning.figures import plotting
from bayes_pruning.figures.style import DASH_DOT, DOTS, SHORT, WHOLE, Look, Style
from bayes_pruning.results.paper import UNPRUNED, Key, display_name, paper_values, percent
from bayes_pruning.studies import table1
from bayes_pruning.studies.exact_sparsity import CLAIMED, METHODS, PROPOSED, rows_of
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
PAPER = {f"paper, {display_name(column)}": marker for column, marker in zip(CLAIMED, "x+", strict=True)}
TITLE = "Accuracy of exactly sparse networks against their sparsity"
WIDE = 2.0  # line of the proposed method, in points
Runs = Mapping[Key, pd.DataFrame]


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
