"""The epoch of section 1.1 of the paper, for a stack of runs: train, evaluate, decide, prune, evaluate again."""

import itertools
import math
import time
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from bayes_pruning.config import random_streams
from bayes_pruning.config.errors import UserError
from bayes_pruning.config.schema import ALWAYS, ASKED, SGD, RunConfig
from bayes_pruning.data.datasets import CLASSES, Dataset
from bayes_pruning.engine.optimizers import Parameters
from bayes_pruning.engine.resident_epoch import ResidentEpoch
from bayes_pruning.engine.stack import Stack, joined, selected
from bayes_pruning.models.networks import build
from bayes_pruning.pruning import decision, masks
from bayes_pruning.pruning.gates import Candidate
from bayes_pruning.pruning.network import Network
from bayes_pruning.pruning.posterior import Terms, log_bayes_factor, terms
from bayes_pruning.training.evaluation import Evaluator, Score
from bayes_pruning.training.metrics import Metrics

TURN = 32  # steps that a member takes before the next one's turn, so that its weights stay in the cache


class Trainer:
    """A stack of runs, epoch by epoch.

    Args:
        runs: what each member is; they share dataset, model, batch size, learning rate and which parameters are pruned.
        data: on `device`.
        device: where to train.
        log_evidence: "asked": the log-likelihood of the training images is computed only where a gate or a schedule
            reads it; "always": in every epoch, before and after pruning.

    Attributes:
        epoch: epochs done so far, the same for all members.
        decisions: of the last epoch, by member; only of gates that read a Bayes factor.
        failures: why a member can not go on, by index; its numbers are no longer reported.
        traces: the stack traces of those that a function of the user's failed.
    """

    def __init__(
        self, runs: Sequence[RunConfig], data: Dataset, device: torch.device, log_evidence: str = ASKED
    ) -> None:
        self.runs = list(runs)
        self.always_computes = log_evidence == ALWAYS
        self.data = data
        self.device = device
        networks = [build(run.model, data.shape, CLASSES, run.seed) for run in runs]
        momentum = runs[0].momentum if runs[0].optimizer == SGD else None
        self.stack = Stack(networks, runs[0].learning_rate, device, momentum)
        self.evaluator = Evaluator(self.stack, networks[0], data, runs[0].protocol.prunes)
        self.prunable = self.evaluator.prunable
        self.weights = sum(self.stack.parameters[name][0].numel() for name in self.prunable)
        self.before: dict[int, Score] = {}  # of this epoch's networks before pruning, by member
        self.known: list[decision.Comparison | None] = [None] * len(self.runs)  # of the last epoch
        self.decisions: dict[int, decision.Decision] = {}
        self.epoch = 0
        self.failures: dict[int, str] = {}
        self.traces: dict[int, str] = {}
        self.seeds = sorted({run.seed for run in self.runs})
        self.streams = [self.seeds.index(run.seed) for run in self.runs]  # of the seeds' data orders, each member's
        self.resident: ResidentEpoch | None = None
        if not self.stack.one_by_one:
            self.resident = ResidentEpoch(self.stack, data.train, runs[0].batch_size, self.streams)

    def run_epoch(self) -> list[Metrics | None]:
        """Train one epoch of every member; return None for a member that failed, its reason in `failures`."""
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
        rows = {member: self._metrics(member, train_losses[member], after[member], seconds) for member in alive}
        for member, row in rows.items():
            for name, value in asdict(row).items():
                if value is not None and not math.isfinite(value):
                    self.failures.setdefault(member, f"{name} became {value} in epoch {self.epoch}")
        return [None if member in self.failures else rows[member] for member in range(len(self.runs))]

    def _train(self) -> list[float]:
        """Make one pass over the training images; return the mean of each member's batch losses, in nats."""
        train, batch_size = self.data.train, self.runs[0].batch_size
        orders = torch.stack([random_streams.data_order(seed, self.epoch, len(train)) for seed in self.seeds])
        if self.resident is not None:
            return self.resident.run(orders).tolist()
        total = torch.zeros(len(self.runs), dtype=torch.float64)
        for stream, order in enumerate(orders):
            # Members of one seed take turns of some steps, on the same images.
            members = [member for member, own in enumerate(self.streams) if own == stream]
            for number, turn in enumerate(order.to(self.device).split(TURN * batch_size)):
                images, labels = (t.index_select(0, turn).split(batch_size) for t in (train.images, train.labels))
                for member in members:
                    with self._draws(member, number):
                        losses = list(map(self.stack.step_of, itertools.repeat(member), images, labels))
                    total[member] += torch.stack(losses).double().sum().cpu()
        return (total / math.ceil(len(train) / batch_size)).tolist()

    def _draws(self, member: int, turn: int) -> AbstractContextManager[None]:
        """Let what a network draws while it trains, as dropout does, come from the run's own stream."""
        if self.stack.stackable:
            return nullcontext()  # none of the layers that layers.py knows draws
        return random_streams.torch_draws(self.device, self.runs[member].seed, "dropout", self.epoch, turn)

    def _scores(self, parameters: Parameters, members: Sequence[int], asking: Collection[int]) -> dict[int, Score]:
        """Return the scores of the networks in `parameters`, which belong to `members`, by member.

        The log-likelihood of the training images is computed of the members that are `asking` only.
        """
        scores = self.evaluator.score(parameters, [self.runs[member].protocol.prior for member in members])
        indices = [index for index, member in enumerate(members) if member in asking]
        if indices:
            networks = parameters if len(indices) == len(members) else selected(parameters, indices)
            for index, likelihood in zip(indices, self.evaluator.train_log_likelihoods(networks), strict=True):
                scores[index] = replace(scores[index], train_log_likelihood=likelihood)
        return dict(zip(members, scores, strict=True))

    def _ask(self, members: Sequence[int]) -> None:
        """Compute the log-likelihoods of these members before pruning, unless that was done in this epoch."""
        members = [member for member in members if self.before[member].train_log_likelihood is None]
        if members:
            likelihoods = self.evaluator.train_log_likelihoods(self.stack.members(members))
            for member, likelihood in zip(members, likelihoods, strict=True):
                self.before[member] = replace(self.before[member], train_log_likelihood=likelihood)

    def _prune(self) -> dict[int, Score]:
        """Prune the members whose gates open, as pruning.decision says; return their scores after pruning."""
        before, runs = self.before, self.runs
        healthy = [member for member, score in before.items() if math.isfinite(score.test_log_likelihood)]
        trying = []
        for member in healthy:
            with self._ends_alone(member):
                if decision.tries(runs[member], self.epoch, self.known[member]):
                    trying.append(member)
        self._ask([member for member in trying if runs[member].gate_reads_bayes_factor])
        networks = {member: self.network(member) for member in trying}
        keeps: dict[int, Parameters] = {}
        scores: dict[int, Score] = {}
        for member, network in networks.items():
            with self._ends_alone(member):
                sparsity, score = self._planned(member, network)
                if sparsity is not None:
                    keeps[member] = masks.masks(runs[member], network, sparsity)
                    if score is not None:
                        scores[member] = score
        rest = [member for member in keeps if member not in scores]
        pruned = self._pruned([(networks[member], keeps[member]) for member in rest])
        asking = [m for m in rest if self.always_computes or runs[m].gate_reads_bayes_factor]
        scores |= self._scores(pruned, rest, asking)
        self.decisions = {}
        for member, score in before.items():
            with self._ends_alone(member):
                candidate = None
                if member in keeps and runs[member].gate_reads_bayes_factor:
                    candidate = self._compared(member, scores[member], networks[member], keeps[member])
                terms = self._terms(member, score)
                verdict = decision.decide(runs[member], self.epoch, self.known[member], terms, candidate)
                self.known[member] = verdict.known
                if verdict.row is not None:
                    self.decisions[member] = verdict.row
                if verdict.prunes and member in keeps:
                    self._keep(member, networks[member], keeps[member])
                else:
                    scores.pop(member, None)
        return scores

    @contextmanager
    def _ends_alone(self, member: int) -> Iterator[None]:
        """End one run, and no other of the stack, if its selector, gate or schedule fails or gives what is refused."""
        try:
            yield
        except UserError as error:
            self.failures.setdefault(member, str(error).rstrip("."))
            if error.__cause__ is not None:
                self.traces.setdefault(member, "".join(traceback.format_exception(error.__cause__)))

    def network(self, member: int) -> Network:
        """Return a copy of one member as it is now, for what looks at a network alone."""
        run, train = self.runs[member], self.data.train
        parameters = {name: parameter[0] for name, parameter in self.stack.members([member]).items()}
        model, prunable = self.stack.model.eval(), tuple(self.prunable)
        return Network(model, parameters, prunable, lambda: (train.images, train.labels), run.seed, self.epoch)

    def _planned(self, member: int, network: Network) -> tuple[float | None, Score | None]:
        """Return the sparsity that a member's schedule wants, and the score of that network if the schedule asked."""
        run = self.runs[member]
        scores: dict[float, Score] = {}

        def log_bayes_factor(sparsity: float) -> float:
            keep = masks.masks(run, network, sparsity)
            self._ask([member])
            scores[sparsity] = self._scores(self._pruned([(network, keep)]), [member], [member])[member]
            return self._compared(member, scores[sparsity], network, keep).tested

        sparsity = decision.planned(run, self.epoch, self.before[member].zeros / self.weights, log_bayes_factor)
        return sparsity, None if sparsity is None else scores.get(sparsity)

    @staticmethod
    def _pruned(networks: Sequence[tuple[Network, Mapping[str, Tensor]]]) -> Parameters:
        """Return the networks, pruned to their masks, as a stack: each parameter [networks, ...]; empty for none."""
        each = [masks.pruned(network.parameters, keep) for network, keep in networks]
        return {name: joined([parameters[name] for parameters in each]) for name in (each[0] if each else ())}

    def _keep(self, member: int, network: Network, keep: Mapping[str, Tensor]) -> None:
        """Leave a member as it is once pruned; its zeros stay if the protocol lets nothing regrow."""
        self.stack.replace(member, masks.pruned({name: network.parameters[name] for name in keep}, keep))
        if not self.runs[member].protocol.regrow:
            self.stack.freeze_zeros(member, keep)

    def _compared(self, member: int, after: Score, network: Network, keep: Mapping[str, Tensor]) -> decision.Comparison:
        """Return the comparison of `network` after pruning to `keep` with that before."""
        run, before = self.runs[member], self.before[member]
        assert before.train_log_likelihood is not None
        assert after.train_log_likelihood is not None
        likelihoods = before.train_log_likelihood, after.train_log_likelihood
        candidate = Candidate(network, keep, *likelihoods, run.protocol.prior)
        return decision.compare(run, self.epoch, self._terms(member, before), self._terms(member, after), candidate)

    def _terms(self, member: int, score: Score) -> Terms:
        """Return the terms of a network's log posterior under the member's protocol, in nats."""
        sums = score.train_log_likelihood, score.log_prior
        return terms(self.runs[member].protocol, *sums, len(self.data.train), self.weights)

    def _metrics(self, member: int, train_loss: float, after: Score, seconds: float) -> Metrics:
        before, tests = self.before[member], len(self.data.test)
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
            log_bayes_factor=0.0 if after is before else log_bayes_factor(terms_after, terms_before),
            seconds=seconds,
        )

    def state(self, member: int) -> dict[str, Any]:
        """Return all that a run needs to go on: tensors, the epoch (every stream's position), the last comparison."""
        return {
            "epoch": self.epoch,
            "seed": self.runs[member].seed,
            "evidence": vars(self.known[member]) if self.known[member] else None,  # as in checkpoints so far
            **self.stack.state(member),
        }

    def load_state(self, member: int, state: Mapping[str, Any]) -> None:
        """Continue a member from `state`; all members of a stack must be at the same epoch."""
        self.epoch = state["epoch"]
        self.known[member] = decision.Comparison(**state["evidence"]) if state["evidence"] else None
        steps = self.epoch * math.ceil(len(self.data.train) / self.runs[member].batch_size)
        self.stack.load_state(member, state, steps)
