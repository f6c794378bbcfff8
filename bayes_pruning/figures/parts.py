"""What the figures are drawn with: a line with its band, axes that suit the numbers, the small print."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from bayes_pruning.figures.style import Look, Style
from bayes_pruning.results.cells import Cell

BAND_OPACITY = 0.16
LOG_FROM = 4.0  # losses whose largest mean is this many times the smallest get a logarithmic axis
SYMLOG_FROM = 100.0  # the same for the log Bayes factor, which is of either sign
DECADES = 3  # of the log Bayes factor are told apart on a symmetric logarithmic axis
MARKERS = 8  # a line has about so many


@dataclass(frozen=True)
class Line:
    """One line of a figure: which runs, what it is called, how it looks."""

    cell: Cell
    label: str
    look: Look


def spread(values: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Mean and standard deviation (n - 1; zero for one seed) over the columns."""
    return values.mean(axis=1), values.std(axis=1, ddof=1).fillna(0.0)


def band_line(axes: Axes, values: pd.DataFrame, options: Mapping[str, Any]) -> Line2D:
    """Draw the mean over seeds against epochs, and a band of one standard deviation if there are seeds for one.

    Args:
        axes: where.
        values: a row an epoch, a column a seed.
        options: of `Axes.plot`.
    """
    mean, deviation = spread(values)
    [line] = axes.plot(mean.index, mean, markevery=max(1, len(mean) // MARKERS), **options)
    if values.shape[1] > 1:
        edges = (mean - deviation, mean + deviation)
        axes.fill_between(mean.index, *edges, color=line.get_color(), alpha=BAND_OPACITY, linewidth=0)
    return line


def epoch_axis(axes: Axes) -> None:
    """Label the epochs, with whole numbers only."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def loss_axis(axes: Axes, drawn: Iterable[pd.DataFrame]) -> None:
    """Fit the y axis to the means of the losses, not to their bands; logarithmic if they span much."""
    means = np.concatenate([values.mean(axis=1).to_numpy() for values in drawn])
    low, high = float(means.min()), float(means.max())
    if low <= 0 or high / low <= LOG_FROM:
        room = 0.08 * (high - low) or 0.1
        axes.set_ylim(low - room, high + room)
        return
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(low / 1.25, high * 1.25)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def signed_axis(axes: Axes, drawn: Iterable[pd.DataFrame]) -> None:
    """Leave the y axis linear, or if the means span many magnitudes make it logarithmic on both sides of zero."""
    means = np.concatenate([values.mean(axis=1).dropna().to_numpy() for values in drawn])
    sizes = np.abs(means[means != 0])
    if not len(sizes) or sizes.max() / sizes.min() <= SYMLOG_FROM:
        return
    top = int(np.ceil(np.log10(sizes.max())))
    decades = 10.0 ** np.arange(top - DECADES, top + 1)
    axes.set_yscale("symlog", linthresh=decades[0], linscale=0.8)
    below = [-decade for decade in decades if decade <= -10 * means.min()]
    above = [decade for decade in decades if decade <= 10 * means.max()]
    axes.set_yticks([*below, 0.0, *above])
    axes.minorticks_off()


def small_print(figure: Figure, style: Style, sentences: Sequence[str]) -> None:
    """Write sentences under a figure, as wide as it is."""
    width = int(style.width * 72 / style.small * 1.75)
    text = "\n".join(textwrap.wrap(" ".join(sentence for sentence in sentences if sentence), width))
    figure.supxlabel(text, x=0.01, ha="left", fontsize=style.small, color="#444444")


def seeds_sentence(counts: Mapping[str, int]) -> str:
    """How many seeds the lines rest on, by label: 'Mean of 5 seeds, band ±1 standard deviation.'"""
    low, high = min(counts.values()), max(counts.values())
    if high == 1:
        return "One seed, so no band."
    if low == high:
        return f"Mean of {high} seeds, band ±1 standard deviation."
    listed = ", ".join(f"{label} {n}" for label, n in counts.items())
    return f"Mean over seeds ({listed}), band ±1 standard deviation (none for one seed)."


def not_computed(drawn: Mapping[str, pd.DataFrame]) -> str:
    """Whose log Bayes factors, by label, were not computed in some epoch: the runs did not ask for them."""
    labels = [label for label, values in drawn.items() if values.isna().any(axis=None)]
    return f"Log Bayes factors not computed in every epoch: {', '.join(labels)}." if labels else ""


def missing_sentence(missing: Sequence[str]) -> str:
    """What is not drawn because there are no runs for it."""
    return f"No runs for: {', '.join(missing)}." if missing else ""
