"""Figures 4 to 21 of the paper, and one that it lacks: accuracy before and after pruning against sparsity.

Each is a pure function of the tidy frame (results.frame): frame -> matplotlib Figure. Lines are means over seeds, bands
one standard deviation. What has no runs is not drawn; the small print says so, and how many seeds and which protocol.

The paper's text presents pruning "under a Bayesian framework", so Figures 4 to 21 draw the Bayes methods.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bayes_pruning.config.errors import ConfigError, UserError
from bayes_pruning.figures.accuracy import accuracy_by_sparsity, accuracy_lines
from bayes_pruning.figures.learning_curves import (
    LOSSES,
    learning_curves,
    learning_lines,
    loss_by_sparsity,
    sparsity_lines,
)
from bayes_pruning.figures.parts import Line, split
from bayes_pruning.figures.style import METHODS, Style
from bayes_pruning.results.cells import curves
from bayes_pruning.results.names import NAMES, percent
from bayes_pruning.results.run_records import UNPRUNED

LEARNING_SPARSITY = {
    "mnist": 0.75,
    "fashion_mnist": 0.9,
    "cifar10": 0.9,
}  # of the learning curves, in the paper's order
MODELS = ("fcn", "cnn")
FORMATS = ("pdf", "png", "svg")
ACCURACY = "accuracy_by_sparsity"
SHOWN = 6  # labels without runs that a line of output names


@dataclass(frozen=True)
class Plate:
    """A figure that can be drawn.

    Attributes:
        name: of its file, without suffix.
        title: what stands above it.
        lines: what it shows if the runs are there.
        draw: (frame, lines, title, style, loss) -> Figure.
    """

    name: str
    title: str
    lines: Callable[[pd.DataFrame], list[Line]]
    draw: Callable[[pd.DataFrame, list[Line], str, Style, str], Figure]

    def missing(self, frame: pd.DataFrame) -> list[str]:
        """Labels of the lines that have no runs."""
        return split(frame, self.lines(frame))[1]

    def can_be_drawn(self, frame: pd.DataFrame) -> bool:
        """Whether any pruned line has runs."""
        return any(line.cell.pruner != UNPRUNED for line in split(frame, self.lines(frame))[0])

    def figure(self, frame: pd.DataFrame, style: Style, loss: str = "before") -> Figure:
        """The figure; `loss` is "before" or "after" pruning, whose test loss is drawn."""
        return self.draw(frame, self.lines(frame), self.title, style, loss)

    def alt_text(self, frame: pd.DataFrame, loss: str = "before") -> str:
        """The figure in words, with the last test loss of each line."""
        if self.name == ACCURACY:
            return f"{self.title}. The numbers are those of the table."
        drawn, missing = split(frame, self.lines(frame))
        last = {line.label: curves(frame, line.cell, LOSSES[loss]).iloc[-1].mean() for line in drawn}
        listed = ", ".join(f"{label} {value:.3f}" for label, value in last.items())
        absent = f" No runs for {', '.join(missing)}." if missing else ""
        return f"{self.title}. Test loss {loss} pruning at the last epoch: {listed}.{absent}"


def catalogue(mnist: str = "mnist") -> list[Plate]:
    """All figures in the paper's order; with `mnist="mnist_5k"` its MNIST figures are of those runs, and say so."""
    plates, number = [], 4
    for paper_dataset, sparsity in LEARNING_SPARSITY.items():
        dataset = mnist if paper_dataset == "mnist" else paper_dataset
        for model in MODELS:
            plates += _three(number, dataset, model, sparsity)
            number += 3
    title = "Test accuracy before and after pruning at the last epoch, against the sparsity asked"
    return [*plates, Plate(ACCURACY, title, accuracy_lines, accuracy_by_sparsity)]


def _three(number: int, dataset: str, model: str, sparsity: float) -> list[Plate]:
    """The three figures of one data set and network: learning curves, random pruning, magnitude pruning."""
    learning = Plate(
        f"fig{number:02}_{dataset}_{model}_{percent(sparsity).removesuffix('%')}",
        f"Figure {number}. {NAMES[dataset]}, {NAMES[model]}: learning curves at {percent(sparsity)} sparsity",
        lambda _: learning_lines(dataset, model, sparsity),
        learning_curves,
    )
    return [learning, _losses(number + 1, dataset, model, "random"), _losses(number + 2, dataset, model, "magnitude")]


def _losses(number: int, dataset: str, model: str, selector: str) -> Plate:
    pruner = f"bayes_{selector}"
    return Plate(
        f"fig{number:02}_{dataset}_{model}_{selector}",
        f"Figure {number}. {NAMES[dataset]}, {NAMES[model]}: test loss of {METHODS[pruner]} pruning",
        lambda frame: sparsity_lines(frame, dataset, model, pruner),
        loss_by_sparsity,
    )


def chosen(plates: Sequence[Plate], only: str) -> list[Plate]:
    """The plates whose name starts with one of `only` (comma-separated), all if it is empty.

    Raises ConfigError for a start that fits no plate.
    """
    starts = _listed(only)
    for start in starts:
        if not any(plate.name.startswith(start) for plate in plates):
            raise ConfigError(
                "--only", start, f"how a figure's name starts: {', '.join(plate.name for plate in plates)}"
            )
    return [plate for plate in plates if not starts or plate.name.startswith(tuple(starts))]


def write(
    frame: pd.DataFrame, plates: Sequence[Plate], folder: Path, formats: str, style: Style, loss: str
) -> list[str]:
    """Write the figures that the runs allow; a line for each plate: files, what they lack, or skipped.

    Args:
        frame: the runs.
        plates: what to draw.
        folder: where to, made if it is not there.
        formats: of FORMATS, comma-separated.
        style: sizes.
        loss: "before" or "after" pruning, whose test loss is drawn.

    Raises ConfigError for an unknown format, UserError if no plate has runs or `folder` can not be written.
    """
    suffixes = _formats(formats)
    possible = [plate for plate in plates if plate.can_be_drawn(frame)]
    if not possible:
        found = ", ".join(
            sorted({f"{d} {m} {p}" for d, m, p in frame[["dataset", "model", "pruner"]].itertuples(index=False)})
        )
        raise UserError(f"There are no runs for {_names(plates)}: the runs are of {found}.")
    told = []
    for plate in possible:
        figure, missing = plate.figure(frame, style, loss), plate.missing(frame)
        paths = [folder / f"{plate.name}.{suffix}" for suffix in suffixes]
        for path, suffix in zip(paths, suffixes, strict=True):
            write_bytes(path, render(figure, style, suffix))
        lacks = f" (no runs for {_shortened(missing)})" if missing else ""
        told.append(f"{', '.join(map(str, paths))}{lacks}")
    return told + [f"skipped, no runs: {plate.name}" for plate in plates if plate not in possible]


def render(figure: Figure, style: Style, suffix: str) -> bytes:
    """A figure, drawn in `style`, as the bytes of a file of the format `suffix`; the same bytes each time."""
    buffer = io.BytesIO()
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with style.context():
        figure.savefig(buffer, format=suffix, metadata=undated.get(suffix))
    return buffer.getvalue()


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _formats(text: str) -> list[str]:
    found = _listed(text)
    for name in found or [text]:
        if name not in FORMATS:
            raise ConfigError("--format", name, f"one or more of {', '.join(FORMATS)}, separated by commas")
    return found


def _names(plates: Sequence[Plate]) -> str:
    return plates[0].name if len(plates) == 1 else f"any of {plates[0].name} to {plates[-1].name}"


def _shortened(missing: Sequence[str]) -> str:
    return (
        ", ".join(missing) if len(missing) <= SHOWN else f"{', '.join(missing[:SHOWN])} and {len(missing) - SHOWN} more"
    )


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file and the folders above it. Raises UserError if that can not be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path} can not be written ({error.strerror}).") from error
