"""The ledger of decisions, its replay under other readings, and the gates that ask for no evidence."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
import torch
from conftest import QUIET, run_of
from synthetic import call_script

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.schema import RATIOS
from bayes_pruning.data.datasets import Dataset
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.pruning.gates import GateInput, alternate, matched_rate
from bayes_pruning.pruning.posterior import log_ratio
from bayes_pruning.results import frame
from bayes_pruning.results.run_records import read_metrics
from bayes_pruning.runs import ledger as ledgers
from bayes_pruning.studies import replay
from bayes_pruning.studies.replay import Reading
from bayes_pruning.training.metrics import COLUMNS
from bayes_pruning.training.trainer import Trainer

PAPER = Reading("sum", "sum", 0.5, 1.0)
script = pytest.fixture(call_script)


def row(epoch: int, likelihood: float, prior: float, opened: int, beta: float = 0.5) -> Decision:
    """A decision about a change of the two terms, from -100 and -50 nats."""
    return Decision(epoch, opened, math.log(beta), epoch - 1, -100, -50, -100 + likelihood, -50 + prior, 0)


def trained(run: Any, data: Dataset, epochs: int, evidence: str = "always") -> tuple[list[Decision], list[int]]:
    trainer = Trainer([run], data, torch.device("cpu"), evidence)
    ledger, pruned = [], []
    for _ in range(epochs):
        [metrics] = trainer.run_epoch()
        assert metrics is not None
        ledger.append(trainer.decisions[0])
        pruned.append(metrics.pruned)
    return ledger, pruned


@pytest.mark.parametrize("decision", ["previous", "candidate"])
def test_the_ledger_says_what_was_compared_and_decided(
    decision: str, script: Any, command: Any, tmp_path: Path
) -> None:
    code, _ = command(
        "dataset=mnist_5k", "pruner=bayes_magnitude", f"protocol.decision={decision}", "epochs=3",
        "log_evidence=always", *QUIET, f"output_dir={tmp_path}",
    )  # fmt: skip
    assert not code
    [folder] = tmp_path.iterdir()
    ledger = ledgers.read(folder / "decisions.csv")
    metrics = [dict(zip(COLUMNS, line, strict=True)) for line in read_metrics(folder / "metrics.csv")]
    assert [entry.opened for entry in ledger] == [int(line["pruned"]) for line in metrics]
    assert {entry.log_threshold for entry in ledger} == {math.log(0.5)}
    if decision == "previous":
        assert (ledger[0].compared_epoch, ledger[0].tested, ledger[0].opened) == (None, None, 1)
        for entry, line in zip(ledger[1:], metrics, strict=False):
            assert entry.compared_epoch == line["epoch"]
            assert (entry.log_likelihood, entry.log_prior) == (line["log_likelihood"], line["log_prior"])
            assert entry.tested == line["log_bayes_factor"]
    else:  # what was tried and rejected is nowhere else
        assert [entry.compared_epoch for entry in ledger] == [1, 2, 3]
        assert all(entry.tested is not None and entry.tested < math.log(0.5) for entry in ledger)
        assert [line["log_bayes_factor"] for line in metrics] == [0, 0, 0]
    for entry in ledger:
        if entry.tested is not None and entry.log_likelihood is not None:
            terms = entry.log_likelihood_before, entry.log_prior_before, entry.log_likelihood, entry.log_prior
            assert None not in terms
            assert entry.tested == pytest.approx(terms[2] + terms[3] - terms[0] - terms[1], abs=1e-6)  # type: ignore[operator]
    frame.publish(tmp_path, tmp_path / "archive.parquet")
    assert frame.load_ledgers(tmp_path / "archive.parquet") == frame.load_ledgers(tmp_path) == {folder.name: ledger}
    code, printed = script("replay_decisions.py", tmp_path, "--beta", "0.1,0.5")
    assert code == 0
    assert printed.count("1 of 1") >= 1


@pytest.mark.parametrize("damage", ["epoch,opened", "1,1,x,,,,,,"])
def test_a_damaged_ledger_is_named(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text(",".join(ledgers.COLUMNS) + f"\n{damage}\n")
    with pytest.raises(UserError, match=r"decisions.csv, line 2"):
        ledgers.read(path)


@pytest.mark.parametrize("summary", [{}, [], {"protocol": {}}])
def test_a_damaged_summary_is_named(summary: Any) -> None:
    with pytest.raises(UserError, match=r"^The summary\.json of a-run is not a run's \(\w+: .*\)\.$"):
        replay.replay({"a-run": []}, {"a-run": summary}, {"beta": [1.0]})


def test_another_threshold_differs_at_the_first_verdict_between_the_two() -> None:
    ledger = [Decision(1, 1, math.log(0.5)), row(2, -1.0, 0.0, 0), row(3, 0.0, 0.0, 1), row(4, -3.0, 0.0, 0)]

    def differs(beta: float) -> int | None:
        return replay.first_difference(ledger, PAPER, Reading("sum", "sum", beta, 1.0), 10, 10)

    assert [differs(beta) for beta in (0.5, 0.4, 0.3, 0.01, 1.0, 2.0)] == [None, None, 2, 2, 3, 3]


def test_a_value_given_twice_is_replayed_once() -> None:
    choices = {"beta": replay.numbers("--beta", "0.1,1,0.10"), "log_prior": ["mean", "mean"]}
    assert [str(reading) for reading in replay.alternatives(PAPER, choices)] == [
        "sum/mean, beta 0.1, prior std 1", "sum/mean, beta 1, prior std 1"
    ]  # fmt: skip


def test_scales_and_width_enter_as_the_posterior_says() -> None:
    entry = row(2, -600.0, 30.0, 0)

    def factor(*other: Any, own: Reading = PAPER) -> float | None:
        return replay.tested(entry, own, Reading(*other), images=100, weights=10)

    assert factor("sum", "sum", 0.5, 1.0) == -570
    assert factor("mean", "sum", 0.5, 1.0) == -6 + 30
    assert factor("sum", "mean", 0.5, 1.0) == -600 + 3
    assert factor("sum", "sum", 0.5, 0.1) == pytest.approx(-600 + 3000)  # the gain in prior goes as 1 / std^2
    assert factor("sum", "sum", 0.5, 1.0, own=Reading("mean", "mean", 0.5, 1.0)) == -60000 + 300
    assert replay.tested(Decision(1, 1, 0.0), PAPER, PAPER, 100, 10) is None
    assert replay.tested(row(2, 0.0, 30.0, 1), PAPER, PAPER, 100, 10) == 30  # weights that no output depends on
    assert factor("sum", "sum", 0.5, 1.0, "unpruned_over_pruned") == 570
    assert factor("mean", "sum", 0.5, 1.0, "of_logs") == pytest.approx(math.log((-7.0 - 20) / (-1.0 - 50)))
    assert factor("sum", "mean", 0.5, 1.0, "of_logs") == pytest.approx(math.log((-700.0 - 2) / (-100.0 - 5)))


def test_a_ratio_of_logs_replayed_with_another_prior_takes_its_normaliser_along() -> None:
    """Of three weights with squares summing to 4 before pruning and to 1 after, by scipy's normal density."""

    def log_prior(weights: Sequence[float], std: float) -> float:
        return float(scipy.stats.norm.logpdf(weights, 0, std).sum())

    before, after = (-1.0, 1.0, math.sqrt(2)), (0.0, 1.0, 0.0)
    counts = {"sum": 1, "mean": 3}
    for std, (own, divisor), (scale, count) in itertools.product((0.5, 1.0, 3.0), counts.items(), counts.items()):
        terms = -9.0, log_prior(before, 1.0) / divisor, -12.0, log_prior(after, 1.0) / divisor
        entry = Decision(2, 1, 0.0, 1, *terms, 0.0)
        wanted = math.log((-12.0 + log_prior(after, std) / count) / (-9.0 + log_prior(before, std) / count))
        run, other = Reading("sum", own, 0.5, 1.0), Reading("sum", scale, 0.5, std, "of_logs")
        assert replay.tested(entry, run, other, images=10, weights=3) == pytest.approx(wanted)


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_ratio_replayed_as_itself_is_what_was_tested(ratio: str, few_digits: Dataset) -> None:
    ledger, _ = trained(run_of("pruner=bayes_magnitude", "sparsity=0.9", f"protocol.ratio={ratio}"), few_digits, 4)
    own = Reading("sum", "sum", 0.5, 1.0, ratio)
    for entry in ledger[1:]:
        assert replay.tested(entry, own, own, 500, 784 * 256 + 256 * 128 + 1280) == pytest.approx(entry.tested)
    assert replay.first_difference(ledger, own, own, 500, 784 * 256 + 256 * 128 + 1280) is None


def test_what_a_bayes_factor_may_be_a_ratio_of() -> None:
    assert log_ratio(-300.0, -100.0) == -200
    assert log_ratio(-300.0, -100.0, "unpruned_over_pruned") == 200
    assert log_ratio(-300.0, -100.0, "of_logs") == pytest.approx(math.log(3))
    assert log_ratio(-300.0, 100.0, "of_logs") == -math.inf  # a negative quotient exceeds no beta
    for ratio in RATIOS:
        assert log_ratio(-100.0, -100.0, ratio) == 0  # nothing pruned: a ratio of 1


def test_a_replay_that_finds_no_difference_is_the_run_itself(few_digits: Dataset) -> None:
    """Two widths of the prior whose decisions replay alike train the same network; else it is said when they part."""
    run = run_of("pruner=bayes_magnitude", "sparsity=0.5")
    ledger, pruned = trained(run, few_digits, 4)
    for std in (10.0, 0.03):
        other = run_of("pruner=bayes_magnitude", "sparsity=0.5", f"protocol.prior.std={std}")
        _, really = trained(other, few_digits, 4)
        first = next((i + 1 for i, (a, b) in enumerate(zip(pruned, really, strict=True)) if a != b), None)
        assert replay.first_difference(ledger, PAPER, Reading("sum", "sum", 0.5, std), 500, 1) == first
        assert (first is None) == (std == 10.0)


@pytest.mark.parametrize("evidence", ["asked", "always"])
def test_an_epoch_that_did_not_prune_is_replayed_as_a_bayes_factor_of_1(evidence: str, few_digits: Dataset) -> None:
    """Its likelihoods are not in the ledger unless they are always computed; with beta 1 the gate stays closed."""
    ledger, pruned = trained(run_of("pruner=bayes_magnitude", "sparsity=0.9"), few_digits, 4, evidence)
    assert pruned == [1, 0, 1, 0]
    assert (ledger[2].log_likelihood is None) is (evidence == "asked")
    _, with_beta_1 = trained(run_of("pruner=bayes_magnitude", "sparsity=0.9", "protocol.beta=1"), few_digits, 4)
    assert with_beta_1 == [1, 0, 0, 0]
    for ratio in RATIOS:
        assert replay.tested(ledger[2], PAPER, Reading("mean", "sum", 1.0, 3.0, ratio), 500, 10) == 0
    assert replay.first_difference(ledger, PAPER, Reading("sum", "sum", 1.0, 1.0), 500, 10) == 3
    assert replay.first_difference(ledger, PAPER, Reading("sum", "sum", 0.9, 1.0), 500, 10) is None


def test_a_run_whose_gate_estimates_otherwise_is_not_replayed(few_digits: Dataset) -> None:
    ledgers, summaries = {}, {}
    for pruner in ("laplace_magnitude", "bayes_magnitude"):
        run = run_of(f"pruner={pruner}", "sparsity=0.9")
        ledgers[pruner], _ = trained(run, few_digits, 3)
        protocol = {"regrow": True, "decision": "previous", "log_likelihood": "sum", "log_prior": "sum", "beta": 0.5}
        about = {"protocol": protocol | {"prior": {"std": 1.0}}, "dataset": "mnist", "model": "fcn", "sparsity": 0.9}
        summaries[pruner] = about | {"pruner": pruner, "prunable_weights": 10}
    found = replay.replay(ledgers, summaries, {"beta": [0.5]})
    assert [(row.pruner, row.same) for row in found] == [("bayes_magnitude", 1)]


def test_a_mean_over_images_is_over_those_of_the_data_set() -> None:
    """900 nats of 60,000 images are 0.015 of their mean, so that the prior's 8.5 open a gate that was closed."""
    protocol = {"regrow": True, "decision": "previous", "log_likelihood": "sum", "log_prior": "sum", "beta": 0.5}
    about = {"protocol": protocol | {"prior": {"std": 1.0}}, "dataset": "mnist", "model": "fcn", "sparsity": 0.9}
    ledgers = {"run": [Decision(2, 0, math.log(0.5), 1, -1000, -50, -1900, -41.5, -891.5)]}
    summaries = {"run": about | {"pruner": "bayes_random", "prunable_weights": 10}}
    found = replay.replay(ledgers, summaries, {"log_likelihood": ["mean"]})
    assert [row.differences for row in found] == [(2,)]
    ours = {"run": summaries["run"] | {"dataset": "ours"}}
    assert [row.differences for row in replay.replay(ledgers, ours, {"beta": [0.5]})] == [(None,)]
    with pytest.raises(UserError, match=r"^The scale of run can not be changed: ours is not a known data set\.$"):
        replay.replay(ledgers, ours, {"log_likelihood": ["mean"]})
    sizes = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000, "mnist_5k": 4_000}  # as their authors say
    assert sizes == replay.TRAINING_IMAGES


def test_a_run_whose_gate_decides_otherwise_is_not_replayed() -> None:
    """Its ledger holds the ratio too, but says nothing about what its gate would do with another one."""
    protocol = {"regrow": True, "decision": "previous", "log_likelihood": "sum", "log_prior": "sum", "beta": 0.5}
    about = {"protocol": protocol | {"prior": {"std": 1.0}}, "dataset": "mnist", "model": "fcn", "sparsity": 0.9}
    rows = [Decision(epoch, 1, math.log(0.5), epoch - 1, -100, -50, -109, -41.5, -0.5) for epoch in (2, 3)]
    ledgers = {"ours": rows, "own": [*rows[:1], dataclasses.replace(rows[1], opened=0)]}
    summaries = {pruner: about | {"pruner": pruner, "prunable_weights": 10} for pruner in ledgers}
    found = replay.replay(ledgers, summaries, {"beta": [0.5, 1]})
    assert [(row.pruner, row.other.beta, row.differences) for row in found] == [
        ("ours", 0.5, (None,)),
        ("ours", 1, (2,)),
    ]
    at_beta = [dataclasses.replace(rows[0], opened=opened, log_threshold=0.0, tested=0.0) for opened in (0, 1)]
    assert [replay._decides_by_beta([row]) for row in at_beta] == [True, False]  # a ratio has to exceed beta


def test_an_epoch_that_decides_nothing_has_no_row_in_the_ledger(command: Any, tmp_path: Path) -> None:
    """Under `candidate` there is nothing to decide once the schedule is done; the same folder is published twice."""
    gradual = ("pruner=gradual", "pruner.gate=bayes_factor", "pruner.schedule_options.end=2", "protocol=candidate")
    run = ("dataset=mnist_5k", "model.hidden=[8]", *gradual, "epochs=4", *QUIET)
    assert not command(*run, f"output_dir={tmp_path}")[0]
    [folder] = (path for path in tmp_path.iterdir() if path.is_dir())
    assert [row.epoch for row in ledgers.read(folder / ledgers.FILE)] == [1, 2]
    for kept in (0, 1):
        assert frame.publish(tmp_path, tmp_path / "runs.parquet")[1] == kept


def test_runs_that_prune_biases_too_are_counted_apart() -> None:
    protocol = {"regrow": True, "decision": "previous", "log_likelihood": "sum", "log_prior": "sum", "beta": 0.5}
    rows = [Decision(2, 1, math.log(0.5), 1, -100, -50, -109, -41.5, -0.5)]
    summaries = {
        run: {
            "protocol": protocol | {"prior": {"std": 1.0}, "prunes": prunes},
            **{"dataset": "mnist", "model": "fcn", "sparsity": 0.9, "pruner": "bayes_random", "prunable_weights": 10},
        }
        for run, prunes in (("a", "weights"), ("b", "parameters"), ("c", "weights"))
    }
    ledgers = dict.fromkeys(summaries, rows)
    found = replay.replay(ledgers, summaries, {"beta": [1]})
    assert {row.masks: row.differences for row in found} == {"regrow": (2, 2), "regrow with biases": (2,)}
    lines = replay.coincidences(ledgers, summaries, [("beta", 0.5), ("beta", 1.0)]).splitlines()[2:]
    assert [line.split(" | ")[-2] for line in lines] == ["as run", "as run"]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == ["regrow", "regrow with biases"]
    assert [line.split(" | ")[-1].strip("| ") for line in lines] == ["0 of 2", "0 of 1"]
    several = dataclasses.replace(found[0], differences=(None, 7, 3))
    assert replay.as_markdown([several]).splitlines()[-1] == (
        "| mnist | fcn | bayes_random | 0.9 | regrow with biases | previous | sum/sum, beta 0.5, prior std 1 | "
        "sum/sum, beta 1, prior std 1 | 1 of 3 | 3 to 7 |"
    )
    assert replay.as_markdown([dataclasses.replace(several, differences=(7,))]).endswith("| 0 of 1 | 7 to 7 |\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Say what to replay"),
        (("--beta", "0"), "--beta=0"),
        (("--prior-std", "x"), "--prior-std=x"),
        (("--log-prior", "median"), "--log-prior=median"),
        (("--ratio", "golden"), "--ratio=golden"),
        (("--ratio", ","), "--ratio=,"),
        (("--beta", "1"), "has no run whose gate holds the paper's ratio against beta"),
    ],
)
def test_bad_arguments_end_in_a_sentence(
    arguments: tuple[str, ...], sentence: str, script: Any, tmp_path: Path
) -> None:
    code, printed = script("replay_decisions.py", tmp_path, *arguments)
    assert sentence in str(code)
    assert printed == ""


def seen(epoch: int, epochs: int = 25, seed: int = 0) -> GateInput:
    return GateInput(epoch, epochs, -1e9, 0.0, seed)


def test_gates_without_evidence() -> None:
    assert [alternate(seen(epoch)) for epoch in range(1, 6)] == [True, False, True, False, True]
    assert [alternate(seen(epoch), every=3) for epoch in range(1, 6)] == [True, False, False, True, False]


@pytest.mark.parametrize("openings", [0, 1, 13, 25])
def test_a_matched_gate_opens_as_often_as_asked(openings: int) -> None:
    opened = {seed: [matched_rate(seen(e, seed=seed), openings) for e in range(1, 26)] for seed in range(40)}
    assert {sum(epochs) for epochs in opened.values()} == {openings}
    if openings == 13:
        assert len({tuple(epochs) for epochs in opened.values()}) == 40
        each = [sum(epochs[e] for epochs in opened.values()) for e in range(25)]
        assert 5 < min(each) <= max(each) < 36  # Binomial(40, 13/25) leaves these bounds once in 10^5


def test_gates_without_evidence_have_no_ledger_and_no_beta(few_digits: Dataset) -> None:
    runs = [run_of("pruner=magnitude", "pruner.gate=alternate", f"protocol.beta={beta}") for beta in (0.5, 1.0)]
    assert runs[0].hash() == runs[1].hash()
    matched = [
        run_of("pruner=matched_random", "pruner.gate_options.openings=3", f"protocol.beta={b}") for b in (0.5, 1)
    ]
    assert matched[0].hash() != matched[1].hash()  # they match the openings of different readings
    trainer = Trainer(runs[:1], few_digits, torch.device("cpu"))
    trainer.run_epoch()
    assert trainer.decisions == {}
