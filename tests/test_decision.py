"""The decision of Algorithms 2 and 3 as a pure function, against epochs written down by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_of

from bayes_pruning.config.errors import ConfigError, UserError
from bayes_pruning.config.registry import GATES, SCHEDULES, Declared
from bayes_pruning.pruning import decision
from bayes_pruning.pruning.decision import Comparison, Verdict, decide, tries, unchanged
from bayes_pruning.pruning.gates import Candidate
from bayes_pruning.pruning.posterior import Terms, log_bayes_factor

NO_CANDIDATE: Candidate = None  # type: ignore[assignment]  # only an estimate of the gate's own looks at it
NETWORK = Terms(-100.0, -50.0)
SAME = Comparison(3, -100.0, -50.0, -100.0, -50.0, 0.0)  # nothing was pruned: a Bayes factor of 1
BETTER = Comparison(3, -100.0, -50.0, -101.0, -45.0, 4.0)
WORSE = Comparison(3, -100.0, -50.0, -109.0, -45.0, -4.0)
LAST = Comparison(2, -90.0, -40.0, -95.0, -40.0, -5.0)
LAST_GOOD = Comparison(2, -90.0, -40.0, -90.0, -40.0, 0.0)


@pytest.mark.parametrize(
    ("reading", "known", "candidate", "prunes", "after", "compared"),
    [  # beta is 0.5: the threshold is log 0.5 = -0.69
        ((), None, WORSE, True, WORSE, None),  # the first epoch: open
        (("protocol.first_gate=closed",), None, None, False, SAME, None),
        ((), LAST, None, False, SAME, LAST),  # last epoch's Bayes factor of e^-5 closes it
        ((), LAST_GOOD, WORSE, True, WORSE, LAST_GOOD),  # and 1 opens it, whatever this epoch's own is
        ((), LAST_GOOD, None, True, SAME, LAST_GOOD),  # open, but the schedule pruned nothing
        (("protocol.decision=candidate",), LAST, BETTER, True, BETTER, BETTER),  # its own decides
        (("protocol.decision=candidate",), LAST_GOOD, WORSE, False, SAME, WORSE),
        (("protocol.beta=60",), LAST_GOOD, None, False, SAME, LAST_GOOD),  # log 60 is above 0 and 4
        (("protocol.decision=candidate", "protocol.beta=60"), None, BETTER, False, SAME, BETTER),
    ],
)
def test_an_epoch_that_reads_a_bayes_factor(
    reading: tuple[str, ...],
    known: Comparison | None,
    candidate: Comparison | None,
    prunes: bool,
    after: Comparison,
    compared: Comparison | None,
) -> None:
    run = run_of("pruner=bayes_magnitude", *reading)
    verdict = decide(run, 3, known, NETWORK, candidate)
    assert (verdict.prunes, verdict.known) == (prunes, after)
    assert verdict.row is not None
    assert (verdict.row.epoch, verdict.row.opened) == (3, prunes)
    assert verdict.row.log_threshold == math.log(run.protocol.beta)
    seen = [getattr(verdict.row, name) for name in vars(SAME)]
    assert seen == (list(vars(compared).values()) if compared else [None] * 6)
    assert decide(run, 3, known, NETWORK, candidate) == verdict  # the same again: nothing is remembered
    assert tries(run, 3, known) is (prunes or run.protocol.decision == "candidate")


def test_a_candidate_that_was_not_pruned_leaves_nothing_to_decide() -> None:
    run = run_of("pruner=bayes_magnitude", "protocol.decision=candidate")
    assert decide(run, 3, LAST, NETWORK, None) == Verdict(False, SAME, None)


@pytest.mark.parametrize(("pruner", "prunes"), [("none", False), ("magnitude", True)])
def test_a_gate_that_reads_no_bayes_factor_has_no_row(pruner: str, prunes: bool) -> None:
    assert decide(run_of(f"pruner={pruner}"), 3, LAST, NETWORK, None) == Verdict(prunes, SAME, None)


@pytest.mark.parametrize(
    ("ratio", "nats"),
    [("pruned_over_unpruned", 4.0), ("unpruned_over_pruned", -4.0), ("of_logs", math.log(146 / 150))],
)
def test_two_networks_are_compared_by_the_ratio_that_the_protocol_names(ratio: str, nats: float) -> None:
    before, after = NETWORK, Terms(-101.0, -45.0)
    run = run_of("pruner=bayes_random", f"protocol.ratio={ratio}")
    found = decision.compare(run, 3, before, after, NO_CANDIDATE)
    assert found == Comparison(3, -100.0, -50.0, -101.0, -45.0, pytest.approx(nats))  # type: ignore[arg-type]
    assert log_bayes_factor(after, before) == 4.0
    assert log_bayes_factor(Terms(None, -45.0), before) is None
    assert unchanged(3, before) == SAME


def test_the_schedule_sees_the_sparsity_that_the_network_has() -> None:
    run = run_of("pruner=bayes_schedule", "sparsity=0.8", "pruner.schedule_options.end=5")
    assert [decision.planned(run, 5, current, lambda _: 0.0) for current in (0.5, 0.8)] == [0.8, None]


def test_the_gate_sees_the_seed_of_the_run() -> None:
    own = ("pruner=magnitude", "pruner.gate=matched_rate", "+pruner.gate_options.openings=12")
    opened = [[decision.opens(run_of(*own, f"seed={seed}"), epoch, None) for epoch in range(1, 26)] for seed in (0, 1)]
    assert [sum(epochs) for epochs in opened] == [12, 12]
    assert opened[0] != opened[1]


def test_the_schedule_plans_and_its_options_are_checked_before_training() -> None:
    run = run_of("pruner=one_shot", "sparsity=0.8")
    assert [decision.planned(run, epoch, 0.0, lambda _: 0.0) for epoch in (9, 10, 11)] == [None, 0.8, None]
    with pytest.raises(ConfigError, match=r"pruner\.schedule_options\.epoch=10 .* from 1 to 5"):
        decision.check(run_of("pruner=one_shot", "epochs=5"))


def test_a_schedule_may_give_a_number_of_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEDULES.functions, "mine", lambda plan: np.float32(0.25))
    assert decision.planned(run_of("pruner=magnitude", "pruner.schedule=mine"), 2, 0.0, lambda _: 0.0) == 0.25


@pytest.mark.parametrize("given", [1.5, -0.25, math.nan, "0.5", True, torch.tensor(0.5)])
def test_a_schedule_that_gives_no_fraction_is_named(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEDULES.functions, "mine", lambda plan: given if plan.epoch == 2 else plan.sparsity)
    run = run_of("pruner=magnitude", "pruner.schedule=mine", "sparsity=0.5")
    decision.check(run)
    with pytest.raises(UserError, match=r"^pruner\.schedule=mine gave .* in epoch 2: a schedule gives a number from 0"):
        decision.planned(run, 2, 0.0, lambda _: 0.0)


def test_what_declares_to_read_no_bayes_factor_sees_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else beta would change its runs and be no part of them."""
    seen: list[float | None] = []
    declared = Declared(reads_bayes_factor=False)
    gate = GATES.register(lambda now: seen.append(now.log_bayes_factor) is not None, declared)
    schedule = SCHEDULES.register(lambda plan: plan.log_bayes_factor(1), declared)
    monkeypatch.setitem(GATES.functions, "mine", gate)
    decision.opens(run_of("pruner=magnitude", "pruner.gate=mine"), 3, LAST)
    assert seen == [None]
    monkeypatch.setitem(SCHEDULES.functions, "mine", schedule)
    with pytest.raises(UserError, match=r"asked for a Bayes factor: declare it by @schedule\(\)"):
        decision.check(run_of("pruner=magnitude", "pruner.schedule=mine"))


@pytest.mark.parametrize("given", [np.float64(2.5), torch.tensor(2.5), 2.5])
def test_a_gates_own_estimate_is_a_plain_number(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger and a checkpoint hold no other: what NumPy or PyTorch give could not be read from them again."""
    compared = decision.compare(estimating(given, monkeypatch), 2, NETWORK, NETWORK, NO_CANDIDATE)
    assert (type(compared.tested), compared.tested) == (float, 2.5)


@pytest.mark.parametrize("given", [math.nan, None, "2.5", torch.ones(2)])
def test_an_estimate_that_is_no_number_is_named(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = estimating(given, monkeypatch)
    said = r"^pruner\.gate=mine gave .* in epoch 2: the estimate of a gate is a log Bayes factor, one number in nats\.$"
    with pytest.raises(UserError, match=said):
        decision.compare(run, 2, NETWORK, NETWORK, NO_CANDIDATE)


def estimating(given: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run whose gate has an estimate that gives `given`."""

    def mine(seen: Any) -> bool:
        return True

    monkeypatch.setattr(mine, "declared", Declared(True, lambda _: given), raising=False)
    monkeypatch.setitem(GATES.functions, "mine", mine)
    return run_of("pruner=magnitude", "pruner.gate=mine")


@pytest.mark.parametrize("given", [True, np.True_, torch.tensor([True]), 1])
def test_a_gate_answers_in_any_kind_of_boolean(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GATES.functions, "mine", lambda _: given)
    assert decision.opens(run_of("pruner=magnitude", "pruner.gate=mine"), 1, None) is True


@pytest.mark.parametrize("given", [None, "no", 0.5, torch.tensor([True, False]), np.ones(3)])
def test_a_gate_that_gives_no_answer_is_named(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten `return` would else be a gate that never opens."""
    monkeypatch.setitem(GATES.functions, "mine", lambda _: given)
    with pytest.raises(UserError, match=r"(?s)^pruner\.gate=mine gave .* in epoch 3: a gate gives True or False\.$"):
        decision.opens(run_of("pruner=magnitude", "pruner.gate=mine"), 3, None)


def test_a_gate_that_reads_this_epochs_factor_is_never_asked_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not either when a run is checked before it trains: only under `previous` there is none before the first epoch."""
    monkeypatch.setitem(GATES.functions, "mine", lambda seen: seen.log_bayes_factor > 2 * seen.log_beta)
    decision.check(run_of("pruner=magnitude", "pruner.gate=mine", "protocol.decision=candidate"))
    with pytest.raises(UserError, match="TypeError"):
        decision.check(run_of("pruner=magnitude", "pruner.gate=mine"))
