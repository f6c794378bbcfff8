"""How every figure looks: sizes, fonts, and one colour, line and marker for each method and sparsity.

The colours are those of Okabe and Ito, told apart by colour-blind readers; the line styles and markers tell the lines
apart in grey.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#666666"

METHODS = {
    "none": "baseline",
    "random": "random",
    "bayes_random": "Bayes random",
    "magnitude": "magnitude",
    "bayes_magnitude": "Bayes magnitude",
}


@dataclass(frozen=True)
class Look:
    """One line's looks; `line` is a matplotlib line style."""

    color: str
    line: Any
    marker: str

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `Axes.plot`."""
        return {"color": self.color, "linestyle": self.line, "marker": self.marker}


METHOD_LOOKS = {
    "none": Look(BLACK, "--", ""),
    "random": Look(ORANGE, ":", "^"),
    "bayes_random": Look(VERMILLION, "-", "o"),
    "magnitude": Look(SKY, "-.", "D"),
    "bayes_magnitude": Look(BLUE, (0, (6, 1.5)), "s"),
}
SPARSITY_LOOKS = {
    0.25: Look(SKY, "-", "o"),
    0.5: Look(GREEN, (0, (6, 1.5)), "s"),
    0.75: Look(ORANGE, "-.", "^"),
    0.9: Look(VERMILLION, (0, (1, 1.2)), "D"),
    0.99: Look(PURPLE, (0, (5, 1, 1, 1, 1, 1)), "v"),
}
OTHER_LOOKS = (Look(BLUE, "-", "P"), Look(GREY, "-.", "X"), Look(BLUE, ":", "*"), Look(GREY, "-", "p"))

COMMON: dict[str, Any] = {
    "pdf.fonttype": 42,  # embeds fonts as TrueType, which journals ask for and editors can search
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "bayes_pruning",  # the same runs give the same file
    "savefig.dpi": 200,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that a figure is the same everywhere
}


@dataclass(frozen=True)
class Style:
    """Sizes for one use of the figures: `width` and `height` of a figure in inches, fonts and lines in points."""

    width: float
    height: float
    font: float
    line: float

    @property
    def small(self) -> float:
        """Font size of the small print."""
        return 0.75 * self.font

    def context(self) -> AbstractContextManager[None]:
        """Matplotlib's settings while a figure is drawn or saved."""
        sizes: dict[str, Any] = {
            "font.size": self.font,
            "axes.titlesize": self.font,
            "axes.labelsize": self.font,
            "xtick.labelsize": 0.9 * self.font,
            "ytick.labelsize": 0.9 * self.font,
            "legend.fontsize": 0.9 * self.font,
            "lines.linewidth": self.line,
            "lines.markersize": 0.45 * self.font,
            "axes.linewidth": 0.6 * self.line,
        }
        defaults = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"}
        settings: Any = {**defaults, **COMMON, **sizes}  # whatever the user's matplotlibrc says
        return mpl.rc_context(settings)


STYLES = {
    "paper": Style(width=6.5, height=3.3, font=8, line=1.2),
    "talk": Style(width=12.0, height=6.3, font=15, line=2.4),
}


def sparsity_looks(sparsities: Iterable[float]) -> dict[float, Look]:
    """A look for each sparsity: the paper's five keep theirs whatever else is drawn."""
    others = [sparsity for sparsity in sparsities if sparsity not in SPARSITY_LOOKS]
    return SPARSITY_LOOKS | {other: OTHER_LOOKS[i % len(OTHER_LOOKS)] for i, other in enumerate(others)}
