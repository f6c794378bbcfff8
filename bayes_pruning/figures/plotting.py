"""Draw the parts of a figure: seaborn's lines and points, axes that suit the numbers, title, small print."""

import math
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
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter

from bayes_pruning.figures.style import Look, Style
from bayes_pruning.results.cells import CELL, refuse_shared_seeds

BAND_OPACITY = 0.16
LOG_FROM = 4.0  # losses whose largest mean is this many times the smallest get a logarithmic axis
SYMLOG_FROM = 100.0  # the same for the log Bayes factor, which is of either sign
DECADES = 3  # of the log Bayes factor are told apart on a symmetric logarithmic axis
MARKERS = 8  # a line has about so many
ACCURACIES = (0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995, 0.999)
SMALLEST_ERROR = 1e-4  # drawn for any below it: the axis is logarithmic in the error
LEGEND_LINE, LEGEND_LETTER = 5.0, 0.56  # width of a legend's line with its gaps, and of a letter, in letters M
SMALL = 0.75  # the small print's size, of that of the other letters
GREY = "#444444"  # of what is said of all lines
HOLLOW: dict[str, Any] = {"markerfacecolor": "white"}


@dataclass(frozen=True)
class Line:
    """Describe one line of a figure: the cell whose runs it shows, what it is called, how it looks."""

    dataset: str
    model: str
    pruner: str
    target_sparsity: float  # 0 for the unpruned baseline
    label: str
    look: Look


def rows_of(frame: pd.DataFrame, lines: Sequence[Line]) -> pd.DataFrame:
    """Return the rows of the lines' runs, line by line, with the line's label in the column `label`.

    Raise UserError if two runs of a line share a seed, as when runs of two protocols are mixed.
    """
    cells = pd.DataFrame(lines, columns=[*CELL, "label"])
    rows = cells.astype({"target_sparsity": float}).merge(frame, on=CELL)  # a float even if there are no lines
    refuse_shared_seeds(rows)
    return rows


def without_runs(lines: Sequence[Line], rows: pd.DataFrame) -> list[str]:
    """Return the labels of the lines that have none of `rows`."""
    drawn = set(rows["label"])
    return [line.label for line in lines if line.label not in drawn]


def line_plot(axes: Axes, rows: pd.DataFrame, metric: str, lines: Sequence[Line], **options: Any) -> None:
    """Draw means over seeds of a column of `rows_of` against epochs, in bands of one standard deviation.

    `lines` may have more than `rows`; `options` are those of sns.lineplot.
    """
    import seaborn as sns

    looks, epochs = {line.label: line.look for line in lines}, np.unique(rows["epoch"])
    given = {"dashes": {label: look.dashes for label, look in looks.items()}} | options
    sns.lineplot(
        rows, x="epoch", y=metric, hue="label", style="label", palette=_palette(looks),
        markers={label: look.marker for label, look in looks.items()}, markevery=max(1, len(epochs) // MARKERS),
        markeredgecolor="auto",  # of the line's colour: seaborn's white edges would eat small markers
        errorbar="sd", err_kws={"alpha": BAND_OPACITY, "linewidth": 0}, legend=False, ax=axes, **given,
    )  # fmt: skip
    for line in axes.get_lines():  # seaborn joins what is on both sides of an epoch without numbers
        known, means = np.asarray(line.get_xydata()).T
        line.set_data(epochs, pd.Series(means, known).reindex(epochs).to_numpy())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def point_plot(axes: Axes, data: pd.DataFrame, looks: Mapping[str, Look], **options: Any) -> None:
    """Draw means and standard deviations of a column of `data`, a hue for each name in `looks`, side by side.

    All names have room beside each other, whether `data` has them or not. `options` (x, y, hue and others) are those of
    sns.pointplot; a linestyle or marker replaces those of the looks.
    """
    import seaborn as sns

    width = mpl.rcParams["lines.linewidth"]
    given: dict[str, Any] = {"linewidth": width, "markersize": mpl.rcParams["lines.markersize"]}
    given["err_kws"] = {"linewidth": 0.7 * width}
    if "linestyle" not in options:
        given["linestyles"] = [look.linestyle for look in looks.values()]
    if "marker" not in options:
        given["markers"] = [look.marker for look in looks.values()]
    sns.pointplot(
        data, hue_order=list(looks), palette=_palette(looks), errorbar="sd", legend=False, ax=axes, **given | options
    )


def _palette(looks: Mapping[str, Look]) -> dict[str, str]:
    """Return the colours in the theme that is set now, so that a figure keeps them whoever saves it."""
    return {label: to_hex(look.color) for label, look in looks.items()}


def handle(label: str, look: Look, **options: Any) -> Line2D:
    """Return what a legend shows of a line, `options` as Line2D takes them."""
    shown = {"linestyle": look.linestyle, "color": to_hex(look.color), "marker": look.marker}
    return Line2D([], [], label=label, **shown | options)


def means(axes: Axes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return all numbers that the lines of some axes show, without the upright lines of standard deviations."""
    lines = [(line.get_marker(), *np.asarray(line.get_xydata()).T) for line in axes.get_lines()]
    shown = np.concatenate([[], *(y for marker, x, y in lines if marker != "None" or np.ptp(x) > 0)])
    return shown[np.isfinite(shown)]


def loss_axis(axes: Axes) -> None:
    """Fit the y axis to the means of the losses, not to their bands; logarithmic if they span much."""
    shown = means(axes)
    if not len(shown):
        return  # all diverged
    low, high = shown.min(), shown.max()
    if low > 0 and high / low > LOG_FROM:
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(low / 1.25, high * 1.25)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.08 * (high - low) or 0.1
        axes.set_ylim(low - room, high + room)


def signed_axis(axes: Axes) -> None:
    """Leave the y axis linear, or if the means span many magnitudes make it logarithmic on both sides of zero."""
    shown = means(axes)
    sizes = np.abs(shown[shown != 0])
    if not len(sizes) or sizes.max() / sizes.min() <= SYMLOG_FROM:
        return
    top = int(np.ceil(np.log10(sizes.max())))
    decades = 10.0 ** np.arange(top - DECADES, top + 1)
    axes.set_yscale("symlog", linthresh=decades[0], linscale=0.8)
    axes.set_yticks([*-decades[decades <= -10 * shown.min()], 0.0, *decades[decades <= 10 * shown.max()]])
    axes.minorticks_off()


def accuracy_axis(axes: Axes) -> None:
    """Make the y axis logarithmic in the error, 1 - accuracy, so that 0.97 and 0.99 are as far apart as 0.1 and 0.7.

    To be called when all is drawn: seaborn would take means of what an axis shows, not of the accuracies.
    """
    low, high = _to_axis(means(axes).min()), _to_axis(means(axes).max())
    room = 0.06 * (high - low) or 0.05
    axes.set_yscale("function", functions=(_to_axis, _from_axis))
    axes.set_ylim(*_from_axis(np.array([low - room, high + room])))
    shown = [tick for tick in ACCURACIES if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]]
    axes.yaxis.set_major_locator(FixedLocator(ACCURACIES) if len(shown) > 1 else MaxNLocator(4))
    axes.yaxis.set_major_formatter("{x:g}")


def _to_axis(accuracy: Any) -> Any:
    return -np.log10(np.maximum(1 - np.asarray(accuracy), SMALLEST_ERROR))


def _from_axis(position: Any) -> Any:
    return 1 - 10.0 ** -np.asarray(position)


def plain(text: str) -> str:
    """Return a text that Matplotlib shows as it is: a dollar sign in a name begins no formula."""
    return text.replace("$", r"\$")


def heading(figure: Figure, style: Style, title: str, handles: Sequence[Artist]) -> None:
    """Write the title above all panels and the legend of all below it."""
    em = style.width * 72 / style.font  # so many letters M stand beside each other
    letters = float(np.mean([len(str(each.get_label())) for each in handles]))
    beside = max(1, int(em / (LEGEND_LINE + LEGEND_LETTER * letters)))
    rows = math.ceil(len(handles) / beside)
    figure.legend(
        handles=handles, loc="outside upper left", ncols=math.ceil(len(handles) / rows),
        title=textwrap.fill(title, int(1.6 * em)), title_fontproperties={"weight": "bold", "size": style.font},
        alignment="left", handlelength=3.2, borderpad=0.1,
    )  # fmt: skip


def small_print(figure: Figure, style: Style, sentences: Sequence[str]) -> None:
    """Write sentences under a figure, as wide as it is."""
    size = SMALL * style.font
    width = int(style.width * 72 / size * 1.75)
    text = "\n".join(textwrap.wrap(" ".join(sentence for sentence in sentences if sentence), width))
    figure.supxlabel(plain(text), x=0.01, ha="left", fontsize=size, color=GREY)
