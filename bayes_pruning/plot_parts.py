"""What the figures are drawn with: a line with its band, axes that suit the numbers, the small print."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bayes_pruning.plot_style import Style

BAND_OPACITY = 0.18
LOG_FROM = 10.0  # a loss whose largest mean is this many times its smallest gets a logarithmic axis
SYMLOG_FROM = 100.0  # the same for the log Bayes factor, which is of either sign
MARKERS = 8  # a line has about so many markers


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
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def loss_axis(axes: Axes, drawn: Sequence[pd.DataFrame]) -> None:
    """Fit the y axis to the means of the losses, not to their bands; logarithmic if they span a magnitude."""
    means = pd.concat([spread(values)[0] for values in drawn])
    low, high = float(means.min()), float(means.max())
    if low > 0 and high / low > LOG_FROM:
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(low / 1.3, high * 1.3)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    else:
        room = 0.08 * (high - low) or 0.1 * high
        axes.set_ylim(low - room, high + room)


def signed_axis(axes: Axes, drawn: Sequence[pd.DataFrame]) -> None:
    """Linear, or linear around zero and logarithmic beyond, if the means span more than two magnitudes."""
    means = np.abs(np.concatenate([spread(values)[0].to_numpy() for values in drawn]))
    means = means[means > 0]
    if len(means) and means.max() / means.min() > SYMLOG_FROM:
        threshold = 10.0 ** np.floor(np.log10(means.max()) - 3)
        axes.set_yscale("symlog", linthresh=threshold, linscale=0.6)
        top = int(np.ceil(np.log10(means.max())))
        decades = [10.0**power for power in range(top - 3, top + 1)]
        signs = [np.concatenate([spread(values)[0].to_numpy() for values in drawn])]
        ticks = [0.0]
        if (signs[0] < 0).any():
            ticks += [-decade for decade in decades]
        if (signs[0] > 0).any():
            ticks += decades
        axes.set_yticks(sorted(ticks))
