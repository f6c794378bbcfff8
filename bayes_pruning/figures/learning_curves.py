"""Figures 4 to 21 of the paper: learning curves of the Bayes methods, and the test loss at each sparsity.

The paper calls the test set its validation set; here it is called what it is.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_pruning.figures import parts
from bayes_pruning.figures.parts import Line, split
from bayes_pruning.figures.style import METHOD_LOOKS, METHODS, Style, sparsity_looks
from bayes_pruning.results.cells import Cell, runs_of, setting, sparsities_of
from bayes_pruning.results.names import percent
from bayes_pruning.results.run_records import UNPRUNED

LOSSES = {"before": "test_loss", "after": "pruned_test_loss"}  # of which network: columns of metrics.csv
PAPER_SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.99)
LEARNING_METHODS = (UNPRUNED, "bayes_random", "bayes_magnitude")
BESIDE: list[Any] = [["loss", "factor"], ["loss", "sparsity"]]  # panels of learning curves
TRAINED = "Training loss is the mean over the epoch's batches."
STACKED: list[Any] = [["loss"], ["loss"], ["factor"], ["sparsity"]]


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
    """Training and test loss, log Bayes factor and sparsity, against epochs.

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
        figure = Figure((style.width, style.height * (1.8 if style.stacked else 1)), layout="constrained")
        panels = figure.subplot_mosaic(STACKED if style.stacked else BESIDE, sharex=True)
        parts.line_plot(panels["loss"], frame, drawn, LOSSES[loss], legend="full")
        training = {"dashes": False, "linestyle": ":", **parts.HOLLOW}  # of the same colour and marker as the test loss
        parts.line_plot(panels["loss"], frame, drawn, "train_loss", **training)
        parts.loss_axis(panels["loss"])
        parts.line_plot(panels["factor"], frame, pruned, "log_bayes_factor")
        parts.signed_axis(panels["factor"])
        parts.line_plot(panels["sparsity"], frame, pruned, "sparsity")
        panels["sparsity"].set_ylim(-0.05, 1.05)
        panels["loss"].set(ylabel="loss (nats)", xlabel="" if style.stacked else "epoch")
        panels["factor"].set(ylabel="log Bayes factor\n(nats)", xlabel="")
        panels["sparsity"].set_ylabel("sparsity\nafter the epoch")
        figure.align_ylabels([*panels.values()])
        dotted = Line2D(
            [], [], color="#444444", ls=":", marker="o", label="training loss (of each colour)", **parts.HOLLOW
        )
        parts.heading(figure, style, title, [*parts.legend_of(panels["loss"]), dotted])
        sentences = _sentences(frame, drawn, missing, loss)
        parts.small_print(figure, style, [*sentences, TRAINED, _not_computed(frame, pruned)])
    return figure


def loss_by_sparsity(frame: pd.DataFrame, lines: list[Line], title: str, style: Style, loss: str) -> Figure:
    """Test loss against epochs, one line a sparsity, the baseline dashed; arguments as `learning_curves`."""
    drawn, missing = split(frame, lines)
    with style.context():
        figure = Figure((style.width, style.height), layout="constrained")
        axes = figure.add_subplot()
        parts.line_plot(axes, frame, drawn, LOSSES[loss], legend="full")
        parts.loss_axis(axes)
        axes.set_ylabel("test loss (nats)")
        parts.heading(figure, style, title, parts.legend_of(axes))
        parts.small_print(figure, style, _sentences(frame, drawn, missing, loss))
    return figure


def _sentences(frame: pd.DataFrame, drawn: list[Line], missing: list[str], loss: str) -> list[str]:
    rows = pd.concat([runs_of(frame, line.cell) for line in drawn])
    counts = {line.label: int(runs_of(frame, line.cell)["seed"].nunique()) for line in drawn}
    return [
        parts.seeds_sentence(counts),
        parts.missing_sentence(missing),
        setting(rows),
        f"Test loss {loss} pruning in each epoch.",
    ]


def _not_computed(frame: pd.DataFrame, lines: list[Line]) -> str:
    """Whose log Bayes factors were not computed in some epoch: the runs did not ask for them."""
    labels = [line.label for line in lines if runs_of(frame, line.cell)["log_bayes_factor"].isna().any()]
    return f"Log Bayes factors not computed in every epoch: {', '.join(labels)}." if labels else ""
