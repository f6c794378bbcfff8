"""List Figures 4 to 21 of the paper, and one that it lacks: accuracy before and after pruning against sparsity.

Each is a pure function of the tidy frame (results.frame): frame -> matplotlib Figure. Lines are means over seeds, bands
one standard deviation. What has no runs is not drawn; the small print says so, and how many seeds and which protocol.

The paper's text presents pruning "under a Bayesian framework", so Figures 4 to 21 draw the Bayes methods.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bayes_pruning.config.errors import ConfigError, UserError, listed
from bayes_pruning.figures import learning_curves as curves
from bayes_pruning.figures.accuracy import accuracy_by_sparsity, accuracy_lines
from bayes_pruning.figures.plotting import Line, rows_of, without_runs
from bayes_pruning.figures.style import METHOD_LABELS, Style
from bayes_pruning.results.paper import FIRST_FIGURE, LEARNING_SPARSITY, MODELS, UNPRUNED, display_name, percent
from bayes_pruning.runs.files import write_file

FORMATS = ("pdf", "png", "svg")
ACCURACY = "accuracy_by_sparsity"
SHOWN = 6  # labels without runs that a line of output names
Lines = Callable[[pd.DataFrame], list[Line]]
Draw = Callable[[pd.DataFrame, list[Line], str, Style, str], Figure]


@dataclass(frozen=True)
class Plate:
    """Describe a figure that can be drawn."""

    name: str  # the file's, without suffix
    title: str
    lines: Lines  # of a frame: those that it shows if the runs are there
    draw: Draw  # (frame, lines, title, style, loss) -> Figure

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the runs that it shows (plotting.rows_of)."""
        return rows_of(frame, self.lines(frame))

    def missing(self, frame: pd.DataFrame) -> list[str]:
        """Return the labels of the lines that have no runs."""
        return without_runs(self.lines(frame), self.rows(frame))

    def can_be_drawn(self, frame: pd.DataFrame) -> bool:
        """Return whether any pruned line has runs."""
        return bool((self.rows(frame)["pruner"] != UNPRUNED).any())

    def figure(self, frame: pd.DataFrame, style: Style, loss: str = "before") -> Figure:
        """Draw the figure; `loss` is "before" or "after" pruning, whose test loss is drawn."""
        return self.draw(frame, self.lines(frame), self.title, style, loss)

    def alt_text(self, frame: pd.DataFrame) -> str:
        """Return the figure in words, with the last test loss before pruning of each line."""
        if self.name == ACCURACY:
            return f"{self.title}. The numbers are those of the table."
        rows, missing = self.rows(frame), self.missing(frame)
        last = rows[rows["epoch"] == rows["epochs"]].groupby("label", sort=False)[curves.LOSSES["before"]].mean()
        listed = ", ".join(f"{label} {value:.3f}" for label, value in last.items())
        absent = f" No runs for {', '.join(missing)}." if missing else ""
        return f"{self.title}. Test loss before pruning at the last epoch read: {listed}.{absent}"


def catalogue(mnist: str = "mnist") -> list[Plate]:
    """Return all figures in the paper's order; with `mnist="mnist_5k"` its MNIST figures are of those runs."""
    plates: list[Plate] = []

    def add(dataset: str, model: str, name: str, title: str, lines: Lines, draw: Draw) -> None:
        number, cell = FIRST_FIGURE + len(plates), f"{display_name(dataset)}, {display_name(model)}"
        plates.append(
            Plate(f"fig{number:02}_{dataset}_{model}_{name}", f"Figure {number}. {cell}: {title}", lines, draw)
        )

    for paper_dataset, sparsity in LEARNING_SPARSITY.items():
        dataset, asked = mnist if paper_dataset == "mnist" else paper_dataset, percent(sparsity)
        for model in MODELS:
            lines: Lines = partial(curves.learning_lines, dataset=dataset, model=model, sparsity=sparsity)
            title = f"learning curves at {asked} sparsity"
            add(dataset, model, asked.removesuffix("%"), title, lines, curves.learning_curves)
            for selector in ("random", "magnitude"):
                pruner = f"bayes_{selector}"
                lines = partial(curves.sparsity_lines, dataset=dataset, model=model, pruner=pruner)
                title = f"test loss of {METHOD_LABELS[pruner]} pruning"
                add(dataset, model, selector, title, lines, curves.loss_by_sparsity)
    title = "Test accuracy before and after pruning at the last epoch read, against the sparsity asked"
    return [*plates, Plate(ACCURACY, title, accuracy_lines, accuracy_by_sparsity)]


def chosen(plates: Sequence[Plate], only: str) -> list[Plate]:
    """Return the plates whose name starts with one of `only` (comma-separated), all if it is empty.

    Raise ConfigError for a start that fits no plate.
    """
    starts = [part.strip() for part in only.split(",") if part.strip()]
    for start in starts:
        if not any(plate.name.startswith(start) for plate in plates):
            names = ", ".join(plate.name for plate in plates)
            raise ConfigError("--only", start, f"how a figure's name starts: {names}")
    return [plate for plate in plates if not starts or plate.name.startswith(tuple(starts))]


def write(
    frame: pd.DataFrame, plates: Sequence[Plate], folder: Path, formats: str, style: Style, loss: str
) -> list[str]:
    """Write the figures that the runs allow; return a line for each plate: files, what they lack, or skipped.

    `formats` are some of FORMATS, comma-separated; `loss` is "before" or "after" pruning, whose test loss is drawn.
    Raise ConfigError for an unknown format, UserError if no plate has runs or `folder` can not be written.
    """
    suffixes = listed("--format", formats, FORMATS)
    possible = [plate for plate in plates if plate.can_be_drawn(frame)]
    if not possible:
        asked = plates[0].name if len(plates) == 1 else f"any of {plates[0].name} to {plates[-1].name}"
        cells = sorted(set(frame["dataset"] + " " + frame["model"] + " " + frame["pruner"]))
        raise UserError(f"There are no runs for {asked}: the runs are of {', '.join(cells)}.")
    messages = []
    for plate in possible:
        figure, missing = plate.figure(frame, style, loss), plate.missing(frame)
        paths = [folder / f"{plate.name}.{suffix}" for suffix in suffixes]
        for path, suffix in zip(paths, suffixes, strict=True):
            write_file(path, render(figure, style, suffix))
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        lacks = f" (no runs for {', '.join(missing[:SHOWN])}{more})" if missing else ""
        messages.append(f"{', '.join(map(str, paths))}{lacks}")
    return messages + [f"skipped, no runs: {plate.name}" for plate in plates if plate not in possible]


def render(figure: Figure, style: Style, suffix: str) -> bytes:
    """Return a figure, drawn in `style`, as a file of the format `suffix`; the same bytes each time."""
    buffer = io.BytesIO()
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with style.context():
        figure.savefig(buffer, format=suffix, metadata=undated.get(suffix))
    return buffer.getvalue()
