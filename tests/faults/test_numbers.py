"""Test numbers at their ends: diverging runs, all-zero layers, single weights, huge Bayes factors, long sums."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, run_of
from scipy.special import log_softmax

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.schema import Prior
from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.pruning.posterior import log_prior
from bayes_pruning.results import run_records
from bayes_pruning.training.metrics import Metrics
from bayes_pruning.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = ("model.hidden=[8]", "batch_size=100")
READINGS = ("true", "false")


def trained(data: Dataset, epochs: int, *overrides: str) -> tuple[Trainer, list[Metrics]]:
    trainer = Trainer([run_of(*overrides)], data, CPU, "always")
    rows = [trainer.run_epoch()[0] for _ in range(epochs)]
    assert not trainer.failures
    return trainer, [row for row in rows if row is not None]


def weights_of(trainer: Trainer) -> list[torch.Tensor]:
    return [trainer.stack.parameters[name].detach()[0] for name in trainer.prunable]


@pytest.mark.usefixtures("digits_only")
@pytest.mark.parametrize(
    ("extreme", "reason"),
    [
        ("learning_rate=1e30", "the training loss became nan in epoch 1"),
        ("learning_rate=1e37", "the training loss became nan in epoch 1"),
        ("protocol.prior.std=1e-200", "log_prior_before became -inf in epoch 1"),
        ("protocol.prior.mean=1e300", "log_prior_before became -inf in epoch 1"),
    ],
)
def test_numbers_that_are_not_finite_end_the_run_with_a_reason(
    extreme: str,
    reason: str,
    command: Callable[..., tuple[Any, str]],
    tmp_path: Path,
) -> None:
    for _ in range(2):  # a second start finds the same
        code, _ = command("dataset=mnist_5k", *SMALL, *QUIET, "epochs=2", extreme, f"output_dir={tmp_path}")
        [folder] = tmp_path.glob("mnist_5k-*")
        assert code == f"{folder} failed: {reason}."
        assert json.loads((folder / "failure.json").read_text()) == {"epoch": 1, "reason": reason}
        assert run_records.read_metrics(folder / "metrics.csv") == []
        assert not (folder / "summary.json").exists()


def test_the_widest_prior_is_flat(few_digits: Dataset) -> None:
    _, [row] = trained(few_digits, 1, *SMALL, "pruner=magnitude", "protocol.prior.std=1e37")
    assert row.log_bayes_factor == pytest.approx(row.log_likelihood - row.log_likelihood_before)
    weights = 784 * 8 + 8 * 10
    assert row.log_prior == pytest.approx(-weights * (37 * math.log(10) + 0.5 * math.log(2 * math.pi)))


@pytest.mark.parametrize("field", ["learning_rate", "protocol.beta", "protocol.prior.std"])
def test_numbers_beyond_float32_are_refused(field: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"{field}=1e\+300 is not accepted: {field} takes a number above 0, up to 1e\+37"
    ):
        run_of(f"{field}=1e300")


@pytest.mark.parametrize("regrow", READINGS)
@pytest.mark.parametrize("pruner", ["magnitude", "random"])
def test_a_network_without_weights_predicts_by_its_last_bias(pruner: str, regrow: str, few_digits: Dataset) -> None:
    """Work out the posterior at sparsity 1.0 by hand: constant logits, and every weight at zero under N(0, 1)."""
    overrides = (f"pruner={pruner}", "sparsity=1.0", f"protocol.regrow={regrow}")
    trainer, rows = trained(few_digits, 3, *SMALL, *overrides)
    assert all(not weight.any() for weight in weights_of(trainer))
    [last] = [p.detach()[0] for name, p in trainer.stack.parameters.items() if p[0].shape == (10,)]
    expected = log_softmax(last.double().numpy())[few_digits.train.labels.numpy()].sum()
    assert rows[-1].log_likelihood == pytest.approx(expected, rel=1e-6)
    assert rows[-1].log_prior == pytest.approx(-(784 * 8 + 80) * 0.5 * math.log(2 * math.pi), rel=1e-12)
    assert rows[-1].sparsity == 1.0
    assert rows[-1].sparsity_before == (0.0 if regrow == "true" else 1.0)


@pytest.mark.parametrize("pruner", ["magnitude", "random"])
def test_sparsity_zero_changes_nothing(pruner: str, few_digits: Dataset) -> None:
    pruned, rows = trained(few_digits, 2, *SMALL, f"pruner={pruner}", "sparsity=0.0")
    unpruned, _ = trained(few_digits, 2, *SMALL, "pruner=none")
    assert all(torch.equal(a, b) for a, b in zip(weights_of(pruned), weights_of(unpruned), strict=True))
    assert [(row.pruned, row.sparsity, row.log_bayes_factor) for row in rows] == [(1, 0.0, 0.0)] * 2


@pytest.mark.parametrize(("sparsity", "zeros"), [("0.0", 0), ("0.49", 0), ("0.5", 0), ("0.51", 1), ("1.0", 1)])
@pytest.mark.parametrize("regrow", READINGS)
@pytest.mark.parametrize("pruner", ["bayes_magnitude", "random"])
def test_a_layer_of_one_weight(sparsity: str, zeros: int, pruner: str, regrow: str, few_digits: Dataset) -> None:
    """Prune round(1 * r), half to even, of the middle layer's only weight."""
    overrides = (f"pruner={pruner}", f"sparsity={sparsity}", f"protocol.regrow={regrow}")
    trainer, rows = trained(few_digits, 1, "model.hidden=[1,1]", *overrides)
    found = [int((weight == 0).sum()) for weight in weights_of(trainer)]
    assert found == [round(784 * float(sparsity)), zeros, round(10 * float(sparsity))]
    assert all(map(math.isfinite, vars(rows[0]).values()))


def test_log_bayes_factors_beyond_a_million_are_finite_and_decide(few_digits: Dataset) -> None:
    """Use a narrow prior far from zero; the gate follows the sign of the last factor, as ever."""
    factors = []
    for mean in ("1000", "-1000"):
        overrides = ("pruner=bayes_magnitude", f"protocol.prior.mean={mean}", "protocol.prior.std=0.01")
        _, rows = trained(few_digits, 4, *SMALL, *overrides)
        assert rows[0].pruned
        for last, row in pairwise(rows):
            assert row.pruned == (last.log_bayes_factor > math.log(0.5))
        factors += [row.log_bayes_factor for row in rows if row.pruned]
    assert min(factors) < -1e6
    assert max(factors) > 1e6
    assert all(map(math.isfinite, factors))


def test_the_log_prior_of_a_million_weights_is_right_to_the_last_digits() -> None:
    weights = torch.randn(1000, 1000, generator=torch.Generator().manual_seed(0))
    prior = Prior(1000.0, 0.01)
    squares = math.fsum((w - prior.mean) ** 2 for w in weights.double().flatten().tolist())
    expected = -squares / (2 * prior.std**2) - 1e6 * (math.log(prior.std) + 0.5 * math.log(2 * math.pi))
    assert log_prior([weights], prior).item() == pytest.approx(expected, rel=1e-13)


def test_the_log_likelihood_of_60000_images_is_summed_in_float64() -> None:
    """Compare with an exact sum (fsum) of scipy's log softmax; float32 would miss by 1e-8 and more."""
    generator = torch.Generator().manual_seed(0)
    images = 100 * torch.randn(60_000, 1, 2, 2, generator=generator)
    labels = torch.randint(0, 10, (60_000,), generator=generator)
    data = Dataset(Split(images, labels), Split(images[:100], labels[:100]))
    trainer, [row] = trained(data, 1, "model.hidden=[4]", "batch_size=10000", "pruner=none")
    parameters = {name: parameter.detach() for name, parameter in trainer.stack.parameters.items()}
    logits = trainer.stack.forward(images.unsqueeze(0), parameters)[0]
    each = log_softmax(logits.double().numpy(), axis=1)[range(60_000), labels.numpy()]
    assert math.fsum(each) < -1e6
    assert row.log_likelihood_before == pytest.approx(math.fsum(each), rel=1e-11)
