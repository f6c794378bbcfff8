"""What the figures are drawn with: seaborn's lines and points, axes that suit the numbers, title, small print."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bayes_pruning.figures.style import Look, Style
from bayes_pruning.results.cells import Cell, curves, runs_of

Array = np.ndarray[Any, np.dtype[np.float64]]

BAND_OPACITY = 0.16
LOG_FROM = 4.0  # losses whose largest mean is this many times the smallest get a logarithmic axis
SYMLOG_FROM = 100.0  # the same for the log Bayes factor, which is of either sign
DECADES = 3  # of the log Bayes factor are told apart on a symmetric logarithmic axis
MARKERS = 8  # a line has about so many
ACCURACIES = (0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995, 0.999)
SMALLEST_ERROR = 1e-4  # drawn for any below it: the axis is logarithmic in the error
HOLLOW: dict[str, Any] = {"markerfacecolor": "white"}


@dataclass(frozen=True)
class Line:
    """One line of a figure: which runs, what it is called, how it looks."""

    cell: Cell
    label: str
    look: Look


def split(frame: pd.DataFrame, lines: Sequence[Line]) -> tuple[list[Line], list[str]]:
    """The lines that have runs, and the labels of those that have none."""
    drawn = [line for line in lines if not runs_of(frame, line.cell).empty]
    return drawn, [line.label for line in lines if line not in drawn]


def values(frame: pd.DataFrame, lines: Sequence[Line], metric: str) -> pd.DataFrame:
    """Return a metric of some lines' runs as seaborn takes it: columns `line` (its label), `epoch`, `seed`, `value`.

    Raises UserError if two runs of a line share a seed.
    """
    tables = {line.label: curves(frame, line.cell, metric) for line in lines}
    return pd.concat(
        [
            table.melt(ignore_index=False, value_name="value").reset_index().assign(line=label)
            for label, table in tables.items()
        ],
        ignore_index=True,
    )


def line_plot(axes: Axes, frame: pd.DataFrame, lines: Sequence[Line], metric: str, **options: Any) -> None:
    """Draw means over seeds against epochs, in bands of one standard deviation; `options` of sns.lineplot."""
    import seaborn as sns

    data = values(frame, lines, metric)
    looks = {line.label: line.look for line in lines}
    given = {"dashes": {label: look.dashes for label, look in looks.items()}, "legend": False} | options
    given["markeredgecolor"] = "auto"  # of the line's colour, where seaborn's white edges would eat small markers
    sns.lineplot(
        data, x="epoch", y="value", hue="line", style="line", palette=colors(looks), markers=markers(looks),
        markevery=max(1, data["epoch"].nunique() // MARKERS), errorbar="sd",
        err_kws={"alpha": BAND_OPACITY, "linewidth": 0}, ax=axes, **given,
    )  # fmt: skip
    for line in axes.get_lines():
        known = pd.Series(_numbers(line.get_ydata()), _numbers(line.get_xdata()))
        if len(known):  # seaborn joins what is on both sides of an epoch without numbers
            epochs = np.unique(data["epoch"])
            line.set_data(epochs, known.reindex(epochs).to_numpy())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def point_plot(axes: Axes, data: pd.DataFrame, looks: Mapping[str, Look], **options: Any) -> None:
    """Draw means and standard deviations of a column of `data`, a hue for each name in `looks`, side by side.

    Args:
        axes: where.
        data: one number a row.
        looks: by name; all have a place beside each other, whether `data` has them or not.
        options: x, y, hue and others, as sns.pointplot takes them; a linestyle or marker replaces those of the looks.
    """
    import seaborn as sns

    width = mpl.rcParams["lines.linewidth"]
    given: dict[str, Any] = {"linewidth": width, "markersize": mpl.rcParams["lines.markersize"]}
    given["err_kws"] = {"linewidth": 0.7 * width}
    if "linestyle" not in options:
        given["linestyles"] = [(0, look.dashes) if look.dashes else "-" for look in looks.values()]
    if "marker" not in options:
        given["markers"] = [*markers(looks).values()]
    sns.pointplot(
        data, hue_order=list(looks), palette=colors(looks), errorbar="sd", legend=False, ax=axes, **given | options
    )


def colors(looks: Mapping[str, Look]) -> dict[str, str]:
    """The palette of some lines, as it is in the theme that is set now, so that a figure keeps it whoever saves it."""
    return {label: to_hex(look.color) for label, look in looks.items()}


def markers(looks: Mapping[str, Look]) -> dict[str, str]:
    """The markers of some lines."""
    return {label: look.marker for label, look in looks.items()}


def handle(label: str, look: Look, **options: Any) -> Line2D:
    """Return what a legend shows of a line, `options` as Line2D takes them."""
    shown = {"linestyle": (0, look.dashes) if look.dashes else "-", "color": to_hex(look.color), "marker": look.marker}
    return Line2D([], [], label=label, **shown | options)


def legend_of(axes: Axes) -> list[Artist]:
    """Take the legend that seaborn made off some axes and return its handles, for `heading`."""
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    return axes.get_legend_handles_labels()[0]


def means(axes: Axes) -> Array:
    """All numbers that the lines of some axes show, without the upright lines of standard deviations."""
    bars = [
        line for line in axes.get_lines() if line.get_marker() == "None" and np.ptp(_numbers(line.get_xdata())) == 0
    ]
    drawn = np.array([y for line in axes.get_lines() if line not in bars for y in _numbers(line.get_ydata())])
    return drawn[np.isfinite(drawn)]


def _numbers(data: Any) -> Array:
    return np.asarray(data, dtype=float)


def loss_axis(axes: Axes) -> None:
    """Fit the y axis to the means of the losses, not to their bands; logarithmic if they span much."""
    drawn = means(axes)
    if not len(drawn):
        return  # all diverged
    low, high = float(drawn.min()), float(drawn.max())
    if low <= 0 or high / low <= LOG_FROM:
        room = 0.08 * (high - low) or 0.1
        axes.set_ylim(low - room, high + room)
        return
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(low / 1.25, high * 1.25)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def signed_axis(axes: Axes) -> None:
    """Leave the y axis linear, or if the means span many magnitudes make it logarithmic on both sides of zero."""
    drawn = means(axes)
    sizes = np.abs(drawn[drawn != 0])
    if not len(sizes) or sizes.max() / sizes.min() <= SYMLOG_FROM:
        return
    top = int(np.ceil(np.log10(sizes.max())))
    decades = 10.0 ** np.arange(top - DECADES, top + 1)
    axes.set_yscale("symlog", linthresh=decades[0], linscale=0.8)
    below = [-decade for decade in decades if decade <= -10 * drawn.min()]
    above = [decade for decade in decades if decade <= 10 * drawn.max()]
    axes.set_yticks([*below, 0.0, *above])
    axes.minorticks_off()


def accuracy_axis(axes: Axes) -> None:
    """Make the y axis logarithmic in the error, 1 - accuracy, so that 0.97 and 0.99 are as far apart as 0.1 and 0.7.

    To be called when all is drawn: seaborn would take means of what an axis shows, not of the accuracies.
    """
    low, high = _to_axis(means(axes).min()), _to_axis(means(axes).max())
    room = 0.06 * (high - low) or 0.05
    axes.set_yscale("function", functions=(_to_axis, _from_axis))
    axes.set_ylim(*_from_axis(np.array([low - room, high + room])))
    axes.yaxis.set_major_locator(FixedLocator(ACCURACIES))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _to_axis(accuracy: Any) -> Any:
    return -np.log10(np.maximum(1 - np.asarray(accuracy), SMALLEST_ERROR))


def _from_axis(position: Any) -> Any:
    return 1 - 10.0 ** -np.asarray(position)


def heading(figure: Figure, style: Style, title: str, handles: Sequence[Artist]) -> None:
    """Write the title above all panels and the legend of all below it."""
    em = style.width * 72 / style.font  # as many letters M stand beside each other
    figure.legend(
        handles=handles, loc="outside upper left", ncols=_columns([str(each.get_label()) for each in handles], em),
        title=textwrap.fill(title, int(1.6 * em)), title_fontproperties={"weight": "bold", "size": style.font},
        alignment="left", handlelength=3.2, borderpad=0.1,
    )  # fmt: skip


def _columns(labels: Sequence[str], em: float) -> int:
    """Return in how many columns of about equal length a legend fits into a width, in units of the font's size."""
    for columns in range(len(labels), 1, -1):
        longest = [max(map(len, column)) for column in np.array_split(np.array(labels, dtype=object), columns)]
        if sum(5.0 + 0.5 * letters for letters in longest) <= em:
            rows = -(-len(labels) // columns)
            return -(-len(labels) // rows)
    return 1


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


def missing_sentence(missing: Sequence[str]) -> str:
    """What is not drawn because there are no runs for it."""
    return f"No runs for: {', '.join(missing)}." if missing else ""
