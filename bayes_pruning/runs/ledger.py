"""Read decisions.csv, the ledger of a gate's decisions: one row an epoch of a run whose gate reads a Bayes factor.

Each row holds the two networks that were compared, the number that was held against the threshold, and the verdict.
It is read without torch, so that reading results starts quickly.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from bayes_pruning.config.errors import UserError
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.runs.files import read_table

COLUMNS = tuple(field.name for field in fields(Decision))
WHOLE = ("epoch", "opened", "compared_epoch")
FILE = "decisions.csv"


def read(path: Path) -> list[Decision]:
    """Return a ledger as it was written. Raise UserError, naming file and line, for a damaged one."""
    return [_decision(cells, where) for cells, where in read_table(path, COLUMNS)]


def _decision(cells: Sequence[str], where: str) -> Decision:
    try:
        values = {name: None if cell == "" else _number(name, cell) for name, cell in zip(COLUMNS, cells, strict=True)}
        return Decision(**values)  # type: ignore[arg-type]
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from error


def _number(name: str, cell: str) -> float:
    return int(cell) if name in WHOLE else float(cell)
