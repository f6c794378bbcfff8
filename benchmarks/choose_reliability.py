"""Choose how far to believe the Fisher information (docs/bayesian_schedule.md, equation 3) without test images.

    python benchmarks/choose_reliability.py --data-root DATA dataset=mnist sparsity=0.99

The last 10,000 training images (of a small data set a fifth) are held out: networks are trained on the others and
evaluated on these. Prints the accuracy after pruning for each reliability, and how well the information of a weight at
one epoch predicts that of the same weight after the last. Seeds are others than those of the published schedules.
"""

import argparse
import sys

import checkout  # noqa: F401  (so that the package is found)
import torch
from setting import compose_config, run_values
from torch import Tensor

from bayes_pruning.config.schema import RunConfig, run_config
from bayes_pruning.data import datasets
from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.engine import device
from bayes_pruning.results.statistics import summarise
from bayes_pruning.script import run
from bayes_pruning.training.trainer import Trainer

HELD_OUT = 10_000  # images, or a fifth of a small data set
RELIABILITIES = (0.0, 0.25, 0.5, 1.0)
SEEDS = (5, 6, 7)
LOOKS = (2, 5, 10)  # epochs after which the information is compared with that after the last


def main() -> None:
    """Train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="data", help="folder with the data sets as torchvision lays them out")
    parser.add_argument("overrides", nargs="*", help="of conf/config.yaml, as train.py takes them")
    args = parser.parse_args()
    values = run_values(compose_config("pruner=gradual_evidence", *args.overrides))
    runs = [with_reliability(values, reliability, seed) for reliability in RELIABILITIES for seed in SEEDS]
    cpu = device.pick("cpu")
    data = without_test(datasets.load(runs[0].dataset, args.data_root, cpu))
    print(f"{len(data.train)} training images, {len(data.test)} of the training set held out, seeds {SEEDS}")
    trainer = Trainer(runs, data, cpu)
    accuracy, seen = trained(trainer)
    print("\n| reliability | accuracy | sd |\n|---:|---:|---:|")
    for i, reliability in enumerate(RELIABILITIES):
        summary = summarise(accuracy[i * len(SEEDS) : (i + 1) * len(SEEDS)])
        assert summary is not None
        print(f"| {reliability:g} | {summary.mean:.4f} | {summary.sd:.4f} |")
    print("\n| epoch | slope of log F after the last on log F now | correlation |\n|---:|---:|---:|")
    for epoch, slope, correlation in persistence(trainer, seen):
        print(f"| {epoch} | {slope:.2f} | {correlation:.2f} |")


def with_reliability(values: dict[str, object], reliability: float, seed: int) -> RunConfig:
    """Return the run that `values` describe, with another reliability and seed."""
    pruner = dict(values["pruner"])  # type: ignore[call-overload]  # a plain dict
    pruner["selector_options"] = {**pruner["selector_options"], "reliability": reliability}
    return run_config({**values, "pruner": pruner, "seed": seed})


def without_test(data: Dataset) -> Dataset:
    """Return the training images alone, the last of them as the test."""
    train = data.train
    kept = len(train) - min(HELD_OUT, len(train) // 5)
    first, last = (Split(train.images[rows], train.labels[rows]) for rows in (slice(kept), slice(kept, None)))
    return Dataset(first, last)


def trained(trainer: Trainer) -> tuple[list[float], dict[int, Tensor]]:
    """Return each member's last accuracy after pruning, and the first one's information at LOOKS and at the end."""
    epochs, seen = trainer.runs[0].epochs, dict[int, Tensor]()
    for epoch in range(1, epochs + 1):
        rows = trainer.run_epoch()
        if epoch in (*LOOKS, epochs):
            seen[epoch] = information(trainer)
        print(f"\repoch {epoch}/{epochs} of {len(rows)} runs", end="" if epoch < epochs else "\n", file=sys.stderr)
    return [row.pruned_test_accuracy for row in rows if row is not None], seen


def persistence(trainer: Trainer, seen: dict[int, Tensor]) -> list[tuple[int, float, float]]:
    """Return for each epoch of LOOKS slope and correlation of log F then and at the end, over the weights that stay."""
    *looks, (_, last) = seen.items()
    stay = torch.cat([trainer.network(0).parameters[name].flatten() for name in trainer.prunable]) != 0
    rows = []
    for epoch, now in looks:
        both = stay & (now > 0) & (last > 0)
        x, y = now[both].log(), last[both].log()
        covariance = torch.cov(torch.stack([x, y]))
        correlation = covariance[0, 1] / (covariance[0, 0] * covariance[1, 1]).sqrt()
        rows.append((epoch, float(covariance[0, 1] / covariance[0, 0]), float(correlation)))
    return rows


def information(trainer: Trainer) -> Tensor:
    """Return the Fisher information's diagonal of the first member, all prunable weights in a row."""
    fisher = trainer.network(0).fisher(draws=1)
    return torch.cat([fisher[name].flatten() for name in trainer.prunable])


if __name__ == "__main__":
    run(main)
