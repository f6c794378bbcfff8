"""Draw Figures 4 to 21 of the paper: learning curves of the Bayes methods, and the test loss at each sparsity.

The paper's curves are of a validation set, of which it says no more; we take it for the test set, and call it that.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_pruning.figures import plotting
from bayes_pruning.figures.plotting import GREY, HOLLOW, Line, rows_of
from bayes_pruning.figures.style import METHOD_LABELS, METHOD_LOOKS, Style, sparsity_looks
from bayes_pruning.results.paper import SPARSITIES, UNPRUNED, percent
from bayes_pruning.results.selection import setting

LOSSES = {"before": "test_loss", "after": "pruned_test_loss"}  # of which network: columns of metrics.csv
BESIDE: list[Any] = [["loss", "factor"], ["loss", "sparsity"]]  # panels of learning curves
STACKED: list[Any] = [["loss"], ["loss"], ["factor"], ["sparsity"]]
TRAINED = "Training loss is the mean over the epoch's batches."


def learning_lines(_: pd.DataFrame, dataset: str, model: str, sparsity: float) -> list[Line]:
    """Return the lines of Figures 4, 7, 10, 13, 16 and 19: the baseline and the two Bayes methods."""
    asked = {UNPRUNED: 0.0, "bayes_random": sparsity, "bayes_magnitude": sparsity}
    return [Line(dataset, model, name, s, METHOD_LABELS[name], METHOD_LOOKS[name]) for name, s in asked.items()]


def sparsity_lines(frame: pd.DataFrame, dataset: str, model: str, pruner: str) -> list[Line]:
    """Return the lines of the other twelve figures: the baseline, the paper's five sparsities, others with runs."""
    rows = frame[(frame["dataset"] == dataset) & (frame["model"] == model) & (frame["pruner"] == pruner)]
    asked = sorted({*SPARSITIES, *rows["target_sparsity"]})
    looks = sparsity_looks(asked)
    baseline = Line(dataset, model, UNPRUNED, 0.0, METHOD_LABELS[UNPRUNED], METHOD_LOOKS[UNPRUNED])
    return [baseline, *(Line(dataset, model, pruner, s, percent(s), looks[s]) for s in asked)]


def learning_curves(frame: pd.DataFrame, lines: list[Line], title: str, style: Style, loss: str) -> Figure:
    """Draw training and test loss, log Bayes factor and sparsity against epochs.

    Lines without runs are named in the small print. `loss` is "before" or "after" pruning, whose test loss is drawn.
    """
    rows = rows_of(frame, lines)
    pruned = rows[rows["pruner"] != UNPRUNED]
    with style.context():
        figure = Figure((style.width, style.height * (1.8 if style.stacked else 1)), layout="constrained")
        panels = figure.subplot_mosaic(STACKED if style.stacked else BESIDE, sharex=True)
        plotting.line_plot(panels["loss"], rows, LOSSES[loss], lines)
        plotting.line_plot(panels["loss"], rows, "train_loss", lines, dashes=False, linestyle=":", **HOLLOW)
        plotting.loss_axis(panels["loss"])
        plotting.line_plot(panels["factor"], pruned, "log_bayes_factor", lines)
        plotting.signed_axis(panels["factor"])
        plotting.line_plot(panels["sparsity"], pruned, "sparsity", lines)
        panels["sparsity"].set_ylim(-0.05, 1.05)
        panels["loss"].set(ylabel="loss (nats)", xlabel="" if style.stacked else "epoch")
        panels["factor"].set(ylabel="log Bayes factor\n(nats)", xlabel="")
        panels["sparsity"].set_ylabel("sparsity\nafter the epoch")
        figure.align_ylabels([*panels.values()])
        trained = Line2D([], [], color=GREY, ls=":", marker="o", label="training loss (of each colour)", **HOLLOW)
        plotting.heading(figure, style, title, [*_handles(rows, lines), trained])
        plotting.small_print(figure, style, [*_sentences(rows, lines, loss), TRAINED, _not_computed(pruned)])
    return figure


def loss_by_sparsity(frame: pd.DataFrame, lines: list[Line], title: str, style: Style, loss: str) -> Figure:
    """Draw the test loss against epochs, one line a sparsity, the baseline dashed; arguments as `learning_curves`."""
    rows = rows_of(frame, lines)
    with style.context():
        figure = Figure((style.width, style.height), layout="constrained")
        axes = figure.add_subplot()
        plotting.line_plot(axes, rows, LOSSES[loss], lines)
        plotting.loss_axis(axes)
        axes.set_ylabel("test loss (nats)")
        plotting.heading(figure, style, title, _handles(rows, lines))
        plotting.small_print(figure, style, _sentences(rows, lines, loss))
    return figure


def _handles(rows: pd.DataFrame, lines: list[Line]) -> list[Line2D]:
    missing = plotting.without_runs(lines, rows)
    drawn = [line for line in lines if line.label not in missing]
    return [plotting.handle(line.label, line.look, markeredgewidth=0.75) for line in drawn]  # as in sns.lineplot


def _sentences(rows: pd.DataFrame, lines: list[Line], loss: str) -> list[str]:
    missing = plotting.without_runs(lines, rows)
    return [
        _seeds_sentence(rows.groupby("label", sort=False)["seed"].nunique()),
        f"No runs for: {', '.join(missing)}." if missing else "",
        setting(rows),
        f"Test loss {loss} pruning in each epoch.",
    ]


def _seeds_sentence(seeds: "pd.Series[int]") -> str:
    """Return how many seeds the lines rest on, by label: 'Mean of 5 seeds, band ±1 standard deviation.'"""
    if seeds.max() == 1:
        return "One seed, so no band."
    if seeds.nunique() == 1:
        return f"Mean of {seeds.max()} seeds, band ±1 standard deviation."
    listed = ", ".join(f"{label} {n}" for label, n in seeds.items())
    return f"Mean over seeds ({listed}), band ±1 standard deviation (none for one seed)."


def _not_computed(pruned: pd.DataFrame) -> str:
    """Return which log Bayes factors were not computed in some epoch: the runs did not ask for them."""
    labels = pruned.loc[pruned["log_bayes_factor"].isna(), "label"].unique()
    return f"Log Bayes factors not computed in every epoch: {', '.join(labels)}." if len(labels) else ""
