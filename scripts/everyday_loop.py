"""The loop that everybody writes, for comparison: torchvision data set, transforms, DataLoader, one run at a time.

It does the same work as a Bayes-magnitude run of this project: train an epoch, evaluate on the test images, log
posterior over the training images, prune, and both again. As a Hydra program it is the sweep that people start:

    python scripts/everyday_loop.py -m hydra/launcher=basic seed='range(0,20)' epochs=2
"""

import math
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

import hydra
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from bayes_pruning import device as devices
from bayes_pruning import models
from bayes_pruning.paths import conf_dir

Batches = Callable[[bool, bool], Iterable[tuple[Tensor, Tensor]]]  # (train split, shuffled) -> batches


def loaders(config: Any, workers: int) -> Batches:
    """DataLoaders over torchvision's data set with ToTensor and Normalize; the everyday way to feed a network."""
    steps = [transforms.ToTensor(), transforms.Normalize(tuple(config.dataset.mean), tuple(config.dataset.std))]
    classes = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}
    splits = {
        train: classes[config.dataset.name](config.data_root, train=train, transform=transforms.Compose(steps))
        for train in (True, False)
    }

    def batches(train: bool, shuffled: bool) -> Iterable[tuple[Tensor, Tensor]]:
        size = config.batch_size if shuffled else 1000
        return DataLoader(splits[train], batch_size=size, shuffle=shuffled, num_workers=workers)

    return batches


def resident(images: dict[bool, Tensor], labels: dict[bool, Tensor], batch_size: int) -> Batches:
    """The same batches from normalised tensors in memory."""

    def batches(train: bool, shuffled: bool) -> Iterable[tuple[Tensor, Tensor]]:
        if shuffled:
            for index in torch.randperm(len(labels[train])).split(batch_size):
                yield images[train][index], labels[train][index]
        else:
            yield from zip(images[train].split(1000), labels[train].split(1000), strict=True)

    return batches


def moved(batches: Batches, device: torch.device) -> Batches:
    """The same batches, each brought to `device` when its turn comes."""

    def on_device(train: bool, shuffled: bool) -> Iterable[tuple[Tensor, Tensor]]:
        for images, labels in batches(train, shuffled):
            yield images.to(device), labels.to(device)

    return on_device


@torch.no_grad()
def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Log-likelihood (nats) and correct answers over a split."""
    log_likelihood, correct = 0.0, 0.0
    for images, labels in batches:
        logits = model(images)
        log_likelihood -= F.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(1) == labels).sum().item()
    return log_likelihood, correct


@torch.no_grad()
def log_prior(weights: list[Tensor], std: float) -> float:
    """Log density of all weights under N(0, std^2)."""
    return sum(torch.distributions.Normal(0.0, std).log_prob(w).double().sum().item() for w in weights)


@torch.no_grad()
def prune_smallest(weights: list[Tensor], sparsity: float) -> None:
    """Zero the smallest weights of each layer."""
    for weight in weights:
        count = round(weight.numel() * sparsity)
        weight.view(-1)[weight.abs().flatten().argsort()[:count]] = 0.0


def epoch(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches, sparsity: float) -> float:
    """One Bayes-magnitude epoch; its log Bayes factor."""
    for images, labels in batches(True, True):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    posteriors = []
    for stage in ("before", "after"):
        if stage == "after":
            prune_smallest(weights, sparsity)
        evaluate(model, batches(False, False))
        posteriors.append(evaluate(model, batches(True, False))[0] + log_prior(weights, 1.0))
    return posteriors[1] - posteriors[0]


def train(config: Any, batches: Batches, shape: tuple[int, ...], device: torch.device | None = None) -> list[float]:
    """A run, by default on the CPU; the seconds of each epoch."""
    torch.manual_seed(config.seed)
    model = models.build(config.model, shape, 10, config.seed)
    if device is not None:
        model, batches = model.to(device), moved(batches, device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    seconds = []
    for _ in range(config.epochs):
        start = time.perf_counter()
        factor = epoch(model, optimizer, batches, config.sparsity)
        assert math.isfinite(factor)
        seconds.append(time.perf_counter() - start)
    return seconds


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def main(config: DictConfig) -> None:
    """One run of a sweep."""
    shape = (3, 32, 32) if config.dataset.name == "cifar10" else (1, 28, 28)
    seconds = train(config, loaders(config, workers=0), shape, devices.pick(config.device))
    print(f"seed {config.seed}: {sum(seconds) / len(seconds):.2f} seconds an epoch")


if __name__ == "__main__":
    main()
