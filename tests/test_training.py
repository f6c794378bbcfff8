"""The epoch: decisions, readings of the protocol, common random numbers, and a stack against its members alone."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
import torch
from conftest import run_of

from bayes_pruning.config.paths import conf_dir
from bayes_pruning.config.random_streams import generator
from bayes_pruning.config.registry import GATES, SCHEDULES, SELECTORS, Declared, Registry
from bayes_pruning.config.schema import RunConfig
from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.models import networks
from bayes_pruning.pruning import laplace
from bayes_pruning.pruning.gates import GateInput
from bayes_pruning.pruning.masks import masks
from bayes_pruning.pruning.posterior import Terms, log_likelihood, log_prior
from bayes_pruning.pruning.schedules import Plan
from bayes_pruning.training.evaluation import Evaluator
from bayes_pruning.training.metrics import Metrics
from bayes_pruning.training.trainer import Trainer

PRUNERS = ("none", "random", "bayes_random", "magnitude", "bayes_magnitude")
CPU = torch.device("cpu")


def train(runs: Sequence[RunConfig], data: Dataset, epochs: int, log_evidence: str = "always") -> list[list[Metrics]]:
    """Metrics of each run, epoch by epoch, the time left out."""
    trainer = Trainer(runs, data, CPU, log_evidence)
    epochs_rows = [trainer.run_epoch() for _ in range(epochs)]
    assert not trainer.failures
    untimed = [[Metrics(**{**vars(row), "seconds": 0.0}) for row in rows if row] for rows in epochs_rows]
    return [list(rows) for rows in zip(*untimed, strict=True)]


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_a_run_has_the_same_bits_alone_and_in_a_mixed_stack(model: str, few_digits: Dataset) -> None:
    """Every pruner, both decisions, both regrow readings, mixed sparsities and seeds, over 3 epochs."""
    readings = list(product(("true", "false"), ("previous", "candidate")))
    runs = [
        run_of(
            f"model={model}",
            f"pruner={pruner}",
            f"sparsity={0.9 if i % 2 else 0.5}",
            f"seed={i % 3}",
            f"protocol.regrow={regrow}",
            f"protocol.decision={decision}",
        )
        for i, (pruner, (regrow, decision)) in enumerate(product(PRUNERS, readings))
    ]
    if model == "cnn":
        runs = [runs[i] for i in (8, 15, 17)]  # bayes_random regrown, magnitude kept, bayes_magnitude by candidate
    splits = few_digits.train, few_digits.test
    fewer = Dataset(*(Split(split.images[:150], split.labels[:150]) for split in splits))
    together = train(runs, fewer, 3)
    some = (0, 6, 8, 11, 13, 17, 18) if model == "fcn" else range(3)  # each pruner, both decisions, both readings
    for i in some:
        assert train([runs[i]], fewer, 3) == [together[i]]


def test_a_run_has_the_same_bits_in_a_stack_where_sums_are_split_between_two_threads(few_digits: Dataset) -> None:
    """As in a real run: one thread would hide a sum that is split by the size of the stack."""
    splits = few_digits.train, few_digits.test
    fewer = Dataset(*(Split(split.images[:64], split.labels[:64]) for split in splits))
    narrow = "protocol.prior.std=0.001"  # in which the squares, of which there are most, are all of the log-prior
    runs = [run_of("pruner=bayes_magnitude", narrow, f"seed={seed}") for seed in range(3)]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = train(runs, fewer, 1)
        for run, rows in zip(runs, together, strict=True):
            assert train([run], fewer, 1) == [rows]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("protocol", ["paper", "with_biases"])
def test_the_count_is_exact_in_every_layer_and_both_networks_are_scored(few_digits: Dataset, protocol: str) -> None:
    run = run_of("pruner=magnitude", "sparsity=0.9", f"protocol={protocol}")
    trainer = Trainer([run], few_digits, CPU, "always")
    trainer.evaluator.rows = 64  # both splits end in a smaller batch
    biases = {name for name in trainer.stack.parameters if name.endswith("bias")}
    assert biases
    assert biases & set(trainer.prunable) == (biases if protocol == "with_biases" else set())
    row = trainer.run_epoch()[0]
    assert row is not None
    zeros = total = 0
    for name in trainer.prunable:
        weight = trainer.stack.parameters[name].detach()[0]
        assert int((weight == 0).sum()) == round(0.9 * weight.numel())
        zeros, total = zeros + round(0.9 * weight.numel()), total + weight.numel()
    assert row.sparsity == zeros / total
    assert row.sparsity_before == 0
    parameters = {name: p.detach() for name, p in trainer.stack.parameters.items()}
    for split, found in ((few_digits.train, row.log_likelihood), (few_digits.test, -row.pruned_test_loss * 200)):
        logits = trainer.stack.forward(split.images.unsqueeze(0), parameters)
        assert found == pytest.approx(log_likelihood(logits, split.labels).item(), rel=1e-9)
    assert row.pruned_test_accuracy == (logits.argmax(dim=-1) == few_digits.test.labels).sum().item() / 200
    weights = [parameters[name][0] for name in trainer.prunable]
    assert row.log_prior == pytest.approx(log_prior(weights, trainer.runs[0].protocol.prior).item())
    before, after = row.log_likelihood_before + row.log_prior_before, row.log_likelihood + row.log_prior
    assert row.log_bayes_factor == pytest.approx(after - before, abs=1e-9)


def test_unpruned_runs_are_scored_once_and_never_change(few_digits: Dataset) -> None:
    [rows] = train([run_of("pruner=none")], few_digits, 2)
    for row in rows:
        assert (row.pruned, row.sparsity, row.log_bayes_factor) == (0, 0.0, 0.0)
        assert row.test_accuracy == row.pruned_test_accuracy
        assert row.log_likelihood == row.log_likelihood_before


@pytest.mark.parametrize(
    ("reading", "factors", "opens"),
    [
        # previous: open in epoch 1, then after each epoch's own factor; a skipped epoch has factor 1 (log 0).
        ("decision=previous", [-3.0, None, 5.0, -0.1, -9.0, None], [1, 0, 1, 1, 1, 0]),
        # candidate: each epoch by its own factor.
        ("decision=candidate", [-3.0, 2.0, -9.0, -0.1, -1.0, 7.0], [0, 1, 0, 1, 0, 1]),
        # beta of 1: a factor of 1 does not exceed it, so a gate that closed never opens again.
        ("beta=1", [0.5, -0.1, None, None, None], [1, 1, 0, 0, 0]),
        ("first_gate=closed", [None, -3.0, None, -3.0, None], [0, 1, 0, 1, 0]),
        # Upside down: a factor below 1 keeps the gate open, and one above 1 closes it.
        ("ratio=unpruned_over_pruned", [-3.0, -3.0, 5.0, None, -3.0], [1, 1, 1, 0, 1]),
    ],
)
def test_decisions_follow_a_sequence_of_bayes_factors_written_by_hand(
    reading: str,
    factors: list[float | None],
    opens: list[int],
    few_digits: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Log beta is -0.69 unless a case names beta. `None` is an epoch that prunes nothing, so no factor is computed."""
    trainer = Trainer([run_of("pruner=bayes_magnitude", f"protocol.{reading}")], few_digits, CPU)
    asked: list[int] = []

    def likelihoods(parameters: dict[str, torch.Tensor]) -> list[float | None]:
        """That before pruning is 0, so that the one after is the factor; the second one of an epoch is asked for."""
        asked.append(trainer.epoch)
        return [factors[trainer.epoch - 1] if asked.count(trainer.epoch) == 2 else 0.0]

    monkeypatch.setattr(trainer, "_train", lambda: [0.1])
    monkeypatch.setattr(trainer, "_terms", lambda _, score: Terms(score.train_log_likelihood, 0.0))
    monkeypatch.setattr(trainer.evaluator, "train_log_likelihoods", likelihoods)
    assert [row.pruned for _ in factors for row in trainer.run_epoch() if row] == opens
    tried = [epoch for epoch, factor in enumerate(factors, 1) if factor is not None]
    assert asked == [epoch for epoch in tried for _ in ("before", "after")]


ALL_PRUNERS = sorted(path.stem for path in (conf_dir() / "pruner").glob("*.yaml"))
EVIDENCE = ("log_likelihood_before", "log_likelihood", "log_bayes_factor")


@pytest.mark.parametrize("decision", ["previous", "candidate"])
def test_what_nothing_asks_for_is_not_computed_and_changes_no_bit(decision: str, few_digits: Dataset) -> None:
    """Every pruner; weights, accuracies and decisions are the same bits as with all log-likelihoods computed."""
    own = {"matched_random": ["+pruner.gate_options.openings=2"]}
    fewer = Dataset(few_digits.train, Split(few_digits.test.images[:50], few_digits.test.labels[:50]))
    small = ("model.hidden=[64]", f"protocol.decision={decision}")
    runs = [run_of(f"pruner={name}", *small, *own.get(name, ())) for name in ALL_PRUNERS]
    trainers = [Trainer(runs, fewer, CPU, log_evidence) for log_evidence in ("asked", "always")]
    for _ in range(3):
        asked, always = (trainer.run_epoch() for trainer in trainers)
        for run, one, other in zip(runs, asked, always, strict=True):
            assert one is not None
            assert other is not None
            for name, value in vars(other).items():
                if name == "seconds":
                    continue
                assert value is not None
                missing = getattr(one, name) is None
                assert missing or getattr(one, name) == value
                assert not missing or name in EVIDENCE
                if run.gate_reads_bayes_factor and (decision == "candidate" or one.pruned):
                    assert not missing
                elif run.pruner.schedule != "evidence" and name in EVIDENCE:
                    assert missing == (name != "log_bayes_factor" or bool(one.pruned))
    assert trainers[0].decisions
    for name, parameter in trainers[0].stack.parameters.items():
        assert torch.equal(parameter, trainers[1].stack.parameters[name])
    for member, decided in trainers[0].decisions.items():
        assert (decided.opened, decided.tested) == (
            trainers[1].decisions[member].opened,
            trainers[1].decisions[member].tested,
        )


def test_regrowth(few_digits: Dataset) -> None:
    grown, kept = train(
        [run_of("pruner=magnitude", "sparsity=0.9", f"protocol.regrow={regrow}") for regrow in ("true", "false")],
        few_digits,
        3,
    )
    assert grown[1].sparsity_before < 0.2
    assert kept[1].sparsity_before == kept[0].sparsity
    assert grown[2].sparsity == kept[2].sparsity


def test_runs_of_one_seed_share_initial_weights_and_batches_whatever_their_pruner(few_digits: Dataset) -> None:
    rows = train([run_of(f"pruner={p}", "sparsity=0.9") for p in PRUNERS], few_digits, 1)
    assert len({row[0].train_loss for row in rows}) == 1
    assert len({row[0].test_loss for row in rows}) == 1
    [other] = train([run_of("seed=1")], few_digits, 1)
    assert other[0].train_loss != rows[0][0].train_loss


def test_initial_weights_depend_on_the_seed_alone() -> None:
    config = dict(run_of().model)
    torch.manual_seed(5)
    first = networks.build(config, (1, 28, 28), 10, seed=3)
    state = torch.get_rng_state()
    second = networks.build(config, (1, 28, 28), 10, seed=3)
    assert torch.equal(state, torch.get_rng_state())  # and they leave PyTorch's own stream alone
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    other = networks.build(config, (1, 28, 28), 10, seed=4)
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("sparsity", ["0.0", "1.0"])
def test_the_ends_of_sparsity(sparsity: str, few_digits: Dataset) -> None:
    [rows] = train([run_of("pruner=magnitude", f"sparsity={sparsity}")], few_digits, 2)
    assert rows[-1].sparsity == float(sparsity)
    if sparsity == "0.0":
        assert rows[-1].log_bayes_factor == 0.0


def test_scales_of_the_posterior(few_digits: Dataset) -> None:
    summed, mean = train(
        [
            run_of("pruner=magnitude", f"protocol.log_likelihood={scale}", f"protocol.log_prior={scale}")
            for scale in ("sum", "mean")
        ],
        few_digits,
        1,
    )
    assert mean[0].log_likelihood == pytest.approx(summed[0].log_likelihood / 500)
    assert mean[0].log_prior == pytest.approx(summed[0].log_prior / 234752)


def test_a_run_that_diverges_fails_with_a_reason_and_leaves_the_others_bits(few_digits: Dataset) -> None:
    runs = [run_of("pruner=magnitude", f"seed={seed}") for seed in range(3)]
    wanted = train([runs[0], runs[2]], few_digits, 2)
    trainer = Trainer(runs, few_digits, CPU, "always")
    trainer.stack.parameters["1.weight"].detach()[1, 0, 0] = math.nan
    for epoch in range(2):
        first, second, third = trainer.run_epoch()
        assert second is None
        assert first is not None
        assert third is not None
        assert [vars(first) | {"seconds": 0.0}, vars(third) | {"seconds": 0.0}] == [vars(w[epoch]) for w in wanted]
    assert "training loss became nan in epoch 1" in trainer.failures[1]


@pytest.mark.parametrize("pruner", ["bayes_magnitude", "laplace_magnitude", "gradual_snip", "bayes_schedule"])
@pytest.mark.parametrize("weight", [math.nan, 3e37])
def test_weights_that_diverge_in_an_epochs_last_step_end_their_own_run_alone(
    pruner: str, weight: float, few_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training loss says nothing of them yet, and no estimate, selector or schedule is asked of such a network."""
    splits = (Split(split.images[:100], split.labels[:100]) for split in (few_digits.train, few_digits.test))
    runs = [run_of("model.hidden=[8]", f"pruner={name}") for name in (pruner, "magnitude")]
    trainer = Trainer(runs, Dataset(*splits), CPU)
    whole = trainer._train

    def poisoned() -> list[float]:
        losses = whole()
        for parameter in trainer.stack.parameters.values():
            parameter.detach()[0] = weight
        return losses

    monkeypatch.setattr(trainer, "_train", poisoned)
    first, second = trainer.run_epoch()
    assert first is None
    assert second is not None
    assert trainer.failures[0].startswith("test_loss became")


def beside_another(override: str, digits: Dataset) -> Trainer:
    """A stack of a run with this override and one without, on 100 digits."""
    splits = (Split(split.images[:100], split.labels[:100]) for split in (digits.train, digits.test))
    runs = [run_of("model.hidden=[8]", "pruner=magnitude", given) for given in (override, "seed=1")]
    return Trainer(runs, Dataset(*splits), CPU)


@pytest.mark.parametrize(
    ("registry", "mine"),
    [
        (SELECTORS, lambda layer: layer.weight.sum(1)),
        (GATES, lambda seen: None),
        (SCHEDULES, lambda plan: 90),
        (GATES, GATES.register(lambda seen: True, Declared(estimate=lambda candidate: math.nan))),
    ],
)
def test_what_a_runs_own_function_gives_that_is_refused_ends_that_run_alone(
    registry: Registry, mine: Any, few_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.functions, "mine", mine)
    trainer = beside_another(f"{registry.field}=mine", few_digits)
    first, second = trainer.run_epoch()
    assert (first, trainer.failures.keys()) == (None, {0})
    assert second is not None
    said = trainer.failures[0]
    assert (said.startswith(f"{registry.field}=mine gave "), said.endswith(".")) == (True, False)


def broken(seen: Any) -> Any:
    raise ValueError("no\nway")


@pytest.mark.parametrize(
    ("registry", "mine"),
    [
        *((registry, broken) for registry in (SELECTORS, GATES, SCHEDULES)),
        (GATES, GATES.register(lambda seen: True, Declared(estimate=broken))),
    ],
)
def test_an_exception_in_a_runs_own_function_ends_that_run_alone_and_is_named(
    registry: Registry, mine: Any, few_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.functions, "mine", mine)
    trainer = beside_another(f"{registry.field}=mine", few_digits)
    first, second = trainer.run_epoch()
    assert (first, second is None) == (None, False)
    line = broken.__code__.co_firstlineno + 1
    assert trainer.failures == {0: f"{registry.field}=mine failed in {__file__}, line {line} (ValueError: no way)"}
    assert trainer.traces[0].endswith('in broken\n    raise ValueError("no\\nway")\nValueError: no\nway\n')


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_memory_that_does_not_suffice_is_no_failure_of_a_function(error: type[Exception]) -> None:
    def full(layer: None) -> None:
        raise error

    with pytest.raises(error):
        SELECTORS.call("mine", None, {}, full)


@pytest.mark.parametrize("selector", ["random", "magnitude"])
def test_with_kept_masks_a_bayes_method_is_its_classic_twin(selector: str, few_digits: Dataset) -> None:
    """The first epoch's gate is open, and what it prunes stays: no later decision can change the network."""
    evidence = ("log_likelihood=sum", "log_likelihood=mean", "prior.std=0.01", "beta=2")
    runs = [run_of(f"pruner={selector}", "protocol=kept")]
    runs += [run_of(f"pruner=bayes_{selector}", "protocol=kept", f"protocol.{field}") for field in evidence]
    twin, *bayes = train(runs, few_digits, 4)
    for rows in bayes:
        for one, other in zip(rows, twin, strict=True):
            same = ("train_loss", "test_loss", "test_accuracy", "pruned_test_accuracy", "sparsity")
            assert [getattr(one, name) for name in same] == [getattr(other, name) for name in same]


@pytest.mark.parametrize("selector", ["random", "magnitude"])
def test_by_the_quotient_of_the_logs_a_bayes_method_is_its_classic_twin(selector: str, few_digits: Dataset) -> None:
    """Log posteriors are of one sign, and pruning does not halve them: the gate never closes."""
    runs = [run_of(f"pruner={selector}"), run_of(f"pruner=bayes_{selector}", "protocol=of_logs")]
    twin, bayes = train(runs, few_digits, 4)
    assert bayes == twin


@pytest.mark.parametrize(("examples", "draws"), [(None, None), (100, None), (None, 1)])
def test_a_gate_with_its_own_estimate_tests_that(examples: int | None, draws: int | None, few_digits: Dataset) -> None:
    """Laplace's evidence of the rejected candidate, computed anew from the network that stayed."""
    overrides = ("pruner=laplace_magnitude", "protocol.decision=candidate", "protocol.beta=1e37", "sparsity=0.001")
    options = [
        f"pruner.gate_options.{name}={value or 'null'}" for name, value in (("examples", examples), ("draws", draws))
    ]
    run, neighbour = (
        run_of(*overrides, "model.hidden=[16]", *options, f"protocol.prior.std={std}") for std in (1, 0.1)
    )
    trainer = Trainer([neighbour, run], few_digits, CPU)
    _, row = trainer.run_epoch()
    assert row is not None
    assert row.pruned == 0
    decision, network = trainer.decisions[1], trainer.network(1)
    keep = masks(run, network, 0.001)
    weights = {name: network.parameters[name] for name in network.prunable}
    assert row.log_prior == pytest.approx(log_prior(weights.values(), run.protocol.prior).item())  # not the neighbour's
    after = dict(network.parameters) | {name: weights[name] * keep[name] for name in weights}
    logits = torch.func.functional_call(network.model, after, (few_digits.train.images,))
    likelihood = log_likelihood(logits.unsqueeze(0), few_digits.train.labels).item()
    images, names, stream = few_digits.train.images, network.prunable, generator(0, "Fisher information", 1)
    fisher = laplace.fisher_diagonal(network.model, network.parameters, images, names, examples, draws, stream)
    wanted = laplace.log_evidence_ratio(row.log_likelihood, likelihood, weights, keep, fisher, run.protocol.prior)
    assert decision.tested == pytest.approx(wanted, abs=1e-3)
    assert decision.log_likelihood == pytest.approx(likelihood, rel=1e-6)


def test_a_decision_is_that_of_the_last_epoch(few_digits: Dataset) -> None:
    """There is none where nothing was planned that the candidate's gate could decide about."""
    run = run_of(
        "model.hidden=[4]",
        "pruner=bayes_magnitude",
        "protocol.decision=candidate",
        "pruner.schedule=one_shot",
        "+pruner.schedule_options.epoch=1",
    )
    trainer, decided = Trainer([run], few_digits, CPU), []
    for _ in range(2):
        trainer.run_epoch()
        decided.append(list(trainer.decisions))
    assert decided == [[0], []]


def test_an_epochs_time_is_shared_among_the_members_of_its_stack(
    few_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch that takes six seconds by the clock, of three members."""
    trainer = Trainer([run_of("model.hidden=[4]", f"seed={seed}") for seed in range(3)], few_digits, CPU)
    times = iter([10.0])
    monkeypatch.setattr("bayes_pruning.training.trainer.time.perf_counter", lambda: next(times, 16.0))
    assert [row.seconds for row in trainer.run_epoch() if row] == [2.0] * 3


def test_a_schedule_sees_the_sparsity_and_may_take_another_one_than_it_asked_for_last(
    few_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each epoch computes three log-likelihoods: before pruning and at both sparsities, one of which is taken."""
    seen, passes, whole = [], list[int](), Evaluator.train_log_likelihoods

    def first_of_two(plan: Plan) -> float:
        seen.append(plan.current)
        for sparsity in (0.5, 0.9):
            plan.log_bayes_factor(sparsity)
        return 0.5

    def counted(evaluator: Evaluator, parameters: dict[str, torch.Tensor]) -> list[float]:
        passes.append(1)
        return whole(evaluator, parameters)

    monkeypatch.setitem(SCHEDULES.functions, "first_of_two", first_of_two)
    monkeypatch.setattr(Evaluator, "train_log_likelihoods", counted)
    own = ("pruner=magnitude", "pruner.schedule=first_of_two", "protocol.regrow=false", "model.hidden=[4]")
    [rows] = train([run_of(*own)], few_digits, 2)
    assert [row.sparsity for row in rows] == [0.5, 0.5]
    assert seen == [0, 0.5]
    assert len(passes) == 2 * 3


def test_a_new_gate_is_a_function(few_digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def every_other(seen: GateInput, start: int) -> bool:
        return (seen.epoch - start) % 2 == 0

    monkeypatch.setitem(GATES.functions, "every_other", every_other)
    [rows] = train(
        [run_of("pruner=magnitude", "pruner.gate=every_other", "+pruner.gate_options.start=2")], few_digits, 4
    )
    assert [row.pruned for row in rows] == [0, 1, 0, 1]
