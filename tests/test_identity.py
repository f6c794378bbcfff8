"""What a run is: every field that can change its numbers is in its hash, whatever fields there are."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from conftest import run_of

from bayes_pruning.config.schema import RunConfig

# A reading in which nothing is idle: the gate reads a Bayes factor, the schedule and the selector have options.
BASE = (
    *("optimizer=sgd", "momentum=0.5"),
    *("pruner=bayes_schedule", "pruner.gate=laplace_evidence"),
    *("pruner.selector_options.examples=100", "pruner.gate_options.draws=2"),
)
# Names, of the other fields and of another pruner.
NAMES = {("protocol", "name"), ("pruner", "twin"), ("pruner", "control_of")}
FUNCTIONS = {("pruner", "gate"): "bayes_factor"}  # what a gate is, its function says
IDLE_BY_CHOICE = {"log_evidence"}  # fields that only say what is computed beside the run, if there are any


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each single value of a run with the names that lead to it."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, Mapping):
        for name in value:
            yield from leaves(value[name], (*path, name))
    else:
        yield path, value


def changed(value: Any, path: tuple[str, ...], new: Any) -> Any:
    """The same with another value at `path`."""
    if not path:
        return new
    name, *rest = path
    if isinstance(value, Mapping):
        return {**value, name: changed(value[name], tuple(rest), new)}
    return dataclasses.replace(value, **{name: changed(getattr(value, name), tuple(rest), new)})


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, 7] if isinstance(value, list) else f"another {value}"


RUN = run_of(*BASE)
LEAVES = [path for path, _ in leaves(RUN) if path not in NAMES and path[-1] not in IDLE_BY_CHOICE]


def test_every_field_of_a_run_is_looked_at() -> None:
    found = {path[0] for path in LEAVES}
    assert found >= {field.name for field in dataclasses.fields(RunConfig)} - IDLE_BY_CHOICE
    assert len(LEAVES) > 30


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_a_run_that_differs_in_one_field_has_another_hash(path: tuple[str, ...]) -> None:
    value = dict(leaves(RUN))[path]
    assert changed(RUN, path, FUNCTIONS.get(path) or another(value)).hash() != RUN.hash()
    assert changed(RUN, path, value).hash() == RUN.hash()


@pytest.mark.parametrize("path", sorted(NAMES))
def test_what_a_protocol_or_a_twin_is_called_changes_nothing(path: tuple[str, ...]) -> None:
    assert changed(RUN, path, "another name").hash() == RUN.hash()


def test_adam_has_no_momentum_and_is_the_optimizer_of_the_runs_before_there_was_a_choice() -> None:
    adam = run_of()
    assert {"optimizer", "momentum"}.isdisjoint(adam.identity())
    assert run_of("momentum=0.9") == adam
    assert len({adam.hash(), run_of("optimizer=sgd").hash(), run_of("optimizer=sgd", "momentum=0.9").hash()}) == 3


def test_minus_zero_is_zero() -> None:
    minus, zero = (run_of("pruner=magnitude", f"sparsity={value}") for value in ("-0.0", "0"))
    assert (minus.hash(), minus.label()) == (zero.hash(), zero.label())
    assert run_of("protocol.prior.mean=-0.0").hash() == run_of().hash()
    assert run_of("protocol.prior.mean=-0.5").hash() != run_of("protocol.prior.mean=0.5").hash()
    assert "-magnitude-0-seed0" in zero.label()
    assert run_of("optimizer=sgd", "momentum=-0.0").hash() == run_of("optimizer=sgd").hash()


def test_a_name_of_sixty_bytes_is_the_longest() -> None:
    assert run_of(f"pruner.name={'x' * 60}").label().count("x") == 60  # one of 61 is refused: test_cli.py
