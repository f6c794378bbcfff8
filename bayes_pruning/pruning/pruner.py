"""The method in anyone's training loop: no Hydra, no folders, no stack, the same functions as the grid of runs.

    pruner = BayesPruner(model, train_loader, sparsity=0.9, selector="magnitude", beta=0.5, regrow=False)
    for epoch in range(epochs):
        train_one_epoch(model, optimizer)
        report = pruner.step(optimizer)

`step` is lines 3 to 16 of Algorithm 2 of the paper and 3 to 13 of Algorithm 3 (in decision.py), for one network.
"""

import inspect
import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from operator import length_hint
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from bayes_pruning.config import presets
from bayes_pruning.config.errors import ConfigError, UserError, one_of
from bayes_pruning.config.schema import ALWAYS, ASKED, Protocol, pruning_config
from bayes_pruning.config.validation import unknown
from bayes_pruning.models import networks
from bayes_pruning.pruning import decision, masks, posterior
from bayes_pruning.pruning.gates import Candidate
from bayes_pruning.pruning.network import Network

NO_END = 1_000_000  # epochs of a training whose end nobody said
LOADER = "what gives the same images, at least one, in each pass, as a DataLoader or a list of batches does"


@dataclass(frozen=True)
class Report:
    """What one epoch decided, and why. Log posteriors in nats, up to a constant; None: nothing asked for it."""

    epoch: int  # from 1
    pruned: bool
    sparsity_before: float  # zeros / prunable weights, as trained
    sparsity: float  # the same after the decision
    tested: float | None  # the log Bayes factor that the gate held against log beta; None if it read none
    log_beta: float
    log_posterior_before: float | None
    log_posterior: float | None  # of the pruned network, also of one that was tried and not kept
    log_bayes_factor: float | None  # the difference of the two; 0 where nothing was pruned

    def __str__(self) -> str:
        """Return one line for people."""
        why = "" if self.tested is None else f", log Bayes factor tested {self.tested:.1f} against {self.log_beta:.1f}"
        what = f"pruned to {self.sparsity:.4f}" if self.pruned else f"not pruned, {self.sparsity:.4f}"
        after = "" if self.log_bayes_factor is None else f", now {self.log_bayes_factor:.1f}"
        return f"epoch {self.epoch}: {what}{why}{after}"


@dataclass
class _Epoch:
    """One epoch's network as trained: a copy of its parameters, and its numbers."""

    network: Network
    sparsity: float
    log_likelihood: float | None = None


def _parts(loader: Iterable[Any]) -> list[Any]:
    """Return a loader and what it draws its batches from, where it is a DataLoader."""
    batches = getattr(loader, "batch_sampler", None)
    return [loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)]


def _check_loader(loader: Iterable[Any]) -> None:
    """Raise UserError for a loader that can not give all training images in each pass."""
    if any(getattr(each, "drop_last", False) for each in _parts(loader)):
        raise UserError("train_loader.drop_last=True is not accepted: the log-likelihood is that of all images.")
    if any(getattr(each, "num_replicas", 1) > 1 for each in _parts(loader)):
        wrong = "A train_loader with a DistributedSampler is not accepted"
        raise UserError(f"{wrong}: each process decides by all images, so give it a loader of all.")
    if isinstance(loader, Iterator) or length_hint(loader, 1) == 0:
        what = "that ends after one pass" if isinstance(loader, Iterator) else "without batches"
        raise UserError(f"A train_loader {what} is not accepted: it takes {LOADER}.")


@contextmanager
def _same_random_numbers(loader: Iterable[Any]) -> Iterator[None]:
    """Give back, after a while, the states that the random numbers of torch and of a DataLoader have now.

    A DataLoader draws in each pass, also if it does not shuffle. A training would otherwise see other batches,
    depending on how often the pruner asks for the images.
    """
    own = [getattr(each, "generator", None) for each in _parts(loader)]
    generators = [each for each in own if isinstance(each, torch.Generator)]
    states = [each.get_state() for each in generators]
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            for each, state in zip(generators, states, strict=True):
                each.set_state(state)


def _images_and_labels(batch: Any) -> tuple[Tensor, Tensor]:
    """Return the images and labels of a batch. Raise UserError if it has no such pair first."""
    images, labels, *_ = batch if isinstance(batch, Sequence) and len(batch) > 1 else (batch, None)
    both = isinstance(images, Tensor) and isinstance(labels, Tensor)
    if both and labels.dtype == torch.int64 and labels.shape == images.shape[:1]:  # type: ignore[union-attr]
        return images, labels  # type: ignore[return-value]
    given = " and ".join(
        f"{name} {part.dtype} {list(part.shape)}" if isinstance(part, Tensor) else f"no tensor of {name}"
        for name, part in (("images", images), ("labels", labels))
    )
    accepted = "pairs of images [batch, ...] and int64 labels [batch]"
    raise UserError(f"The train_loader gave a {type(batch).__name__} with {given}: it takes {accepted}.")


class BayesPruner:
    """Prunes one network while it trains, once an epoch, if its Bayes factor allows it.

    Args:
        model: any classifier whose output is logits [batch, classes]. Its parameters are changed in place.
        train_loader: gives batches of images and int64 labels, the same images in each pass, so no iterator: the
            log-likelihood is that of all of them, so it should neither augment nor drop the last batch.
        sparsity: fraction of zeros, 0 to 1.
        selector: which weights go: "magnitude" (Algorithm 3), "random" (Algorithm 2), "snip", "evidence", or the dotted
            path of a function of yours, as for the two that follow.
        gate: when: "bayes_factor" (the paper's), "always" (its classic twin), "laplace_evidence".
        schedule: how many: "constant" (the paper's), "gradual", "evidence".
        epochs: that the training has in all, for gates and schedules that plan ahead.
        seed: of random pruning and of all else that is drawn.
        prunable: names of the parameters to prune, by default those that `prunes` of the reading says.
        scope: whether each "layer" has the sparsity, or all together, "global".
        selector_options, gate_options, schedule_options: of these functions, by name.
        protocol: a file of conf/protocol, a reading of the paper; its fields can be given beside it.
        log_evidence: "asked" computes log posteriors where the gate or schedule reads them, "always" in every epoch.
        reading: fields of the protocol that differ from it: beta, regrow, decision, ratio, first_gate, prunes,
            log_likelihood, log_prior, and prior={"mean": 0.0, "std": 1.0}.

    Raise ConfigError or UserError for a value that is not accepted.

    Attributes:
        epoch: epochs done so far.
        masks: of weights that stay zero, by parameter: bool, False where a weight is held. Empty where they may regrow.
    """

    def __init__(
        self,
        model: nn.Module,
        train_loader: Iterable[Any],
        sparsity: float,
        selector: str = "magnitude",
        gate: str = "bayes_factor",
        schedule: str = "constant",
        *,
        epochs: int = NO_END,
        seed: int = 0,
        prunable: Iterable[str] | None = None,
        scope: str = "layer",
        selector_options: Mapping[str, Any] | None = None,
        gate_options: Mapping[str, Any] | None = None,
        schedule_options: Mapping[str, Any] | None = None,
        protocol: str = presets.BASE,
        log_evidence: str = ASKED,
        **reading: Any,
    ) -> None:
        self.model, self.loader, self.always_computes = model, train_loader, log_evidence == ALWAYS
        fields, prior = presets.values(protocol), reading.get("prior")
        accepted = get_type_hints(Protocol).keys()
        if other := [name for name in reading if name not in accepted]:
            own = inspect.signature(BayesPruner).parameters.keys() - {"reading"}
            raise unknown(other[0], reading[other[0]], "BayesPruner", own | accepted)
        if isinstance(prior, Mapping):  # it may say one of its two fields
            reading["prior"] = fields["prior"] | dict(prior)
        self.run = pruning_config(
            {
                "pruner": {
                    "name": "own loop",
                    "selector": selector,
                    "gate": gate,
                    "schedule": schedule,
                    "scope": scope,
                    "selector_options": selector_options,
                    "gate_options": gate_options,
                    "schedule_options": schedule_options,
                },
                "protocol": fields | reading,
                "sparsity": sparsity,
                "epochs": epochs,
                "seed": seed,
            }
        )
        decision.check(self.run)
        if log_evidence not in (ASKED, ALWAYS):
            raise ConfigError("log_evidence", log_evidence, one_of((ASKED, ALWAYS)))
        _check_loader(train_loader)
        if isinstance(model, nn.DataParallel):
            raise UserError("A model in nn.DataParallel is not accepted: give BayesPruner the one inside, its .module.")
        named = dict(model.named_parameters())
        if lazy := [name for name, parameter in named.items() if is_lazy(parameter)]:
            raise UserError(f"{lazy[0]} has no shape yet: give the model a batch before BayesPruner is made of it.")
        self.prunable = tuple(networks.prunable(model, self.run.protocol.prunes) if prunable is None else prunable)
        wrong = [name for name in self.prunable if name not in named or self.prunable.count(name) > 1]
        if wrong or not self.prunable or isinstance(prunable, str):
            names = [prunable] if isinstance(prunable, str) else wrong
            given = ", ".join(name if isinstance(name, str) else type(name).__name__ for name in names)
            takes = "a list of one name or more of model.named_parameters(), each once"
            raise UserError(f"prunable={given} is not accepted: it takes {takes}.")
        self.weights = sum(named[name].numel() for name in self.prunable)
        self.epoch = 0
        self.known: decision.Comparison | None = None
        self.masks: dict[str, Tensor] = {}
        self._examples = 0  # images of a pass, which scale a mean log-likelihood; 0 before the first
        self._hooks: dict[object, RemovableHandle] = {}

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer) -> Report:
        """Decide, prune if so decided, and say why; call it after each epoch.

        Args:
            optimizer: what trains the model: its moments of weights that are to stay zero are forgotten.
        """
        if not isinstance(optimizer, torch.optim.Optimizer):
            given = type(optimizer).__name__
            raise UserError(f"step was given a {given}: it takes the optimizer that trains the model.")
        self.epoch += 1
        try:
            # Under torch.autocast, in which a loop may call this, a log posterior would be of a network of fewer bits.
            with networks.evaluating(self.model), torch.autocast(self._device.type, enabled=False):
                return self._step(optimizer)
        except BaseException:
            self.epoch -= 1
            raise

    def _step(self, optimizer: torch.optim.Optimizer) -> Report:
        run, now = self.run, self._now()
        if wrong := masks.diverged(now.network):
            raise UserError(f"{wrong[0]} became infinite or NaN in epoch {self.epoch}: the network has diverged.")
        if self.always_computes:
            self._ask(now)
        keep, log_likelihood = self._tried(now) if decision.tries(run, self.epoch, self.known) else (None, None)
        before = after = self._terms(now.log_likelihood, now.network.parameters)
        candidate = None
        if keep is not None:
            after = self._terms(log_likelihood, masks.pruned(now.network.parameters, keep))
            if run.gate_reads_bayes_factor:
                candidate = self._compared(now, keep, log_likelihood)
        verdict = decision.decide(run, self.epoch, self.known, before, candidate)
        self.known = verdict.known
        prunes = verdict.prunes and keep is not None
        if prunes:
            assert keep is not None
            self._keep(keep, optimizer)
        if self.masks:
            self._hold(optimizer)
        return Report(
            epoch=self.epoch,
            pruned=prunes,
            sparsity_before=now.sparsity,
            sparsity=self._sparsity(dict(self.model.named_parameters())),
            tested=verdict.row.tested if verdict.row else None,
            log_beta=run.log_beta,
            log_posterior_before=None if before.log_likelihood is None else posterior.log_posterior(before),
            log_posterior=None if after.log_likelihood is None else posterior.log_posterior(after),
            log_bayes_factor=0.0 if keep is None else posterior.log_bayes_factor(after, before),
        )

    @property
    def _device(self) -> torch.device:
        return self.model.get_parameter(self.prunable[0]).device

    def _sparsity(self, parameters: Mapping[str, Tensor]) -> float:
        return sum(int((parameters[name] == 0).sum()) for name in self.prunable) / self.weights

    def _now(self) -> _Epoch:
        tensors = [*self.model.named_parameters(), *self.model.named_buffers()]
        parameters = {name: tensor.detach().clone() for name, tensor in tensors}
        network = Network(self.model, parameters, self.prunable, self._images, self.run.seed, self.epoch)
        return _Epoch(network, self._sparsity(parameters))

    def _images(self) -> tuple[Tensor, Tensor]:
        """Return all training images and labels in memory, for what asks for a gradient or the Fisher information."""
        if isinstance(self.model, nn.parallel.DistributedDataParallel):
            asked = "where a gradient or the Fisher information is asked for"
            raise UserError(f"DistributedDataParallel is not accepted {asked}: give BayesPruner the model's .module.")
        images, labels = zip(*self._batches(), strict=True)
        if len(shapes := {tuple(each.shape[1:]) for each in images}) > 1:
            given = " and ".join(map(str, sorted(shapes)[:2]))
            asked = "what asks for a gradient or the Fisher information takes images of one shape"
            raise UserError(f"The train_loader gave images of shapes {given}: {asked}.")
        return torch.cat(images), torch.cat(labels)

    def _batches(self) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield a pass of the loader, which leaves the random numbers of the training as they are.

        Raise UserError as `_images_and_labels`, and at the end unless there were as many images as in the first pass.
        """
        examples = 0
        with _same_random_numbers(self.loader):
            for batch in self.loader:
                images, labels = _images_and_labels(batch)
                examples += len(labels)
                yield images.to(self._device), labels.to(self._device)
        first = self._examples = self._examples or examples
        if examples == 0 or examples != first:
            said = f"gave {examples} images in a pass of epoch {self.epoch} and {first} in the first pass"
            raise UserError(f"The train_loader {said}: it takes {LOADER}.")

    def _ask(self, now: _Epoch) -> None:
        """Compute the log-likelihood before pruning, unless that is done."""
        if now.log_likelihood is None:
            now.log_likelihood = self._log_likelihood(now.network.parameters)

    def _tried(self, now: _Epoch) -> tuple[dict[str, Tensor] | None, float | None]:
        """Return the masks that the schedule asks for, None if it prunes nothing, and the log-likelihood then."""
        run, tried = self.run, dict[float, tuple[dict[str, Tensor], float]]()
        if run.gate_reads_bayes_factor:
            self._ask(now)

        def log_bayes_factor(sparsity: float) -> float:
            self._ask(now)
            keep = masks.masks(run, now.network, sparsity)
            tried[sparsity] = keep, self._log_likelihood(masks.pruned(now.network.parameters, keep))
            return self._compared(now, *tried[sparsity]).tested

        sparsity = decision.planned(run, self.epoch, now.sparsity, log_bayes_factor)
        if sparsity is None:
            return None, None
        if sparsity in tried:
            return tried[sparsity]
        keep = masks.masks(run, now.network, sparsity)
        if not (run.gate_reads_bayes_factor or self.always_computes):
            return keep, None
        return keep, self._log_likelihood(masks.pruned(now.network.parameters, keep))

    def _compared(self, now: _Epoch, keep: Mapping[str, Tensor], after: float | None) -> decision.Comparison:
        assert now.log_likelihood is not None
        assert after is not None
        parameters = now.network.parameters
        terms = self._terms(now.log_likelihood, parameters), self._terms(after, masks.pruned(parameters, keep))
        candidate = Candidate(now.network, keep, now.log_likelihood, after, self.run.protocol.prior)
        return decision.compare(self.run, self.epoch, *terms, candidate)

    def _terms(self, log_likelihood: float | None, parameters: Mapping[str, Tensor]) -> posterior.Terms:
        protocol, weights = self.run.protocol, [parameters[name] for name in self.prunable]
        log_prior = float(posterior.log_prior(weights, protocol.prior))
        return posterior.terms(protocol, log_likelihood, log_prior, self._examples, self.weights)

    def _log_likelihood(self, parameters: Mapping[str, Tensor]) -> float:
        """Return log p(D | w) in nats, over one pass of the loader."""
        total = 0.0
        with closing(self._batches()) as batches:  # an error that a notebook keeps would keep the pass open
            for images, labels in batches:
                logits = torch.func.functional_call(self.model, dict(parameters), (images,))
                total += self._sum(logits, labels)
        if not math.isfinite(total):
            raise UserError(f"The log-likelihood became {total} in epoch {self.epoch}: the network has diverged.")
        return total

    @staticmethod
    def _sum(logits: Any, labels: Tensor) -> float:
        """Return the log-likelihood of a batch in nats. Raise UserError for what are no logits of its labels."""
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            given = f"a tensor {list(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
            raise UserError(f"The model gave {given}: its output has to be logits [batch, classes].")
        if outside := [label for label in labels.unique().tolist() if not 0 <= label < logits.shape[1]]:
            accepted = f"labels from 0 to {logits.shape[1] - 1}, as the model gives {logits.shape[1]} logits"
            raise UserError(f"The train_loader gave the label {outside[0]}: it takes {accepted}.")
        return float(posterior.log_likelihood(logits.unsqueeze(0), labels))

    def _keep(self, keep: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
        """Apply equation 1 in place; where nothing may regrow, hold the zeros from now on."""
        for name, mask in keep.items():
            parameter = self.model.get_parameter(name)
            parameter.mul_(mask)
            if not self.run.protocol.regrow:
                for state in optimizer.state.get(parameter, {}).values():
                    if isinstance(state, Tensor) and state.shape == parameter.shape:
                        state.mul_(mask)
        if not self.run.protocol.regrow:
            self.masks = {name: mask & self.masks.get(name, mask) for name, mask in keep.items()}

    def _hold(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Let no gradient reach a held weight, and no optimiser move it, whatever it remembers."""
        for name in self.masks:
            parameter = self.model.get_parameter(name)
            if parameter.requires_grad and name not in self._hooks:  # a frozen one has no gradient
                self._hooks[name] = parameter.register_hook(lambda g, name=name: g * self.masks[name])
        if optimizer is not None and optimizer not in self._hooks:
            self._hooks[optimizer] = optimizer.register_step_post_hook(lambda *_: self._apply())

    @torch.no_grad()
    def _apply(self) -> None:
        for name, mask in self.masks.items():
            self.model.get_parameter(name).mul_(mask)

    def finalize(self) -> nn.Module:
        """Return the model with plain zeros: no hook of the pruner is left in it or in the optimiser."""
        self._apply()
        for hook in self._hooks.values():
            hook.remove()
        self._hooks, self.masks = {}, {}
        return self.model

    def state_dict(self) -> dict[str, Any]:
        """Return all that a training needs to go on, beside the model's and the optimiser's own states."""
        known = asdict(self.known) if self.known else None
        return {"epoch": self.epoch, "known": known, "masks": dict(self.masks)}

    def load_state_dict(self, state: Mapping[str, Any], optimizer: torch.optim.Optimizer | None = None) -> None:
        """Go on from `state`; the model and the optimiser load their own.

        Args:
            state: of `state_dict`, of a pruner of a network with the same prunable parameters.
            optimizer: what trains the model, so that it moves no held weight from its first step on. Without it only
                gradients are masked until the next `step`.

        Raise UserError, with nothing loaded, if it is no such state, has masks where weights may regrow, or masks of
        other parameters or shapes.
        """
        if state.keys() != {"epoch", "known", "masks"}:
            raise UserError("The state is none of a pruner: load what BayesPruner.state_dict() gave.")
        if state["masks"] and self.run.protocol.regrow:
            raise UserError("The state has masks that stay, and this pruner lets weights regrow: give it regrow=False.")
        parameters = {name: self.model.get_parameter(name) for name in self.prunable}
        held, wanted = ({name: tuple(t.shape) for name, t in each.items()} for each in (state["masks"], parameters))
        if held and (other := sorted(held.items() ^ wanted.items())):
            name = other[0][0]
            here, there = (f"{name} of shape {each[name]}" if name in each else f"no {name}" for each in (held, wanted))
            raise UserError(
                f"The state has {here}, and this pruner has {there}: load that of a pruner of the same parameters."
            )
        self.epoch = state["epoch"]
        self.known = decision.Comparison(**state["known"]) if state["known"] else None
        for name in self.masks.keys() & self._hooks.keys():
            self._hooks.pop(name).remove()
        self.masks = {name: mask.to(parameters[name].device) for name, mask in state["masks"].items()}
        if self.masks:
            self._hold(optimizer)
