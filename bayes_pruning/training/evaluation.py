"""What a network is worth: its log-likelihood and correct answers over a split, its log-prior, its zeros."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bayes_pruning.config.schema import Prior
from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.engine import capacity, device
from bayes_pruning.engine.optimizers import Parameters
from bayes_pruning.engine.stack import Stack
from bayes_pruning.models.networks import prunable
from bayes_pruning.pruning.posterior import log_likelihood, log_priors


@dataclass(frozen=True)
class Score:
    """One network: sums over all examples of a split."""

    test_log_likelihood: float  # nats
    test_correct: int
    log_prior: float  # nats
    zeros: int  # zero weights among the prunable
    train_log_likelihood: float | None = None  # nats; None: not computed, because nothing asked for it


class Evaluator:
    """Evaluates networks of a stack's kind.

    Args:
        stack: whose forward pass is used.
        network: one of its members.
        data: on the stack's device.
        prunes: of the members' protocol, which their prior and zeros are over.
    """

    def __init__(self, stack: Stack, network: nn.Module, data: Dataset, prunes: str) -> None:
        self.stack, self.data = stack, data
        self.prunable = prunable(network, prunes)
        self.rows = capacity.evaluation_rows(capacity.footprint(network, data.shape), stack.device, stack.size)

    def score(self, parameters: Parameters, priors: Sequence[Prior]) -> list[Score]:
        """Return the networks' scores on the test split, each under its prior; `parameters` are [networks, ...]."""
        if not priors:
            return []
        test, correct = self.sums(parameters, self.data.test)
        weights = [parameters[name] for name in self.prunable]
        zeros = torch.stack([(weight == 0).flatten(1).sum(1) for weight in weights]).sum(0)
        columns = (test, correct, log_priors(weights, priors), zeros)
        return [Score(*numbers) for numbers in zip(*(column.tolist() for column in columns), strict=True)]

    def train_log_likelihoods(self, parameters: Parameters) -> list[float]:
        """Return log p(D | w) of each network in `parameters` over the training images, in nats."""
        total, _ = self.sums(parameters, self.data.train)
        return total.tolist()

    def sums(self, parameters: Parameters, split: Split) -> tuple[Tensor, Tensor]:
        """Return each network's log-likelihood (float64, nats) and correct answers (int64) over a split: [networks].

        On a CPU one network after the other, its batches dealt to as many threads as there are cores to use.
        """
        if self.stack.device.type != "cpu":
            return self._added(map(partial(self._batch, parameters), self._batches(split)))
        each = []
        for i in range(len(next(iter(parameters.values())))):
            network = {name: p[i : i + 1] for name, p in parameters.items()}
            each.append(self._added(device.on_all_cores(partial(self._batch, network), self._batches(split))))
        return torch.cat([total for total, _ in each]), torch.cat([correct for _, correct in each])

    def _batches(self, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(split.images.split(self.rows), split.labels.split(self.rows), strict=True)

    @staticmethod
    def _added(parts: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return the sums over the batches, in their order: [networks]."""
        total, correct = next(parts)
        for more, also in parts:
            total, correct = total + more, correct + also
        return total, correct

    @torch.no_grad()
    def _batch(self, parameters: Parameters, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return `sums` of all networks at once, over one batch."""
        images, labels = batch
        logits = self.stack.forward(images.unsqueeze(0), parameters)
        return log_likelihood(logits, labels), (logits.argmax(dim=-1) == labels).sum(dim=1)
