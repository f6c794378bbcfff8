"""The epoch of section 1.1 of the paper, for a stack of runs: train, evaluate, decide, prune, evaluate again."""

import itertools
import math
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from bayes_pruning.config import random_streams
from bayes_pruning.config.schema import ALWAYS, ASKED, RunConfig
from bayes_pruning.data.datasets import CLASSES, Dataset
from bayes_pruning.engine.adam import Parameters
from bayes_pruning.engine.resident_epoch import ResidentEpoch
from bayes_pruning.engine.stack import Stack, joined, selected
from bayes_pruning.models.networks import build
from bayes_pruning.pruning.decision import OPEN, Comparison, Decision, decide, log_ratio
from bayes_pruning.pruning.masks import ESTIMATES, GATES, Candidate, Evidence, masks
from bayes_pruning.pruning.network import Network
from bayes_pruning.pruning.posterior import scaled
from bayes_pruning.pruning.schedules import SCHEDULES, Plan
from bayes_pruning.training.evaluation import Evaluator, Score
from bayes_pruning.training.metrics import Metrics

TURN = 32  # steps that a member takes before the next one's turn, so that its weights stay in the cache

Terms = tuple[float | None, float]  # log-likelihood and log-prior, in nats


class Trainer:
    """A stack of runs, epoch by epoch.

    Args:
        runs: what each member is; they share dataset, model, batch size and learning rate.
        data: on `device`.
        device: where to train.
        log_evidence: "asked": the log-likelihood of the training images is computed only where a gate or a schedule
            reads it; "always": in every epoch, before and after pruning.

    Attributes:
        epoch: epochs done so far, the same for all members.
        decisions: of the last epoch, by member; only of gates that ask for evidence.
        failures: why a member can not go on, by index; its numbers are no longer reported.
    """

    def __init__(
        self, runs: Sequence[RunConfig], data: Dataset, device: torch.device, log_evidence: str = ASKED
    ) -> None:
        self.runs = list(runs)
        self.always_computes = log_evidence == ALWAYS
        self.data = data
        self.device = device
        networks = [build(run.model, data.shape, CLASSES, run.seed) for run in runs]
        self.stack = Stack(networks, runs[0].learning_rate, device)
        self.evaluator = Evaluator(self.stack, networks[0], data)
        self.prunable = self.evaluator.prunable
        self.weights = sum(self.stack.parameters[name][0].numel() for name in self.prunable)
        self.before: dict[int, Score] = {}  # of this epoch's networks before pruning, by member
        self.evidence: list[Comparison | None] = [None] * len(self.runs)
        self.decisions: dict[int, Decision] = {}
        self.epoch = 0
        self.failures: dict[int, str] = {}
        self.seeds = sorted({run.seed for run in self.runs})
        self.streams = [self.seeds.index(run.seed) for run in self.runs]  # of the seeds' data orders, each member's
        self.resident: ResidentEpoch | None = None
        if not self.stack.one_by_one:
            self.resident = ResidentEpoch(self.stack, data.train, runs[0].batch_size, self.streams)

    def run_epoch(self) -> list[Metrics | None]:
        """One epoch of every member; None for a member that failed, its reason in `failures`."""
        start = time.perf_counter()
        self.epoch += 1
        train_losses = self._train()
        for member, loss in enumerate(train_losses):
            if not math.isfinite(loss):
                self.failures.setdefault(member, f"the training loss became {loss} in epoch {self.epoch}")
        alive = [member for member in range(len(self.runs)) if member not in self.failures]
        self.before = self._scores(self.stack.members(alive), alive, alive if self.always_computes else ())
        after = self.before | self._prune()
        seconds = (time.perf_counter() - start) / len(self.runs)
        rows: list[Metrics | None] = [None] * len(self.runs)
        for member in alive:
            rows[member] = self._metrics(member, train_losses[member], self.before[member], after[member], seconds)
            self._fail_unless_finite(member, rows[member])
        return [None if member in self.failures else row for member, row in enumerate(rows)]

    def _train(self) -> list[float]:
        """One pass over the training images; the mean of each member's batch losses, in nats."""
        train, batch_size = self.data.train, self.runs[0].batch_size
        orders = torch.stack([random_streams.data_order(seed, self.epoch, len(train)) for seed in self.seeds])
        if self.resident is not None:
            return self.resident.run(orders).tolist()  # type: ignore[no-any-return]
        total = torch.zeros(len(self.runs), dtype=torch.float64)
        for members, order in zip(self._members_by_seed(), orders, strict=True):
            # Members take turns of some steps, on the same images.
            for number, turn in enumerate(order.to(self.device).split(TURN * batch_size)):
                images, labels = (t.index_select(0, turn).split(batch_size) for t in (train.images, train.labels))
                for member in members:
                    with self._draws(member, number):
                        losses = list(map(self.stack.step_of, itertools.repeat(member), images, labels))
                    total[member] += torch.stack(losses).double().sum().cpu()
        return (total / math.ceil(len(train) / batch_size)).tolist()  # type: ignore[no-any-return]

    def _draws(self, member: int, turn: int) -> AbstractContextManager[None]:
        """What a network draws while it trains, as dropout does, comes from the run's stream, whatever its company."""
        if self.stack.stackable:
            return nullcontext()  # none of the layers that layers.py knows draws
        return random_streams.torch_draws(self.device, self.runs[member].seed, "dropout", self.epoch, turn)

    def _members_by_seed(self) -> list[list[int]]:
        """The members of each of `seeds`: they see the same batches."""
        return [[m for m, stream in enumerate(self.streams) if stream == seed] for seed in range(len(self.seeds))]

    def _scores(self, parameters: Parameters, members: Sequence[int], asking: Collection[int]) -> dict[int, Score]:
        """Evaluate the networks in `parameters`, which belong to `members`; the likelihood of those that are asking."""
        found = self.evaluator.score(parameters, [self.runs[member].protocol.prior for member in members])
        scores = dict(zip(members, found, strict=True))
        places = [place for place, member in enumerate(members) if member in asking]
        if places:
            some = parameters if len(places) == len(members) else selected(parameters, places)
            likelihoods = self.evaluator.train_log_likelihoods(some)
            for place, likelihood in zip(places, likelihoods, strict=True):
                scores[members[place]] = replace(scores[members[place]], train_log_likelihood=likelihood)
        return scores

    def _ask(self, members: Sequence[int]) -> None:
        """Have the log-likelihoods of these members before pruning computed, unless they were in this epoch."""
        members = [member for member in members if self.before[member].train_log_likelihood is None]
        if members:
            likelihoods = self.evaluator.train_log_likelihoods(self.stack.members(members))
            for member, likelihood in zip(members, likelihoods, strict=True):
                self.before[member] = replace(self.before[member], train_log_likelihood=likelihood)

    def _prune(self) -> dict[int, Score]:
        """Lines 4 to 16 of Algorithms 2 and 3: prune the members whose gates open; their scores after pruning."""
        self.decisions = {}
        before, runs = self.before, self.runs
        open_gates = [m for m in before if runs[m].tries_candidate or self._gate_opens(m, self.evidence[m])]
        self._ask([member for member in open_gates if runs[member].asks_for_evidence])
        networks = {member: self.network(member) for member in open_gates}
        keeps: dict[int, Parameters] = {}
        scores: dict[int, Score] = {}
        for member, network in networks.items():
            keep, score = self._choose(member, network)
            keeps |= {} if keep is None else {member: keep}
            scores |= {} if score is None else {member: score}
        rest = [member for member in keeps if member not in scores]
        pruned = self._pruned([networks[member] for member in rest], [keeps[member] for member in rest])
        scores |= self._scores(pruned, rest, [m for m in rest if self.always_computes or runs[m].asks_for_evidence])
        for member, score in before.items():  # where nothing is pruned, the same network twice: a Bayes factor of 1
            terms = self._terms(member, score)
            self.evidence[member] = Comparison(self.epoch, *terms, *terms, tested=0.0)
        for member, keep in keeps.items():
            if runs[member].asks_for_evidence:
                comparison = self._comparison(member, scores[member], networks[member], keep)
                if runs[member].tries_candidate and not self._gate_opens(member, comparison):
                    del scores[member]
                    continue
                self.evidence[member] = comparison
            self.stack.replace(member, {name: networks[member].parameters[name] * keep[name] for name in keep})
            if not runs[member].protocol.regrow:
                self.stack.freeze_zeros(member, keep)
        return scores

    def network(self, member: int) -> Network:
        """A copy of one member as it is now, for what looks at a network alone."""
        run, train = self.runs[member], self.data.train
        parameters = {name: parameter[0] for name, parameter in self.stack.members([member]).items()}
        prunable = tuple(self.prunable)
        return Network(self.stack.model, parameters, prunable, train.images, train.labels, run.seed, self.epoch)

    def _choose(self, member: int, network: Network) -> tuple[Parameters | None, Score | None]:
        """What stays of a member under its schedule, None if it prunes nothing; its score, if that was asked for."""
        run = self.runs[member]
        scores: dict[float, Score] = {}

        def log_bayes_factor(sparsity: float) -> float:
            keep = masks(run, network, sparsity)
            self._ask([member])
            scores[sparsity] = self._scores(self._pruned([network], [keep]), [member], [member])[member]
            return self._comparison(member, scores[sparsity], network, keep).tested

        zeros = self.before[member].zeros / self.weights
        plan = Plan(self.epoch, run.epochs, run.sparsity, zeros, run.log_beta, log_bayes_factor)
        sparsity = SCHEDULES.find(run.pruner.schedule)(plan, **run.pruner.schedule_options)
        return (None, None) if sparsity is None else (masks(run, network, sparsity), scores.get(sparsity))

    @staticmethod
    def _pruned(networks: Sequence[Network], keeps: Sequence[Mapping[str, Tensor]]) -> Parameters:
        """Equation 1, w <- w * m, of several networks: each parameter [networks, ...]; empty for none."""
        if not networks:
            return {}
        return {
            name: joined(
                [
                    network.parameters[name] * keep[name] if name in keep else network.parameters[name]
                    for network, keep in zip(networks, keeps, strict=True)
                ]
            )
            for name in networks[0].parameters
        }

    def _comparison(self, member: int, after: Score, network: Network, keep: Mapping[str, Tensor]) -> Comparison:
        """The log Bayes factor of `network` after pruning to `keep` over that before, with its terms."""
        run, before = self.runs[member], self.before[member]
        assert before.train_log_likelihood is not None
        assert after.train_log_likelihood is not None
        terms_before, terms_after = self._terms(member, before), self._terms(member, after)
        if run.pruner.gate in ESTIMATES:
            likelihoods = before.train_log_likelihood, after.train_log_likelihood
            candidate = Candidate(network, keep, *likelihoods, run.protocol.prior)
            tested = ESTIMATES[run.pruner.gate](candidate, **run.pruner.gate_options)
        else:
            tested = log_ratio(_sum(terms_after), _sum(terms_before), run.protocol.ratio)
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

    def _terms(self, member: int, score: Score) -> Terms:
        """Log-likelihood (None if it was not computed) and log-prior under the member's protocol, in nats."""
        protocol, likelihood = self.runs[member].protocol, score.train_log_likelihood
        return (
            None if likelihood is None else scaled(likelihood, protocol.log_likelihood, len(self.data.train)),
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
            log_bayes_factor=0.0 if after is before else _difference(terms_after, terms_before),
            seconds=seconds,
        )

    def _fail_unless_finite(self, member: int, row: Metrics | None) -> None:
        for name, value in asdict(row).items() if row else ():
            if value is not None and not math.isfinite(value):
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


def _difference(after: Terms, before: Terms) -> float | None:
    """Log posterior after pruning minus before, in nats; None where a likelihood was not computed."""
    return None if None in (after[0], before[0]) else _sum(after) - _sum(before)


def _sum(terms: Terms) -> float:
    """The log posterior, in nats, up to the constant that both networks share."""
    likelihood, prior = terms
    assert likelihood is not None
    return likelihood + prior
