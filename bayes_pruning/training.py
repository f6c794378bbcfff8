"""The epoch of section 1.1 of the paper, for a stack of runs: train, evaluate, decide, prune, evaluate again."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from bayes_pruning import capacity, models, streams
from bayes_pruning.columns import Metrics
from bayes_pruning.config import RunConfig
from bayes_pruning.datasets import CLASSES, Dataset, Split
from bayes_pruning.decisions import Comparison, Decision, decide
from bayes_pruning.posterior import log_likelihood, log_prior, scaled
from bayes_pruning.pruning import GATES, SELECTORS, Evidence, Layer, keep_mask, pruned_count
from bayes_pruning.stack import Parameters, Stack


@dataclass(frozen=True)
class Score:
    """One network on both splits: sums over all examples."""

    train_log_likelihood: float  # nats
    test_log_likelihood: float  # nats
    test_correct: int
    log_prior: float  # nats
    zeros: int  # zero weights among the prunable


class Trainer:
    """A stack of runs, epoch by epoch.

    Args:
        runs: what each member is; they share dataset, model, batch size and learning rate.
        data: on `device`.
        device: where to train.

    Attributes:
        epoch: epochs done so far, the same for all members.
        decisions: of the last epoch, by member; only of gates that ask for evidence.
        failures: why a member can not go on, by index; its numbers are no longer reported.
    """

    def __init__(self, runs: Sequence[RunConfig], data: Dataset, device: torch.device) -> None:
        self.runs = list(runs)
        self.data = data
        self.device = device
        networks = [models.build(run.model, data.shape, CLASSES, run.seed) for run in runs]
        self.prunable = models.prunable(networks[0])
        self.rows = capacity.evaluation_rows(capacity.footprint(networks[0], data.shape))
        self.stack = Stack(networks, runs[0].learning_rate, device)
        self.weights = sum(self.stack.parameters[name][0].numel() for name in self.prunable)
        self.evidence: list[Comparison | None] = [None] * len(self.runs)
        self.decisions: dict[int, Decision] = {}
        self.epoch = 0
        self.failures: dict[int, str] = {}

    def run_epoch(self) -> list[Metrics | None]:
        """One epoch of every member; None for a member that failed, its reason in `failures`."""
        start = time.perf_counter()
        self.epoch += 1
        train_losses = self._train()
        for member, loss in enumerate(train_losses):
            if not math.isfinite(loss):
                self.failures.setdefault(member, f"the training loss became {loss} in epoch {self.epoch}")
        alive = [member for member in range(len(self.runs)) if member not in self.failures]
        before = dict(zip(alive, self._score(self.stack.members(alive), alive), strict=True))
        after = before | self._prune(before)
        seconds = (time.perf_counter() - start) / len(self.runs)
        rows: list[Metrics | None] = [None] * len(self.runs)
        for member in alive:
            rows[member] = self._metrics(member, train_losses[member], before[member], after[member], seconds)
            self._fail_unless_finite(member, rows[member])
        return [None if member in self.failures else row for member, row in enumerate(rows)]

    def _train(self) -> list[float]:
        """One pass over the training images; the mean of each member's batch losses, in nats."""
        train, batch_size = self.data.train, self.runs[0].batch_size
        seeds = sorted({run.seed for run in self.runs})
        orders = torch.stack([streams.data_order(seed, self.epoch, len(train)) for seed in seeds])
        if len(seeds) > 1:
            orders = orders[[seeds.index(run.seed) for run in self.runs]]
        batches = orders.to(self.device).split(batch_size, dim=1)
        total = torch.zeros(len(self.runs), dtype=torch.float64, device=self.device)
        for batch in batches:
            images = train.images.index_select(0, batch.flatten()).unflatten(0, batch.shape)
            total += self.stack.step(images, train.labels[batch])
        return (total / len(batches)).tolist()  # type: ignore[no-any-return]

    def _sums(self, parameters: Parameters, split: Split) -> tuple[Tensor, Tensor]:
        """Log-likelihood (float64, nats) and correct answers (int64) of each network over a split: [networks].

        On the CPU one network after the other: its activations then stay in the cache.
        """
        networks = len(next(iter(parameters.values())))
        if self.device.type != "cpu" or networks == 1:
            return self._pass(parameters, split)
        each = [self._pass({n: p[i : i + 1] for n, p in parameters.items()}, split) for i in range(networks)]
        return torch.cat([total for total, _ in each]), torch.cat([correct for _, correct in each])

    @torch.no_grad()
    def _pass(self, parameters: Parameters, split: Split) -> tuple[Tensor, Tensor]:
        """`_sums` of all networks at once."""
        networks = len(next(iter(parameters.values())))
        total = torch.zeros(networks, dtype=torch.float64, device=self.device)
        correct = torch.zeros(networks, dtype=torch.int64, device=self.device)
        for images, labels in zip(split.images.split(self.rows), split.labels.split(self.rows), strict=True):
            logits = self.stack.forward(images.unsqueeze(0), parameters)
            total += log_likelihood(logits, labels)
            correct += (logits.argmax(dim=-1) == labels).sum(dim=1)
        return total, correct

    def _score(self, parameters: Parameters, members: Sequence[int]) -> list[Score]:
        """Evaluate the networks in `parameters`, which belong to `members`."""
        if not members:
            return []
        train, _ = self._sums(parameters, self.data.train)
        test, correct = self._sums(parameters, self.data.test)
        weights = [parameters[name] for name in self.prunable]
        sums = zip(train.tolist(), test.tolist(), correct.tolist(), strict=True)
        return [
            Score(
                *numbers,
                log_prior=log_prior([weight[i] for weight in weights], self.runs[member].protocol.prior).item(),
                zeros=sum(int((weight[i] == 0).sum()) for weight in weights),
            )
            for i, (member, numbers) in enumerate(zip(members, sums, strict=True))
        ]

    def _prune(self, before: Mapping[int, Score]) -> dict[int, Score]:
        """Lines 4 to 16 of Algorithms 2 and 3: prune the members whose gates open; their scores after pruning."""
        self.decisions = {}
        tried = [m for m in before if self.runs[m].tries_candidate or self._gate_opens(m, self.evidence[m])]
        pruned = self.stack.members(tried)
        masks = [
            self._mask(member, {name: pruned[name][i] for name in self.prunable}) for i, member in enumerate(tried)
        ]
        for i, mask in enumerate(masks):
            for name, keep in mask.items():
                pruned[name][i] *= keep  # equation 1
        scores = dict(zip(tried, self._score(pruned, tried), strict=True))
        for member in before:  # where nothing is pruned, the same network twice: a Bayes factor of 1
            self.evidence[member] = self._comparison(member, before[member], before[member])
        for i, member in enumerate(tried):
            comparison = self._comparison(member, before[member], scores[member])
            if self.runs[member].tries_candidate and not self._gate_opens(member, comparison):
                del scores[member]
                continue
            self.evidence[member] = comparison
            self.stack.replace(member, {name: pruned[name][i] for name in self.prunable})
            if not self.runs[member].protocol.regrow:
                self.stack.freeze_zeros(member, masks[i])
        return scores

    def _comparison(self, member: int, before: Score, after: Score) -> Comparison:
        """The log Bayes factor of this epoch's network after pruning over that before, with its terms."""
        terms_before, terms_after = self._terms(member, before), self._terms(member, after)
        return Comparison(self.epoch, *terms_before, *terms_after, tested=sum(terms_after) - sum(terms_before))

    def _gate_opens(self, member: int, evidence: Comparison | None) -> bool:
        """What the gate says; its decision goes into the ledger if it asks for evidence."""
        run = self.runs[member]
        tested = evidence.tested if evidence else None
        seen = Evidence(self.epoch, run.epochs, tested, run.log_beta, run.seed)
        opens = bool(GATES.find(run.pruner.gate)(seen, **run.pruner.gate_options))
        if run.asks_for_evidence:
            self.decisions[member] = decide(self.epoch, opens, run.log_beta, evidence)
        return opens

    def _mask(self, member: int, weights: Parameters) -> Parameters:
        """True where a weight of this member stays, by layer."""
        run = self.runs[member]
        selector = SELECTORS.find(run.pruner.selector)
        masks = {}
        for name, weight in weights.items():
            score = selector(Layer(name, weight, run.seed, self.epoch), **run.pruner.selector_options)
            masks[name] = keep_mask(score, pruned_count(weight.numel(), run.sparsity))
        return masks

    def _terms(self, member: int, score: Score) -> tuple[float, float]:
        """Log-likelihood and log-prior under the member's protocol, in nats."""
        protocol = self.runs[member].protocol
        return (
            scaled(score.train_log_likelihood, protocol.log_likelihood, len(self.data.train)),
            scaled(score.log_prior, protocol.log_prior, self.weights),
        )

    def _metrics(self, member: int, train_loss: float, before: Score, after: Score, seconds: float) -> Metrics:
        tests = len(self.data.test)
        terms_before, terms_after = self._terms(member, before), self._terms(member, after)
        return Metrics(
            epoch=self.epoch,
            train_loss=train_loss,
            test_loss=-before.test_log_likelihood / tests,
            test_accuracy=before.test_correct / tests,
            pruned_test_loss=-after.test_log_likelihood / tests,
            pruned_test_accuracy=after.test_correct / tests,
            sparsity_before=before.zeros / self.weights,
            sparsity=after.zeros / self.weights,
            pruned=int(after is not before),
            log_likelihood_before=terms_before[0],
            log_prior_before=terms_before[1],
            log_likelihood=terms_after[0],
            log_prior=terms_after[1],
            log_bayes_factor=sum(terms_after) - sum(terms_before),
            seconds=seconds,
        )

    def _fail_unless_finite(self, member: int, row: Metrics | None) -> None:
        for name, value in asdict(row).items() if row else ():
            if not math.isfinite(value):
                self.failures.setdefault(member, f"{name} became {value} in epoch {self.epoch}")

    def state(self, member: int) -> dict[str, Any]:
        """All that a run needs to go on: tensors, the epoch (which is every random stream's position), the gate's."""
        return {
            "epoch": self.epoch,
            "seed": self.runs[member].seed,
            "evidence": vars(self.evidence[member]) if self.evidence[member] else None,
            **self.stack.state(member),
        }

    def load_state(self, member: int, state: Mapping[str, Any]) -> None:
        """Continue a member from `state`; all members of a stack must be at the same epoch."""
        self.epoch = state["epoch"]
        self.evidence[member] = Comparison(**state["evidence"]) if state["evidence"] else None
        steps = self.epoch * math.ceil(len(self.data.train) / self.runs[member].batch_size)
        self.stack.load_state(member, state, steps)
