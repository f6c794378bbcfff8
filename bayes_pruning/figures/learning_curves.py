"""Figures 4 to 21 of the paper: learning curves of the Bayes methods, and the test loss at each sparsity.

The paper calls the test set its validation set; here it is called what it is.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_pruning.figures import parts as parts
from bayes_pruning.figures.parts import Line
from bayes_pruning.figures.style import METHOD_LOOKS, METHODS, Style, sparsity_looks
from bayes_pruning.results.cells import Cell, curves, runs_of, setting, sparsities_of
from bayes_pruning.results.names import percent
from bayes_pruning.results.run_records import UNPRUNED

LOSSES = {"before": "test_loss", "after": "pruned_test_loss"}  # of which network: columns of metrics.csv
PAPER_SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.99)
TRAINING: dict[str, Any] = {
    "linestyle": ":",
    "markerfacecolor": "white",
}  # other than the same run's test loss
LEGEND_HEIGHT = 0.12  # of a panel's
LEARNING_METHODS = (UNPRUNED, "bayes_random", "bayes_magnitude")


def learning_lines(dataset: str, model: str, sparsity: float) -> list[Line]:
    """The lines of Figures 4, 7, 10, 13, 16 and 19: the baseline and the two Bayes methods."""
    return [Line(Cell(dataset, model, name, sparsity), METHODS[name], METHOD_LOOKS[name]) for name in LEARNING_METHODS]


def sparsity_lines(frame: pd.DataFrame, dataset: str, model: str, pruner: str) -> list[Line]:
    """The lines of the other twelve figures: the baseline, the paper's five sparsities, any other that has runs."""
    others = [s for s in sparsities_of(frame, dataset, model, pruner) if s not in PAPER_SPARSITIES]
    looks = sparsity_looks(others)
    asked = [Line(Cell(dataset, model, pruner, s), percent(s), looks[s]) for s in sorted([*PAPER_SPARSITIES, *others])]
    return [Line(Cell(dataset, model, UNPRUNED), METHODS[UNPRUNED], METHOD_LOOKS[UNPRUNED]), *asked]


def learning_curves(frame: pd.DataFrame, lines: list[Line], title: str, style: Style, loss: str) -> Figure:
    """Training and test loss (left), log Bayes factor and sparsity (right), against epochs.

    Args:
        frame: the runs.
        lines: what to draw; those without runs are named in the small print.
        title: of the figure.
        style: sizes.
        loss: "before" or "after" pruning, whose test loss is drawn.
    """
    drawn, missing = split(frame, lines)
    pruned = [line for line in drawn if line.cell.pruner != UNPRUNED]
    with style.context():
        figure = Figure((style.width, style.height), layout="constrained")
        grid = figure.add_gridspec(3, 2, width_ratios=(1.15, 1), height_ratios=(1, 1, LEGEND_HEIGHT))
        left, factor, sparsity = (figure.add_subplot(place) for place in (grid[:2, 0], grid[0, 1], grid[1, 1]))
        _losses(left, frame, drawn, LOSSES[loss])
        factors = _draw(factor, frame, pruned, "log_bayes_factor")
        parts.signed_axis(factor, factors)
        _draw(sparsity, frame, pruned, "sparsity")
        factor.set_ylabel("log Bayes factor\n(nats)")
        factor.set_xlabel("")
        factor.tick_params(labelbottom=False)
        sparsity.set_ylabel("sparsity\nafter the epoch")
        sparsity.set_ylim(-0.05, 1.05)
        figure.align_ylabels([factor, sparsity])
        figure.suptitle(title, x=0.01, ha="left", fontsize=style.font, fontweight="bold")
        _learning_legend(figure.add_subplot(grid[2, :]), drawn)
        training = "Training loss is the mean over the epoch's batches."
        unknown = parts.not_computed(dict(zip((line.label for line in pruned), factors, strict=True)))
        parts.small_print(figure, style, [*_sentences(frame, drawn, missing, loss), training, unknown])
    return figure


def loss_by_sparsity(frame: pd.DataFrame, lines: list[Line], title: str, style: Style, loss: str) -> Figure:
    """Test loss against epochs, one line a sparsity, the baseline dashed; arguments as `learning_curves`."""
    drawn, missing = split(frame, lines)
    with style.context():
        figure = Figure((style.width, style.height), layout="constrained")
        axes = figure.add_subplot()
        parts.loss_axis(axes, _draw(axes, frame, drawn, LOSSES[loss]))
        axes.set_ylabel("test loss (nats)")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="sparsity asked", handlelength=3.5)
        figure.suptitle(title, x=0.01, ha="left", fontsize=style.font, fontweight="bold")
        parts.small_print(figure, style, _sentences(frame, drawn, missing, loss))
    return figure


def split(frame: pd.DataFrame, lines: list[Line]) -> tuple[list[Line], list[str]]:
    """The lines that have runs, and the labels of those that have none."""
    drawn = [line for line in lines if not runs_of(frame, line.cell).empty]
    return drawn, [line.label for line in lines if line not in drawn]


def _draw(axes: Axes, frame: pd.DataFrame, lines: list[Line], metric: str) -> list[pd.DataFrame]:
    found = [curves(frame, line.cell, metric) for line in lines]
    for line, values in zip(lines, found, strict=True):
        parts.band_line(axes, values, {**line.look.options(), "label": line.label})
    parts.epoch_axis(axes)
    return found


def _losses(axes: Axes, frame: pd.DataFrame, lines: list[Line], test: str) -> None:
    """Test losses as each method's own line, training losses of the same colour, dotted with hollow markers."""
    found = _draw(axes, frame, lines, test)
    for line, drawn in zip(lines, axes.get_lines(), strict=True):
        drawn.set_label(f"{line.label}, test")
    for line in lines:
        values = curves(frame, line.cell, "train_loss")
        parts.band_line(axes, values, {**line.look.options(), **TRAINING, "label": f"{line.label}, training"})
        found.append(values)
    parts.loss_axis(axes, found)
    axes.set_ylabel("loss (nats)")


def _learning_legend(axes: Axes, lines: list[Line]) -> None:
    """One legend for all panels, in axes of its own: the methods, and how a training loss differs from a test loss."""
    methods = [Line2D([], [], **line.look.options(), label=line.label) for line in lines]
    training = Line2D([], [], color="#444444", **TRAINING, marker="o", label="training loss (of each colour)")
    axes.set_axis_off()
    axes.legend(handles=[*methods, training], loc="center", ncols=4, handlelength=3.2)


def _sentences(frame: pd.DataFrame, drawn: list[Line], missing: list[str], loss: str) -> list[str]:
    rows = pd.concat([runs_of(frame, line.cell) for line in drawn])
    counts = {line.label: int(runs_of(frame, line.cell)["seed"].nunique()) for line in drawn}
    return [
        parts.seeds_sentence(counts),
        parts.missing_sentence(missing),
        setting(rows),
        f"Test loss {loss} pruning in each epoch.",
    ]
