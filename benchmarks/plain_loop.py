"""Train by a plain PyTorch loop over images in memory: one network, torch's layers and optimiser, for bench_epoch.py.

It does the same work as a run of this project with one of the paper's methods (or none): train an epoch and evaluate
on the test images; where the method prunes, prune and evaluate again; where it asks for a Bayes factor, a log posterior
over the training images before pruning and one after.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.models import networks

EVALUATED = 1000  # images at once


@torch.no_grad()
def evaluate(model: nn.Module, split: Split) -> tuple[float, float]:
    """Return log-likelihood (nats) and correct answers over a split."""
    log_likelihood, correct = 0.0, 0.0
    for images, labels in zip(split.images.split(EVALUATED), split.labels.split(EVALUATED), strict=True):
        logits = model(images)
        log_likelihood -= F.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(1) == labels).sum().item()
    return log_likelihood, correct


@torch.no_grad()
def log_prior(weights: list[Tensor], std: float) -> float:
    """Return the log density of all weights under N(0, std^2)."""
    return sum(torch.distributions.Normal(0.0, std).log_prob(w).double().sum().item() for w in weights)


@torch.no_grad()
def prune(weights: list[Tensor], sparsity: float, selector: str) -> None:
    """Zero weights of each layer, the smallest or random ones."""
    for weight in weights:
        scores = weight.abs().flatten() if selector == "magnitude" else torch.rand(weight.numel())
        weight.view(-1)[scores.argsort()[: round(weight.numel() * sparsity)]] = 0.0


class PlainLoop:
    """Hold one run: a network, its optimiser, and the last log Bayes factor, which is the gate's.

    Args:
        config: as the command line composes it.
        data: in memory.
        fused: whether Adam is torch's fused one, which is not its default on a CPU.
    """

    def __init__(self, config: Any, data: Dataset, fused: bool | None = None) -> None:
        torch.manual_seed(config.seed)
        self.config, self.data = config, data
        self.model = networks.build(config.model, data.shape, 10, config.seed)
        self.weights = [parameter for parameter in self.model.parameters() if parameter.ndim > 1]
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, fused=fused)
        self.log_bayes_factor: float | None = None

    def epoch(self) -> None:
        """Train one epoch."""
        pruner, last = self.config.pruner, self.log_bayes_factor
        asks = pruner.gate == "bayes_factor"
        self.log_bayes_factor = 0.0
        train, test = self.data.train, self.data.test
        for index in torch.randperm(len(train)).split(self.config.batch_size):
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(train.images[index]), train.labels[index]).backward()
            self.optimizer.step()
        evaluate(self.model, test)
        if pruner.gate == "always" or (asks and (last is None or last > math.log(self.config.protocol.beta))):
            before = self._log_posterior() if asks else 0.0
            prune(self.weights, self.config.sparsity, pruner.selector)
            evaluate(self.model, test)
            after = self._log_posterior() if asks else 0.0
            self.log_bayes_factor = after - before

    def _log_posterior(self) -> float:
        return evaluate(self.model, self.data.train)[0] + log_prior(self.weights, self.config.protocol.prior.std)
