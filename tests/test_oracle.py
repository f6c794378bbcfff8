"""The engine against a plain PyTorch retelling of the paper (oracle.py), and against rows that real runs recorded.

Another machine sums float32 products in another order, and training carries the difference on. What was measured, with
torch's kernels for AVX2 and for no vectors at all, MKL's and oneDNN's for SSE 4, one thread and two: at most 4e-7 of a
loss or log-likelihood and 4e-11 of a log-prior where the retelling was recorded. The real runs were recorded by an
earlier engine and have ten times the steps: 7e-4 and 4e-8. The tolerances are seven times that or more. An accuracy may
differ by as many images as the loss could move.
"""

import json
from pathlib import Path
from typing import Any

import oracle
import pytest
import torch
from conftest import run_of
from fixtures import raw_rows
from omegaconf import OmegaConf

from bayes_pruning.config.schema import RunConfig, run_config
from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.training.trainer import Trainer

RETOLD, REAL = (5e-6, 1e-9, 1), (5e-3, 1e-6, 5)  # of a loss, of a log-prior, images
RECORDED = json.loads(oracle.RECORDED.read_text())["runs"]
COUNTS = ("epoch", "pruned")
EXACT = ("sparsity",)
ACCURACIES = ("test_accuracy", "pruned_test_accuracy")
PRIORS = ("log_prior_before", "log_prior")
REAL_RUNS = [  # of the fixture: unpruned, and each pruner; with every sparsity and seed
    "mnist_5k-fcn-none-seed0",
    "mnist_5k-fcn-magnitude-0.9-seed1",
    "mnist_5k-fcn-random-0.5-seed0",
    "mnist_5k-fcn-bayes_magnitude-0.9-seed0",
    "mnist_5k-fcn-bayes_random-0.5-seed1",
]


def check(
    found: Any, wanted: dict[str, float], images: int, weights: int, tolerance: tuple[float, float, int], where: str
) -> None:
    """Each number of a row that the engine computed, against the one that is wanted."""
    values, (loss, prior, answers) = vars(found), tolerance
    assert values["test_loss"] is not None
    for name, number in wanted.items():
        value = values[name]
        if value is None:  # evidence that nothing asked for
            continue
        said = f"{where}, epoch {wanted['epoch']:g}, {name}: {value} instead of {number}"
        if name in COUNTS:
            assert value == number, said
        elif name in ACCURACIES:
            assert abs(value - number) <= (answers + 0.01) / images, said
        elif name in PRIORS:
            assert value == pytest.approx(number, rel=prior), said
        elif name == "sparsity_before":  # regrown weights that are still zero: those whose gradient is exactly zero
            assert value == pytest.approx(number, abs=20 / weights), said
        elif name in EXACT and wanted["pruned"]:
            assert value == pytest.approx(number, abs=1e-12), said
        elif name == "log_bayes_factor":  # a difference of two sums
            assert value == pytest.approx(number, abs=loss * abs(wanted["log_likelihood"])), said
        elif name != "seconds":
            assert value == pytest.approx(number, rel=loss), said


def train(runs: list[RunConfig], data: Dataset, epochs: int) -> list[list[Any]]:
    """Rows of each run; trained as one stack."""
    trainer = Trainer(runs, data, torch.device("cpu"))
    by_epoch = [trainer.run_epoch() for _ in range(epochs)]
    assert not trainer.failures
    return [list(rows) for rows in zip(*by_epoch, strict=True)]


@pytest.fixture(scope="module")
def small(digits: Dataset) -> Dataset:
    """The images of the oracle."""
    train, test = digits.train, digits.test
    return Dataset(
        Split(train.images[: oracle.TRAIN], train.labels[: oracle.TRAIN]),
        Split(test.images[: oracle.TEST], test.labels[: oracle.TEST]),
    )


def company(case: oracle.Case) -> tuple[str, str, str, float]:
    """What the runs of a stack share."""
    return case.model, case.prunes, case.optimizer, case.momentum


@pytest.mark.parametrize("shared", sorted({company(case) for case in oracle.CASES.values()}))
def test_the_engine_gives_the_numbers_of_plain_pytorch(shared: tuple[str, ...], small: Dataset) -> None:
    """Both networks, Bayes and classic, kept and regrown, with biases, both optimisers, and a last batch in part."""
    cases = {name: case for name, case in oracle.CASES.items() if company(case) == shared}
    runs = [run_of(*case.overrides) for case in cases.values()]
    found = train(runs, small, runs[0].epochs)
    model = shared[0]
    weights = 784 * 256 + 256 * 128 + 128 * 10 if model == "fcn" else 9 * 32 + 9 * 32 * 64 + 3136 * 128 + 128 * 10
    for (name, case), rows in zip(cases.items(), found, strict=True):
        assert [row.pruned for row in rows] == case.opens
        for row, wanted in zip(rows, RECORDED[name], strict=True):
            check(row, wanted, oracle.TEST, weights, RETOLD, name)


def test_real_runs_come_out_as_they_were_recorded(folder: Path, digits: Dataset) -> None:
    """From their own config files, trained as one stack of different pruners, sparsities and seeds."""
    folders = [next(folder.glob(f"{name}-*")) for name in REAL_RUNS]
    runs = [run_config(OmegaConf.load(path / ".hydra" / "config.yaml")) for path in folders]
    assert [path.name.rpartition("-")[2] for path in folders] == [run.hash() for run in runs]
    for path, rows in zip(folders, train(runs, digits, 2), strict=True):
        for row, recorded in zip(rows, raw_rows(path), strict=False):
            wanted = {name: float(cell) for name, cell in recorded.items()}
            check(row, wanted, 1000, 234752, REAL, path.name)
