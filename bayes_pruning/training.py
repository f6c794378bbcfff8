"""The epoch of section 1.1 of the paper, for a stack of runs: train, evaluate, decide, prune, evaluate again."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from bayes_pruning import models, precision, streams
from bayes_pruning.adam import Parameters
from bayes_pruning.columns import Metrics
from bayes_pruning.config import RunConfig
from bayes_pruning.datasets import CLASSES, Dataset
from bayes_pruning.decisions import OPEN, Comparison, Decision, decide, log_ratio
from bayes_pruning.evaluation import Evaluator, Score
from bayes_pruning.network import Network
from bayes_pruning.posterior import scaled
from bayes_pruning.pruning import ESTIMATES, GATES, Candidate, Evidence, masks
from bayes_pruning.schedules import SCHEDULES, Plan
from bayes_pruning.stack import Stack
from bayes_pruning.steps import ResidentEpoch


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
        choices: how convolutions were found to be fastest, a line each; none on a CPU.
    """

    def __init__(self, runs: Sequence[RunConfig], data: Dataset, device: torch.device) -> None:
        self.runs = list(runs)
        self.data = data
        self.device = device
        networks = [models.build(run.model, data.shape, CLASSES, run.seed) for run in runs]
        self.stack = Stack(networks, runs[0].learning_rate, device, runs[0].precision)
        self.evaluator = Evaluator(self.stack, networks[0], data)
        self.prunable = self.evaluator.prunable
        self.weights = sum(self.stack.parameters[name][0].numel() for name in self.prunable)
        self.evidence: list[Comparison | None] = [None] * len(self.runs)
        self.decisions: dict[int, Decision] = {}
        self.epoch = 0
        self.failures: dict[int, str] = {}
        self.seeds = sorted({run.seed for run in self.runs})
        self.streams = [self.seeds.index(run.seed) for run in self.runs]  # of the seeds' data orders, each member's
        self.resident: ResidentEpoch | None = None
        self.choices: list[str] = []
        if device.type == "cuda":
            self.resident = ResidentEpoch(self.stack, data.train, runs[0].batch_size, self.streams)
            if not precision.is_deterministic():  # another choice would be other bits
                self.choices = self._choose_convolutions(self.resident)

    def _choose_convolutions(self, resident: ResidentEpoch) -> list[str]:
        images, _ = resident.batch(min(self.runs[0].batch_size, len(self.data.train)))
        with torch.no_grad():
            rows = self.data.train.images[: self.evaluator.rows].unsqueeze(0)
            evaluating = self.stack.choose_convolutions(rows)
        found = [*self.stack.choose_convolutions(images), *evaluating]
        torch.cuda.empty_cache()
        return found

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
        orders = torch.stack([streams.data_order(seed, self.epoch, len(train)) for seed in self.seeds])
        if self.resident is not None:
            return self.resident.run(orders).tolist()  # type: ignore[no-any-return]
        if len(self.seeds) > 1:
            orders = orders[self.streams]
        batches = orders.to(self.device).split(batch_size, dim=1)
        total = torch.zeros(len(self.runs), dtype=torch.float64, device=self.device)
        for batch in batches:
            images = train.images.index_select(0, batch.flatten()).unflatten(0, batch.shape)
            total += self.stack.step(images, train.labels[batch])
        return (total / len(batches)).tolist()  # type: ignore[no-any-return]

    def _score(self, parameters: Parameters, members: Sequence[int]) -> list[Score]:
        """Evaluate the networks in `parameters`, which belong to `members`."""
        return self.evaluator.score(parameters, [self.runs[member].protocol.prior for member in members])

    def _prune(self, before: Mapping[int, Score]) -> dict[int, Score]:
        """Lines 4 to 16 of Algorithms 2 and 3: prune the members whose gates open; their scores after pruning."""
        self.decisions = {}
        open_gates = [m for m in before if self.runs[m].tries_candidate or self._gate_opens(m, self.evidence[m])]
        networks = {member: self.network(member) for member in open_gates}
        keeps: dict[int, Parameters] = {}
        scores: dict[int, Score] = {}
        for member, network in networks.items():
            keep, score = self._choose(member, network, before[member])
            keeps |= {} if keep is None else {member: keep}
            scores |= {} if score is None else {member: score}
        rest = [member for member in keeps if member not in scores]
        pruned = self._pruned([networks[member] for member in rest], [keeps[member] for member in rest])
        scores |= dict(zip(rest, self._score(pruned, rest), strict=True))
        for member in before:  # where nothing is pruned, the same network twice: a Bayes factor of 1
            self.evidence[member] = self._comparison(member, before[member], before[member])
        for member, keep in keeps.items():
            comparison = self._comparison(member, before[member], scores[member], networks[member], keep)
            if self.runs[member].tries_candidate and not self._gate_opens(member, comparison):
                del scores[member]
                continue
            self.evidence[member] = comparison
            self.stack.replace(member, {name: networks[member].parameters[name] * keep[name] for name in keep})
            if not self.runs[member].protocol.regrow:
                self.stack.freeze_zeros(member, keep)
        return scores

    def network(self, member: int) -> Network:
        """A copy of one member as it is now, for what looks at a network alone."""
        run, train = self.runs[member], self.data.train
        parameters = {name: parameter[0] for name, parameter in self.stack.members([member]).items()}
        prunable = tuple(self.prunable)
        return Network(self.stack.model, parameters, prunable, train.images, train.labels, run.seed, self.epoch)

    def _choose(self, member: int, network: Network, before: Score) -> tuple[Parameters | None, Score | None]:
        """What stays of a member under its schedule, None if it prunes nothing; its score, if that was asked for."""
        run = self.runs[member]
        scores: dict[float, Score] = {}

        def log_bayes_factor(sparsity: float) -> float:
            keep = masks(run, network, sparsity)
            [scores[sparsity]] = self._score(self._pruned([network], [keep]), [member])
            return self._comparison(member, before, scores[sparsity], network, keep).tested

        plan = Plan(self.epoch, run.epochs, run.sparsity, before.zeros / self.weights, run.log_beta, log_bayes_factor)
        sparsity = SCHEDULES.find(run.pruner.schedule)(plan, **run.pruner.schedule_options)
        return (None, None) if sparsity is None else (masks(run, network, sparsity), scores.get(sparsity))

    @staticmethod
    def _pruned(networks: Sequence[Network], keeps: Sequence[Mapping[str, Tensor]]) -> Parameters:
        """Equation 1, w <- w * m, of several networks: each parameter [networks, ...]; empty for none."""
        if not networks:
            return {}
        return {
            name: torch.stack(
                [
                    network.parameters[name] * keep[name] if name in keep else network.parameters[name]
                    for network, keep in zip(networks, keeps, strict=True)
                ]
            )
            for name in networks[0].parameters
        }

    def _comparison(
        self,
        member: int,
        before: Score,
        after: Score,
        network: Network | None = None,
        keep: Mapping[str, Tensor] | None = None,
    ) -> Comparison:
        """The log Bayes factor of `network` after pruning to `keep` over that before, with its terms."""
        run, terms_before, terms_after = self.runs[member], self._terms(member, before), self._terms(member, after)
        tested = log_ratio(sum(terms_after), sum(terms_before), run.protocol.ratio)
        if network is not None and keep is not None and run.pruner.gate in ESTIMATES:
            likelihoods = before.train_log_likelihood, after.train_log_likelihood
            candidate = Candidate(network, keep, *likelihoods, run.protocol.prior)
            tested = ESTIMATES[run.pruner.gate](candidate, **run.pruner.gate_options)
        return Comparison(self.epoch, *terms_before, *terms_after, tested=tested)

    def _gate_opens(self, member: int, evidence: Comparison | None) -> bool:
        """What the gate says; its decision goes into the ledger if it asks for evidence."""
        run = self.runs[member]
        tested = evidence.tested if evidence else None
        seen = Evidence(self.epoch, run.epochs, tested, run.log_beta, run.seed, run.protocol.first_gate == OPEN)
        opens = bool(GATES.find(run.pruner.gate)(seen, **run.pruner.gate_options))
        if run.asks_for_evidence:
            self.decisions[member] = decide(self.epoch, opens, run.log_beta, evidence)
        return opens

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
