"""The ledger of a gate's decisions as a file, decisions.csv: one row an epoch of a run whose gate reads a Bayes factor.

Each row holds the two networks that were compared, the number that was held against the threshold, and the verdict.
Without torch, so that reading results starts quickly.
"""

import csv
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from bayes_pruning.config.errors import UserError
from bayes_pruning.pruning.decision import Decision

COLUMNS = tuple(field.name for field in fields(Decision))
WHOLE = ("epoch", "opened", "compared_epoch")
FILE = "decisions.csv"


def read(path: Path) -> list[Decision]:
    """Return a ledger as it was written. Raise UserError, naming file and line, for a damaged one."""
    try:
        with path.open(newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} can not be read ({error}).") from error
    if not lines or tuple(lines[0]) != COLUMNS:
        raise UserError(f"{path}, line 1: the columns are not those of decisions.csv ({', '.join(COLUMNS)}).")
    return [_decision(cells, f"{path}, line {number}") for number, cells in enumerate(lines[1:], start=2)]


def _decision(cells: Sequence[str], where: str) -> Decision:
    if len(cells) != len(COLUMNS):
        raise UserError(f"{where}: {len(cells)} values where {len(COLUMNS)} are expected.")
    try:
        values = {name: None if cell == "" else _number(name, cell) for name, cell in zip(COLUMNS, cells, strict=True)}
        return Decision(**values)  # type: ignore[arg-type]
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from error


def _number(name: str, cell: str) -> float:
    return int(cell) if name in WHOLE else float(cell)
