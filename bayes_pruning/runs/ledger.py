"""Read decisions.csv, the ledger of a gate's decisions: one row an epoch of a run whose gate reads a Bayes factor.

Each row holds the two networks that were compared, the number that was held against the threshold, and the verdict.
It is read without torch, so that reading results starts quickly.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

from bayes_pruning.config.errors import UserError
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.runs.files import read_table

COLUMNS = tuple(field.name for field in fields(Decision))
WHOLE = ("epoch", "opened", "compared_epoch")
FILE = "decisions.csv"


def read(path: Path) -> list[Decision]:
    """Return a ledger as it was written. Raise UserError, naming file and line, for a damaged one."""
    kinds = [int if name in WHOLE else float for name in COLUMNS]
    decisions = []
    for cells, where in read_table(path, COLUMNS):
        try:
            values: list[Any] = [kind(cell) if cell else None for kind, cell in zip(kinds, cells, strict=True)]
            decisions.append(Decision(*values))
        except ValueError as error:
            raise UserError(f"{where}: {error}.") from error
    return decisions
