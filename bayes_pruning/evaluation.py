"""What a network is worth: its log-likelihood and correct answers over a split, its log-prior, its zeros."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bayes_pruning import capacity, models
from bayes_pruning.adam import Parameters
from bayes_pruning.config import Prior
from bayes_pruning.datasets import Dataset, Split
from bayes_pruning.posterior import log_likelihood, log_priors
from bayes_pruning.stack import Stack


@dataclass(frozen=True)
class Score:
    """One network on both splits: sums over all examples."""

    train_log_likelihood: float  # nats
    test_log_likelihood: float  # nats
    test_correct: int
    log_prior: float  # nats
    zeros: int  # zero weights among the prunable


class Evaluator:
    """Evaluates networks of a stack's kind.

    Args:
        stack: whose forward pass is used.
        network: one of its members.
        data: on the stack's device.
    """

    def __init__(self, stack: Stack, network: nn.Module, data: Dataset) -> None:
        self.stack, self.data = stack, data
        self.prunable = models.prunable(network)
        self.rows = capacity.evaluation_rows(capacity.footprint(network, data.shape), stack.device, stack.size)

    def score(self, parameters: Parameters, priors: Sequence[Prior]) -> list[Score]:
        """The networks in `parameters`, each tensor [networks, ...], under a prior for each."""
        if not priors:
            return []
        train, _ = self.sums(parameters, self.data.train)
        test, correct = self.sums(parameters, self.data.test)
        weights = [parameters[name] for name in self.prunable]
        zeros = torch.stack([(weight == 0).flatten(1).sum(1) for weight in weights]).sum(0)
        columns = (train, test, correct, log_priors(weights, priors), zeros)
        return [Score(*numbers) for numbers in zip(*(column.tolist() for column in columns), strict=True)]

    def sums(self, parameters: Parameters, split: Split) -> tuple[Tensor, Tensor]:
        """Log-likelihood (float64, nats) and correct answers (int64) of each network over a split: [networks].

        On the CPU one network after the other: its activations then stay in the cache.
        """
        networks = len(next(iter(parameters.values())))
        if self.stack.device.type != "cpu" or networks == 1:
            return self._pass(parameters, split)
        each = [self._pass({n: p[i : i + 1] for n, p in parameters.items()}, split) for i in range(networks)]
        return torch.cat([total for total, _ in each]), torch.cat([correct for _, correct in each])

    @torch.no_grad()
    def _pass(self, parameters: Parameters, split: Split) -> tuple[Tensor, Tensor]:
        """`sums` of all networks at once."""
        networks = len(next(iter(parameters.values())))
        total = torch.zeros(networks, dtype=torch.float64, device=self.stack.device)
        correct = torch.zeros(networks, dtype=torch.int64, device=self.stack.device)
        for images, labels in zip(split.images.split(self.rows), split.labels.split(self.rows), strict=True):
            logits = self.stack.forward(images.unsqueeze(0), parameters)
            total += log_likelihood(logits, labels)
            correct += (logits.argmax(dim=-1) == labels).sum(dim=1)
        return total, correct
