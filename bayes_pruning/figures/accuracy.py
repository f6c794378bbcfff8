"""The figure that the paper lacks: accuracy before and after pruning against sparsity, with its Table 1."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_pruning.figures import parts
from bayes_pruning.figures.learning_curves import PAPER_SPARSITIES
from bayes_pruning.figures.parts import HOLLOW, Line, split
from bayes_pruning.figures.style import METHOD_LOOKS, METHODS, Style
from bayes_pruning.results.cells import Cell, runs_of, setting
from bayes_pruning.results.names import NAMES, percent
from bayes_pruning.results.paper import paper_values
from bayes_pruning.results.run_records import UNPRUNED

ROWS = ("mnist", "mnist_5k", "fashion_mnist", "cifar10")  # of panels, where there are runs
COLUMNS = ("fcn", "cnn")
PANEL_HEIGHT = 0.9  # of a figure's
BESIDE = ("random", "bayes_random", UNPRUNED, "magnitude", "bayes_magnitude")  # at one sparsity, from the left
LOOKS = {METHODS[pruner]: METHOD_LOOKS[pruner] for pruner in BESIDE}
KINDS: dict[str, dict[str, Any]] = {  # how the three kinds of points are told apart, whatever their method
    "before pruning": {"linestyle": "-"},
    "after pruning": {"linestyle": ":", **HOLLOW},
    "paper, Table 1": {"linestyle": "none", "marker": "x"},
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
    """A panel for each data set and network that has runs; arguments as learning_curves.learning_curves."""
    drawn, missing = split(frame, lines)
    pairs = {(line.cell.dataset, line.cell.model) for line in drawn}
    datasets, models = _in_order({pair[0] for pair in pairs}, ROWS), _in_order({pair[1] for pair in pairs}, COLUMNS)
    beside = 1 if style.stacked else len(models)
    order = [(dataset, model) for dataset in datasets for model in models if beside > 1 or (dataset, model) in pairs]
    with style.context():
        rows = -(-len(order) // beside)
        figure = Figure((style.width, style.height * (PANEL_HEIGHT * rows + 0.5)), layout="constrained")
        panels = figure.subplots(rows, beside, squeeze=False).flat
        for axes, pair in zip(panels, order, strict=True):
            if pair in pairs:
                _panel(axes, frame, [line for line in lines if (line.cell.dataset, line.cell.model) == pair])
            else:
                axes.remove()
        kinds = [Line2D([], [], **{"color": "#444444", "marker": "o", "label": kind, **KINDS[kind]}) for kind in KINDS]
        methods = [parts.handle(METHODS[pruner], look, linestyle="") for pruner, look in METHOD_LOOKS.items()]
        parts.heading(figure, style, title, [*methods, *kinds])
        parts.small_print(figure, style, _sentences(frame, drawn, len(missing), len(lines)))
    return figure


def _in_order(names: set[str], order: Sequence[str]) -> list[str]:
    return [*(name for name in order if name in names), *sorted(names - {*order})]


def _panel(axes: Axes, frame: pd.DataFrame, lines: Sequence[Line]) -> None:
    """One data set and network: at each sparsity four methods side by side, at the left the unpruned network."""
    cell = lines[0].cell
    axes.set_title(f"{NAMES.get(cell.dataset, cell.dataset)}, {NAMES.get(cell.model, cell.model)}")
    data = _accuracies(frame, lines)
    order = ["unpruned", *(percent(sparsity) for sparsity in sorted({line.cell.sparsity for line in lines} - {0.0}))]
    for kind, look in KINDS.items():
        of_kind = {"x": "sparsity", "y": "accuracy", "hue": "method", "order": order, "dodge": 0.5, **look}
        parts.point_plot(axes, data[data["kind"] == kind], LOOKS, **of_kind)
    unpruned = data[(data["sparsity"] == "unpruned") & (data["kind"] == BEFORE)]["accuracy"]
    if not unpruned.empty:
        axes.axhline(unpruned.mean(), color="black", linestyle="--", linewidth=0.8, zorder=1)
    axes.set(xlabel="sparsity asked", ylabel="test accuracy")
    parts.accuracy_axis(axes)


def _accuracies(frame: pd.DataFrame, lines: Sequence[Line]) -> pd.DataFrame:
    """Return columns `method`, `sparsity`, `kind` (of KINDS) and `accuracy`, of each run and of the paper."""
    drawn, _ = split(frame, lines)
    pruned = [line for line in drawn if line.cell.pruner != UNPRUNED]
    found = [
        parts.values(frame, some, metric).assign(kind=kind)
        for kind, some, metric in ((BEFORE, drawn, "test_accuracy"), (AFTER, pruned, "pruned_test_accuracy"))
        if some
    ]
    known = [
        {"line": line.label, "value": paper_values().get((cell.dataset, cell.model, cell.pruner, cell.sparsity))}
        for line in lines
        for cell in [line.cell]
    ]
    last = [values[values["epoch"] == values.groupby("line")["epoch"].transform("max")] for values in found]
    every = pd.concat([*last, pd.DataFrame(known).assign(kind=PAPER)], ignore_index=True)
    cells = every["line"].map({line.label: line.cell for line in lines})
    return pd.DataFrame(
        {
            "method": [METHODS[cell.pruner] for cell in cells],
            "sparsity": ["unpruned" if cell.pruner == UNPRUNED else percent(cell.sparsity) for cell in cells],
            "kind": every["kind"],
            "accuracy": every["value"].astype(float),
        }
    ).dropna()


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
