"""The ledger of a gate's decisions (Algorithms 2 and 3, line 4).

A run whose gate asks for evidence keeps `decisions.csv`, one row an epoch: the two networks that were compared, the
number that was held against the threshold, and the verdict. Without torch, so that reading results starts quickly.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from bayes_pruning.config.errors import UserError

RATIOS = ("pruned_over_unpruned", "unpruned_over_pruned", "of_logs")  # what "the Bayes factor" may be a ratio of
PRINTED = RATIOS[0]  # the formula of section 1.1
STATES = OPEN, CLOSED = "open", "closed"  # of a gate before there is a Bayes factor


def log_ratio(after: float, before: float, ratio: str = PRINTED) -> float:
    """Logarithm, in nats, of what a gate holds against beta.

    Args:
        after: log posterior of the pruned network, up to the constant that both share.
        before: the same of the unpruned one.
        ratio: "pruned_over_unpruned" is section 1.1 of the paper; "unpruned_over_pruned" is what the subscript of
            BF_01 in its algorithms says, hypothesis 0 being the unpruned network; "of_logs" divides the log posteriors
            themselves, as code may that can not exponentiate them: -inf where they are of opposite signs.
    """
    if ratio == "unpruned_over_pruned":
        return before - after
    if ratio == "of_logs":
        quotient = after / before if before else 0.0
        return math.log(quotient) if quotient > 0 else -math.inf
    return after - before


@dataclass(frozen=True)
class Comparison:
    """A network before and after it was pruned, or would have been. Terms in nats, scaled as the protocol says."""

    compared_epoch: int  # the epoch whose networks these are
    log_likelihood_before: float | None  # over the training images; None if nothing was pruned and nothing asked
    log_prior_before: float  # over the prunable weights
    log_likelihood: float | None  # the same two after pruning
    log_prior: float
    tested: float  # what a gate holds against its threshold: `log_ratio`, or its own estimate of a Bayes factor


@dataclass(frozen=True)
class Decision:
    """One row of decisions.csv. What was compared is None (an empty cell) while there is nothing to compare yet."""

    epoch: int  # from 1
    opened: int  # 1 if the gate let this epoch prune, else 0
    log_threshold: float  # log beta, in nats
    compared_epoch: int | None
    log_likelihood_before: float | None
    log_prior_before: float | None
    log_likelihood: float | None
    log_prior: float | None
    tested: float | None


COLUMNS = tuple(field.name for field in fields(Decision))
WHOLE = ("epoch", "opened", "compared_epoch")
FILE = "decisions.csv"


def decide(epoch: int, opened: bool, log_threshold: float, evidence: Comparison | None) -> Decision:
    """A row of the ledger."""
    compared = vars(evidence) if evidence else dict.fromkeys(field.name for field in fields(Comparison))
    return Decision(epoch, int(opened), log_threshold, **compared)


def read(path: Path) -> list[Decision]:
    """A ledger as it was written. Raises UserError, naming file and line, for a damaged one."""
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
