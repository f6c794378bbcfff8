"""Algorithms 2 and 3 of the paper: whether an epoch prunes, from what was compared before and what it compares now.

    Lines of Algorithm 2 and of Algorithm 3, for each epoch that training.trainer has trained:

    3       3       log posterior of the network as trained                     posterior.terms
    4       4       if Bayes factor > beta                                      opens
    5-13    5-10    how many zeros, which weights, w <- w * m                   planned, masks.masks, masks.pruned
    15, 16  12, 13  log posterior of the pruned network, log Bayes factor       compare
                    else the network stays as it is, a Bayes factor of 1        unchanged
                    what is kept, and what the next epoch's gate sees           decide

The functions here are pure and need neither a stack, Hydra nor a folder: `trainer` calls them for each of its networks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.registry import GATES, SCHEDULES, SELECTORS
from bayes_pruning.config.schema import OPEN, PruningConfig
from bayes_pruning.pruning.gates import Candidate, GateInput
from bayes_pruning.pruning.posterior import Terms, log_posterior, log_ratio
from bayes_pruning.pruning.schedules import Plan


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
    compared_epoch: int | None = None
    log_likelihood_before: float | None = None
    log_prior_before: float | None = None
    log_likelihood: float | None = None
    log_prior: float | None = None
    tested: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What an epoch decided."""

    prunes: bool  # whether this epoch's pruning, if the schedule plans any, is kept
    known: Comparison  # what the next epoch's gate sees
    row: Decision | None  # of the ledger; None if the gate reads no Bayes factor, or had none to decide by


def opens(run: PruningConfig, epoch: int, compared: Comparison | None) -> bool:
    """Return whether the gate opens by what was compared, None if nothing was yet (line 4 of Algorithms 2 and 3).

    Raise UserError if the gate does not say so.
    """
    tested = compared.tested if compared and run.gate_reads_bayes_factor else None
    seen = GateInput(epoch, run.epochs, tested, run.log_beta, run.seed, run.protocol.first_gate == OPEN)
    answer = GATES.call(run.pruner.gate, seen, run.pruner.gate_options)
    try:
        if answer in (False, True):  # of NumPy or PyTorch too
            return bool(answer)
    except (ValueError, RuntimeError):  # several at once
        pass
    raise UserError(f"pruner.gate={run.pruner.gate} gave {answer!r} in epoch {epoch}: a gate gives True or False.")


def tries(run: PruningConfig, epoch: int, known: Comparison | None) -> bool:
    """Return whether this epoch needs a pruned network: to keep it, or to let the gate decide by it."""
    return run.tries_candidate or opens(run, epoch, known)


def planned(run: PruningConfig, epoch: int, current: float, log_bayes_factor: Callable[[float], float]) -> float | None:
    """Return the fraction of zeros that the schedule wants now, None for no pruning in this epoch.

    Args:
        run: the run whose schedule is asked.
        epoch: from 1.
        current: fraction of zeros among the prunable weights.
        log_bayes_factor: gives that of pruning to a sparsity now, in nats.

    Raise UserError if a schedule gives something else.
    """
    reads = SCHEDULES.declared(run.pruner.schedule).reads_bayes_factor
    plan = Plan(epoch, run.epochs, run.sparsity, current, run.log_beta, log_bayes_factor if reads else _undeclared)
    sparsity: Any = SCHEDULES.call(run.pruner.schedule, plan, run.pruner.schedule_options)
    if sparsity is None:
        return None
    number = isinstance(sparsity, Real) and not isinstance(sparsity, bool)  # NumPy's too, of any precision
    if not (number and 0 <= sparsity <= 1):
        wrong = f"gave {sparsity!r} in epoch {epoch}: a schedule gives a number from 0 to 1, or None for no pruning"
        raise UserError(f"pruner.schedule={run.pruner.schedule} {wrong}.")
    return float(sparsity)


def _undeclared(sparsity: float) -> float:
    """Stand for the Bayes factor of a schedule that declares to read none: beta would be no part of its runs."""
    raise UserError("A schedule of reads_bayes_factor=False asked for a Bayes factor: declare it by @schedule().")


def compare(run: PruningConfig, epoch: int, before: Terms, after: Terms, candidate: Candidate) -> Comparison:
    """Return the two networks' terms with the log Bayes factor: the gate's own estimate, or the paper's ratio."""
    estimate = GATES.declared(run.pruner.gate).estimate
    if estimate is not None:
        gate, options = run.pruner.gate, run.pruner.gate_options
        tested = _number(run, epoch, GATES.call(gate, candidate, options, estimate))
    else:
        tested = log_ratio(log_posterior(after), log_posterior(before), run.protocol.ratio)
    return Comparison(epoch, *before, *after, tested=tested)


def _number(run: PruningConfig, epoch: int, estimate: Any) -> float:
    """Return a gate's estimate as a plain number. Raise UserError if it is none."""
    try:
        number = math.nan if isinstance(estimate, str) else float(estimate)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: of a tensor of several numbers
        number = math.nan
    if math.isnan(number):
        wrong = f"gave {estimate!r} in epoch {epoch}: the estimate of a gate is a log Bayes factor, one number in nats"
        raise UserError(f"pruner.gate={run.pruner.gate} {wrong}.")
    return number


def unchanged(epoch: int, network: Terms) -> Comparison:
    """Return the comparison of a network that was not pruned with itself: a Bayes factor of 1, whatever the ratio."""
    return Comparison(epoch, *network, *network, tested=0.0)


def decide(
    run: PruningConfig, epoch: int, known: Comparison | None, network: Terms, candidate: Comparison | None
) -> Verdict:
    """Return what this epoch does and what is known after it.

    Args:
        run: what is pruned, and how the paper is read.
        epoch: from 1.
        known: the last epoch's comparison, None before the first.
        network: the terms of the network as trained.
        candidate: this epoch's comparison; None if nothing was pruned to compare, or the gate does not read it.
    """
    compared = candidate if run.tries_candidate else known
    if run.tries_candidate and candidate is None:
        return Verdict(False, unchanged(epoch, network), None)
    opened = opens(run, epoch, compared)
    row = Decision(epoch, int(opened), run.log_beta, **(vars(compared) if compared else {}))
    known = candidate if opened and candidate else unchanged(epoch, network)
    return Verdict(opened, known, row if run.gate_reads_bayes_factor else None)


def check(run: PruningConfig) -> None:
    """Raise ConfigError or UserError, before anything is trained, if a function does not take its options."""
    pruner = run.pruner
    SELECTORS.check(pruner.selector, pruner.selector_options)
    GATES.check(pruner.gate, pruner.gate_options)
    SCHEDULES.check(pruner.schedule, pruner.schedule_options)
    opens(run, 1, unchanged(1, Terms(0.0, 0.0)) if run.tries_candidate else None)
    planned(run, 1, 0.0, lambda _: 0.0)
