"""Compare numbers on a GPU with those on the CPU: steps, scores, gate decisions and metrics, bits that repeat.

    python benchmarks/check_gpu.py --data-root DATA                       FCN and CNN on MNIST, 3 epochs, fp32
    python benchmarks/check_gpu.py --data-root DATA --images 6000 --precision tf32
    python benchmarks/check_gpu.py --dataset mnist_5k --device cpu        rehearsal: the CPU against itself

The runs are the four methods of Table 1 at 90% and the unpruned network, with and without regrowth: each alone on the
CPU, all of them as one stack on the device. Training is chaotic: a sum added up in another order changes the last bit,
and after an epoch of 938 steps log-likelihoods differ by percents (on one CPU, too). So there are tight bounds where
nothing has had time to grow, and wide ones over whole epochs:

- ten steps: distance of the weights, relative to their change since the start;
- scores: log-likelihood, log-prior and correct answers of the CPU's own networks;
- epochs: no gate decides otherwise, and metrics stay within BOUNDS;
- deterministic=true: the same bits twice.

Exit status 1 if one of them fails; in tf32 the distances are shown, but only decisions and bits count.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from typing import Any

import checkout  # noqa: F401  (so that the package is found)
import torch
from setting import compose_config, part, run_values

from bayes_pruning.config.schema import ALWAYS, FULL, PRECISIONS, RunConfig, run_config
from bayes_pruning.data import datasets
from bayes_pruning.data.datasets import Dataset
from bayes_pruning.engine import device as devices
from bayes_pruning.script import run
from bayes_pruning.training.metrics import Metrics
from bayes_pruning.training.trainer import Trainer

PRUNERS = ("none", "random", "bayes_random", "magnitude", "bayes_magnitude")
STEPS = 10
STEPS_BOUND = 0.02  # Adam's first steps are as long whatever the gradient's size, so a rounded zero counts
SCORE_BOUND = 1e-5
CORRECT_BOUND = 3  # images
BOUNDS = {  # over epochs: about twice what another order of sums did on one CPU (docs/gpu.md)
    "test_accuracy": 0.006,
    "pruned_test_accuracy": 0.05,
    "train_loss": 0.05,
    "test_loss": 0.12,
    "pruned_test_loss": 0.2,
    "log_likelihood_before": 0.12,
    "log_likelihood": 0.2,
    "log_prior_before": 1e-4,
    "log_prior": 1e-4,
}


def worst(distances: Sequence[float]) -> float:
    """Return the largest; NaN, which max passes over, if one is not finite."""
    return max(distances) if all(map(math.isfinite, distances)) else math.nan


class Check:
    """Hold what the command asks for, and whether all went well so far."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.cpu, self.device = devices.pick("cpu"), devices.pick(arguments.device)
        self.well = True

    def line(self, name: str, distance: float, bound: float, counts: bool = True) -> None:
        """Show a distance beside its bound; NaN is outside."""
        inside = distance <= bound
        self.well &= inside or not counts
        print(f"  {name}: {distance:.2e} (bound {bound:g}){'' if inside else '  EXCEEDED'}", flush=True)

    def runs(self, model: str, kind: str) -> list[RunConfig]:
        """Return what is trained of one model."""
        runs = {}
        for pruner in PRUNERS:
            names = [f"dataset={self.arguments.dataset}", f"model={model}", f"pruner={pruner}"]
            values = run_values(compose_config(*names)) | {"precision": kind, "epochs": self.arguments.epochs}
            for regrow in (True, False):
                one = run_config(values | {"protocol": values["protocol"] | {"regrow": regrow}})
                runs[one.hash()] = one
        return list(runs.values())

    def data(self, device: torch.device, images: int) -> Dataset:
        """Return the data set, or its first images, on a device."""
        arguments = self.arguments
        config = compose_config(f"dataset={arguments.dataset}")
        return part(datasets.load(config.dataset, arguments.data_root, device), images)

    def trainer(
        self, runs: Sequence[RunConfig], device: torch.device, deterministic: bool = False, images: int = 0
    ) -> Any:
        """Return a stack before its first epoch."""
        devices.prepare(runs[0].precision, deterministic, device)
        return Trainer(runs, self.data(device, images or self.arguments.images), device, ALWAYS)

    def rows(self, trainer: Trainer) -> list[list[Metrics]]:
        """Return each member's epochs."""
        rows = [trainer.run_epoch() for _ in range(self.arguments.epochs)]
        if trainer.failures:
            sys.exit(f"failed on {trainer.device}: {trainer.failures}")
        return [[row for row in member if row] for member in zip(*rows, strict=True)]

    def steps(self, model: str) -> None:
        """Compare ten steps from the same weights."""
        weights = []
        for device, kind in ((self.cpu, FULL), (self.device, self.arguments.precision)):
            trainer = self.trainer(self.runs(model, kind)[:3], device, images=STEPS * 64)
            before = torch.cat([p.detach().flatten() for p in trainer.stack.parameters.values()]).cpu().double()
            trainer.epoch = 1
            trainer._train()
            weights.append(torch.cat([p.detach().flatten() for p in trainer.stack.parameters.values()]).cpu().double())
        distance = (weights[1] - weights[0]).norm() / (weights[0] - before).norm()
        self.line(f"weights after {STEPS} steps", distance.item(), STEPS_BOUND, self.arguments.precision == FULL)

    def epochs(self, model: str) -> None:
        """Compare whole epochs, and scores of the CPU's networks."""
        full = self.arguments.precision == FULL
        trainers = [self.trainer([one], self.cpu) for one in self.runs(model, FULL)]
        alone = [self.rows(trainer)[0] for trainer in trainers]
        trainer = self.trainer(self.runs(model, self.arguments.precision), self.device)
        together = self.rows(trainer)
        names = trainer.stack.parameters
        weights = {n: torch.cat([t.stack.parameters[n].detach() for t in trainers]).to(self.device) for n in names}
        everyone = range(len(trainers))
        scores = trainer._scores(weights, everyone, everyone)
        pairs = [
            (scores[i], t._scores({n: p.detach() for n, p in t.stack.parameters.items()}, [0], [0])[0])
            for i, t in enumerate(trainers)
        ]
        for name in ("train_log_likelihood", "test_log_likelihood", "log_prior"):
            values = [(getattr(a, name), getattr(b, name)) for a, b in pairs]
            distance = worst([abs(a / b - 1) for a, b in values])
            self.line(f"score of the same weights, {name}", distance, SCORE_BOUND, full)
        wrong = max(abs(a.test_correct - b.test_correct) for a, b in pairs)
        self.line("score of the same weights, test_correct", wrong, CORRECT_BOUND, full)
        both = [(a, b) for one, other in zip(alone, together, strict=True) for a, b in zip(one, other, strict=True)]
        differ = sum(a.pruned != b.pruned or a.sparsity != b.sparsity for a, b in both)
        self.line(f"decisions that differ, of {len(both)}", differ, 0)
        for name, bound in BOUNDS.items():
            values = [(getattr(a, name), getattr(b, name)) for a, b in both]
            distances = [abs(a - b) / (1 if name.endswith("accuracy") else abs(a)) for a, b in values]
            self.line(name, worst(distances), bound, full)

    def repeats(self, model: str) -> None:
        """Check that training gives the same bits twice."""
        results = []
        for _ in range(2):
            trainer = self.trainer(self.runs(model, self.arguments.precision), self.device, deterministic=True)
            rows = [[vars(row) | {"seconds": 0} for row in member] for member in self.rows(trainer)]
            results.append((rows, [p.detach().cpu() for p in trainer.stack.parameters.values()]))
        (rows, weights), (again, others) = results
        same = rows == again and all(map(torch.equal, weights, others))
        self.line("deterministic=true, runs that differ", 0 if same else 1, 0)


def main() -> None:
    """Check each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="data", help="where torchvision's files are")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--models", nargs="+", default=["fcn", "cnn"])
    parser.add_argument("--precision", choices=PRECISIONS, default=FULL)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=0, help="training images, 0: all")
    arguments = parser.parse_args()
    check = Check(arguments)
    for model in arguments.models:
        print(f"{model} on {arguments.dataset}, {arguments.precision}, {arguments.epochs} epochs", flush=True)
        check.steps(model)
        check.epochs(model)
        check.repeats(model)
    sys.exit(0 if check.well else 1)


if __name__ == "__main__":
    run(main)
