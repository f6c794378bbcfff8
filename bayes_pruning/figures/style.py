"""Set how every figure looks: seaborn's themes at our sizes, and one look for each method and sparsity.

The colours are those of seaborn's colour-blind palette; the strokes and markers tell the lines apart in grey. Seaborn
is imported where something is drawn, since it takes a second that commands without pictures need not wait for.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
import matplotlib.style

METHOD_LABELS = {
    "none": "baseline",
    "random": "random",
    "bayes_random": "Bayes random",
    "magnitude": "magnitude",
    "bayes_magnitude": "Bayes magnitude",
}


@dataclass(frozen=True)
class Look:
    """Describe how one line looks."""

    color: str  # black, or a colour of the theme's palette: "C0" to "C9"
    dashes: tuple[float, ...]  # strokes and gaps, in line widths, as seaborn takes them; none for a whole line
    marker: str

    @property
    def linestyle(self) -> Any:
        """Return the dashes as matplotlib takes them."""
        return (0, self.dashes) if self.dashes else "-"


WHOLE, LONG, SHORT, DOTS = (), (6, 1.5), (3, 1.5), (1, 1.2)
DASH_DOT, DASH_DOTS = (5, 1.5, 1, 1.5), (5, 1, 1, 1, 1, 1)
METHOD_LOOKS = {
    "none": Look("black", SHORT, "P"),
    "random": Look("C1", DOTS, "^"),
    "bayes_random": Look("C3", WHOLE, "o"),
    "magnitude": Look("C9", DASH_DOT, "D"),
    "bayes_magnitude": Look("C0", LONG, "s"),
}
SPARSITY_LOOKS = {
    0.25: Look("C9", WHOLE, "o"),
    0.5: Look("C2", LONG, "s"),
    0.75: Look("C1", DASH_DOT, "^"),
    0.9: Look("C3", DOTS, "D"),
    0.99: Look("C4", DASH_DOTS, "v"),
}
OTHER_LOOKS = (Look("C0", WHOLE, "X"), Look("C7", DASH_DOT, "P"), Look("C5", DOTS, "*"), Look("C6", WHOLE, "p"))
MORE_MARKERS = ("h", "8", "<", ">", "d", "1", "2")  # of further sparsities, four looks each

SETTINGS: dict[str, Any] = {
    "pdf.fonttype": 42,  # embeds fonts as TrueType, which journals ask for and editors can search
    "svg.fonttype": "path",
    "svg.hashsalt": "bayes_pruning",  # the same runs give the same file
    "savefig.dpi": 200,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that a figure is the same everywhere
}


@dataclass(frozen=True)
class Style:
    """Hold the sizes for one use of the figures."""

    width: float  # of a figure, in inches
    height: float  # the same, without panels below each other
    font: float  # size in points
    theme: str  # seaborn's context, of which lines and ticks are scaled with the font
    stacked: bool = False  # whether panels stand below each other only, since there is no room beside

    @contextmanager
    def context(self) -> Iterator[None]:
        """Set the theme while a figure is drawn or saved, whatever the user's matplotlibrc says."""
        import seaborn as sns

        sizes = sns.plotting_context(self.theme)
        scaled = {name: size * self.font / sizes["font.size"] for name, size in sizes.items()}
        scaled["lines.markersize"] = 0.5 * self.font
        with mpl.style.context("default"):
            sns.set_theme(style="ticks", palette="colorblind", color_codes=False, rc=scaled | SETTINGS)
            yield


STYLES = {
    "paper": Style(width=6.5, height=3.3, font=8, theme="paper"),
    "column": Style(width=3.3, height=2.8, font=7, theme="paper", stacked=True),
    "talk": Style(width=12.0, height=6.3, font=15, theme="talk"),
}


def sparsity_looks(sparsities: Iterable[float]) -> dict[float, Look]:
    """Return a look for each sparsity: the paper's five keep theirs whatever else is drawn."""
    others = (sparsity for sparsity in sparsities if sparsity not in SPARSITY_LOOKS)
    more = (replace(look, marker=marker) for marker in itertools.cycle(MORE_MARKERS) for look in OTHER_LOOKS)
    return SPARSITY_LOOKS | dict(zip(others, itertools.chain(OTHER_LOOKS, more), strict=False))
