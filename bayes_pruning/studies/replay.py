"""Replay on a run's ledger (runs/ledger.py) what another reading of the Bayes factor would have decided.

A ledger says what each decision rested on. Under another threshold, prior width or scale of a term, the same networks
give another number and perhaps another verdict. Up to the first verdict that differs the two runs are the
same run; from there on they are not, and the ledger says nothing more. Readings without any difference coincide.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from bayes_pruning.config.errors import ConfigError, UserError, user_error
from bayes_pruning.config.presets import decision_text, masks_text
from bayes_pruning.config.schema import PRINTED
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.pruning.posterior import log_ratio
from bayes_pruning.results.tables import markdown

TRAINING_IMAGES = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000, "mnist_5k": 4_000}
SCALES = ("sum", "mean")


@dataclass(frozen=True)
class Reading:
    """Hold what a verdict is made of beside the networks: the fields of a protocol that only a gate reads."""

    log_likelihood: str  # sum or mean
    log_prior: str
    beta: float
    prior_std: float
    ratio: str = PRINTED

    def __str__(self) -> str:
        scales = f"{self.log_likelihood}/{self.log_prior}" + ("" if self.ratio == PRINTED else f" {self.ratio}")
        return f"{scales}, beta {self.beta:g}, prior std {self.prior_std:g}"


def alternatives(reading: Reading, choices: Mapping[str, Sequence[Any]]) -> list[Reading]:
    """Return the product of `choices` (values by field of Reading); a field without choices stays as in `reading`.

    A value that is given twice counts once.
    """
    given = {field: dict.fromkeys(values) for field, values in choices.items() if values}
    return [replace(reading, **dict(zip(given, values, strict=True))) for values in product(*given.values())]


def tested(row: Decision, reading: Reading, other: Reading, images: int, weights: int) -> float | None:
    """Return what `row` would have held against its threshold under `other`, in nats; None without a comparison.

    The row was made under `reading`; `other` has the same prior mean. A mean likelihood is taken over the `images` of
    the training set, a mean prior over the prunable `weights`.
    """
    if row.tested is None:
        return None
    terms = row.log_likelihood, row.log_prior, row.log_likelihood_before, row.log_prior_before
    if terms[:2] == terms[2:]:  # nothing was pruned (decision.unchanged), and its likelihood may not have been asked
        return 0.0
    of_likelihood = _divisor(reading.log_likelihood, images) / _divisor(other.log_likelihood, images)
    of_prior = _divisor(reading.log_prior, weights) / _divisor(other.log_prior, weights)
    narrower = (reading.prior_std / other.prior_std) ** 2
    count = 1 if reading.log_prior == "mean" else weights
    normaliser = count * (_normaliser(other.prior_std) - _normaliser(reading.prior_std) * narrower)

    def posterior(likelihood: float, prior: float) -> float:
        return likelihood * of_likelihood + (prior * narrower + normaliser) * of_prior

    return log_ratio(posterior(*terms[:2]), posterior(*terms[2:]), other.ratio)  # type: ignore[arg-type]


def _normaliser(std: float) -> float:
    """Return the normaliser of one weight's log prior, in nats."""
    return -math.log(std * math.sqrt(2 * math.pi))


def _divisor(scale: str, count: int) -> int:
    return count if scale == "mean" else 1


def first_difference(
    ledger: Sequence[Decision], reading: Reading, other: Reading, images: int, weights: int
) -> int | None:
    """Return the first epoch in which `other` would have decided otherwise, None if in no epoch; arguments as above."""
    for row in ledger:
        value = tested(row, reading, other, images, weights)
        if value is not None and (value > math.log(other.beta)) != bool(row.opened):
            return row.epoch
    return None


@dataclass(frozen=True)
class Replayed:
    """Hold how runs that differ in their seed fare under another reading."""

    dataset: str
    model: str
    pruner: str
    sparsity: float
    masks: str
    decision: str
    reading: Reading
    other: Reading
    differences: tuple[int | None, ...]  # the first epoch decided otherwise, of each run

    @property
    def same(self) -> int:
        """Return the number of runs in which no decision differs."""
        return sum(epoch is None for epoch in self.differences)


def replay(
    ledgers: Mapping[str, Sequence[Decision]], summaries: Mapping[str, Any], choices: Mapping[str, Sequence[Any]]
) -> list[Replayed]:
    """Replay every run with a ledger under every alternative.

    A run whose gate makes its own estimate of a Bayes factor (laplace_random), or decides otherwise than by whether it
    exceeds beta, is left out: the ledger does not say what such a gate would do under another reading.

    Ledgers and summaries (summary.json) are by run name, `choices` as `alternatives` takes them. Raise UserError for a
    run whose summary is damaged, or whose number of training images is not known where a scale is to be changed.
    """
    replayed: dict[Replayed, list[int | None]] = {}
    for run in sorted(set(ledgers) & set(summaries)):
        about = summaries[run]
        with user_error(f"The summary.json of {run} is not a run's", (KeyError, TypeError, ValueError)):
            protocol, weights = about["protocol"], about["prunable_weights"]
            scales, ratio = (protocol["log_likelihood"], protocol["log_prior"]), protocol.get("ratio", PRINTED)
            reading = Reading(*scales, float(protocol["beta"]), float(protocol["prior"]["std"]), ratio)
            cell = about["dataset"], about["model"], about["pruner"], float(about["sparsity"])
        if not (_holds_the_ratio(ledgers[run], reading) and _decides_by_beta(ledgers[run])):
            continue
        for other in alternatives(reading, choices):
            images = TRAINING_IMAGES.get(about["dataset"])
            if images is None and other.log_likelihood != reading.log_likelihood:
                raise UserError(f"The scale of {run} can not be changed: {about['dataset']} is not a known data set.")
            epoch = first_difference(ledgers[run], reading, other, images or 1, weights)
            alike = Replayed(*cell, masks_text(protocol), decision_text(protocol), reading, other, differences=())
            replayed.setdefault(alike, []).append(epoch)
    return [replace(row, differences=tuple(replayed[row])) for row in sorted(replayed, key=str)]


def _holds_the_ratio(ledger: Sequence[Decision], reading: Reading) -> bool:
    """Return whether the ratio of the posteriors under `reading` is what the rows of the ledger held."""
    found = ((tested(row, reading, reading, 1, 1), row.tested) for row in ledger)
    return all(ours is None or theirs is None or math.isclose(ours, theirs, abs_tol=1e-6) for ours, theirs in found)


def _decides_by_beta(ledger: Sequence[Decision]) -> bool:
    """Return whether each gate of the ledger was open if what it held exceeded its threshold, and closed if not."""
    return all(row.tested is None or (row.tested > row.log_threshold) == bool(row.opened) for row in ledger)


def as_markdown(rows: Sequence[Replayed]) -> str:
    """Return a Markdown table of one line a cell and alternative."""
    header = (
        "Data set", "Model", "Pruner", "Sparsity", "Masks", "Decision", "Run as", "Replayed as", "Runs decided alike",
        "First epoch decided otherwise",
    )  # fmt: skip
    lines = []
    for row in rows:
        epochs = sorted(epoch for epoch in row.differences if epoch is not None)
        otherwise = f"{epochs[0]} to {epochs[-1]}" if epochs else "none"
        lines.append((
            row.dataset, row.model, row.pruner, f"{row.sparsity:g}", row.masks, row.decision,
            row.reading, row.other, f"{row.same} of {len(row.differences)}", otherwise,
        ))  # fmt: skip
    return markdown(header, lines)


def coincidences(
    ledgers: Mapping[str, Sequence[Decision]], summaries: Mapping[str, Any], single: Sequence[tuple[str, Any]]
) -> str:
    """Return Markdown: how many runs of each reading would have decided alike in all epochs with one other field.

    Each of `single`, a field of Reading and a value, is changed alone; the runs are as `replay` takes them.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for field, value in single:
        same, runs = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for row in replay(ledgers, summaries, {field: [value]}):
            key = (row.masks, f"{row.decision}, {row.reading}")
            same[key] += row.same
            runs[key] += 0 if row.other == row.reading else len(row.differences)
        for key in runs:
            alike.setdefault(key, []).append(f"{same[key]} of {runs[key]}" if runs[key] else "as run")
    header = ("Masks", "Run as", *(f"{field.replace('_', ' ')} {value}" for field, value in single))
    return markdown(header, [[*key, *counts] for key, counts in sorted(alike.items())])


def numbers(option: str, text: str) -> list[float]:
    """Return the numbers above 0 of a comma-separated list. Raise ConfigError for anything else."""
    values = []
    for part in filter(None, text.split(",")):
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise ConfigError(option, part, "numbers above 0, separated by commas")
        values.append(value)
    return values
