"""One run's scientific config: typed, checked, and hashed into its identity.

`RunConfig` holds what changes a run's numbers and nothing else (no paths, device or logging). Hydra composes the
values from `conf/`; this module checks them and turns them into plain, immutable Python.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bayes_pruning.config.errors import ConfigError, UserError, one_of
from bayes_pruning.pruning.decision import OPEN, PRINTED, RATIOS, STATES

SCALES = ("sum", "mean")
DECISIONS = ("previous", "candidate")
SCOPES = ("layer", "global")
MASKS = ("protocol", "kept")
PRECISIONS = FULL, TF32 = "fp32", "tf32"
EVIDENCE = ASKED, ALWAYS = "asked", "always"  # values of log_evidence, which changes no number and is not part of a run
HASH_DIGITS = 10
LARGEST = 1e37  # of a learning rate, beta or deviation: Adam divides the first by 0.1, and float32 ends at 3.4e38
WITHOUT_EVIDENCE = ("never", "always", "alternate", "never_after", "matched_rate")  # gates that no Bayes factor moves
WITH_BETA = ("evidence",)  # schedules that compare a Bayes factor to beta


@dataclass(frozen=True)
class Prior:
    """Gaussian prior N(mean, std^2) of every prunable weight."""

    mean: float
    std: float


@dataclass(frozen=True)
class Protocol:
    """How the paper's open points are read; conf/protocol/paper.yaml says what each field means."""

    name: str
    regrow: bool
    decision: str
    log_likelihood: str
    log_prior: str
    beta: float
    prior: Prior
    ratio: str = PRINTED  # that is held against beta, see decisions.log_ratio
    first_gate: str = OPEN  # the state of a gate before there is a Bayes factor


@dataclass(frozen=True)
class Pruner:
    """A selector (which weights), a gate (when) and a schedule (how many), each a name and its own options."""

    name: str
    selector: str
    gate: str
    selector_options: Mapping[str, Any]
    gate_options: Mapping[str, Any]
    schedule: str = "constant"
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    scope: str = "layer"  # the sparsity is that of each layer, or "global": of all prunable weights together
    masks: str = "protocol"  # what is pruned may grow back as protocol.regrow says, or "kept": regrow is then false


@dataclass(frozen=True)
class RunConfig:
    """One run: (dataset, model, pruner, sparsity, seed), a protocol, and how it is trained."""

    dataset: Mapping[str, Any]
    model: Mapping[str, Any]
    pruner: Pruner
    sparsity: float
    seed: int
    protocol: Protocol
    epochs: int
    batch_size: int
    learning_rate: float
    precision: str = FULL

    @property
    def log_beta(self) -> float:
        """Threshold of the log Bayes factor, in nats."""
        return math.log(self.protocol.beta)

    @property
    def asks_for_evidence(self) -> bool:
        """Whether the gate decides by a Bayes factor."""
        return self.pruner.gate not in WITHOUT_EVIDENCE

    @property
    def tries_candidate(self) -> bool:
        """Whether this epoch's own pruning is tried before the gate decides (it matters only to a gate that asks)."""
        return self.protocol.decision == "candidate" and self.asks_for_evidence

    def identity(self) -> dict[str, Any]:
        """What the run is, as plain values, without what can not change its numbers.

        An unpruned run does not depend on the sparsity or on how a gate decides, and a gate that asks for no evidence
        not on beta, unless its schedule does: such fields are left out, so that runs which are the same run have the
        same identity. A matched control keeps them: they say whose openings it matches.
        """
        plain = dataclasses.asdict(self)
        plain["dataset"], plain["model"] = dict(self.dataset), dict(self.model)
        del plain["protocol"]["name"]
        for name, value in _IDLE.items():  # so that a field that a later version adds changes no earlier run's identity
            if plain["pruner"][name] == value:
                del plain["pruner"][name]
        if self.precision == FULL:  # all runs are, that were made before there was a choice
            del plain["precision"]
        if plain["protocol"]["ratio"] == PRINTED:
            del plain["protocol"]["ratio"]
        if (
            self.protocol.first_gate == OPEN or self.protocol.decision == "candidate"
        ):  # the latter has one from the start
            del plain["protocol"]["first_gate"]
        if not self.asks_for_evidence and self.pruner.gate != "matched_rate":
            del plain["protocol"]["decision"]
            if self.pruner.schedule not in WITH_BETA:
                del plain["protocol"]["beta"]
                plain["protocol"].pop("ratio", None)
            plain["protocol"].pop("first_gate", None)
        if self.pruner.gate == "never":
            del plain["protocol"]["regrow"], plain["sparsity"]
        return plain

    def hash(self) -> str:
        """The identity in a few hexadecimal digits."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]

    def label(self) -> str:
        """A readable name that tells the runs of a grid apart, e.g. mnist-fcn-magnitude-0.9-seed0."""
        parts = [self.dataset["name"], self.model["name"], self.pruner.name]
        if self.pruner.gate != "never":
            parts.append(f"{self.sparsity:g}")
        return "-".join([*parts, f"seed{self.seed}"])


_IDLE: Mapping[str, Any] = {"schedule": "constant", "schedule_options": {}, "scope": "layer", "masks": "protocol"}


def _number(field: str, value: Any, accepted: str, whole: bool = False) -> Any:
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
        raise ConfigError(field, value, accepted)
    return value


def _above_zero(field: str, value: Any, whole: bool = False) -> Any:
    accepted = "a whole number of at least 1" if whole else f"a number above 0, up to {LARGEST:g}"
    if not 0 < _number(field, value, accepted, whole) <= (math.inf if whole else LARGEST):
        raise ConfigError(field, value, accepted)
    return value


def check_log_evidence(value: Any) -> str:
    """`log_evidence` if it is accepted. Raises ConfigError."""
    return _choice("log_evidence", value, EVIDENCE)


def _choice(field: str, value: Any, options: tuple[str, ...]) -> str:
    if value not in options:
        raise ConfigError(field, value, one_of(options))
    return value


def _protocol(values: Mapping[str, Any]) -> Protocol:
    if not isinstance(values["regrow"], bool):
        raise ConfigError("protocol.regrow", values["regrow"], "true or false")
    return Protocol(
        name=str(values["name"]),
        regrow=values["regrow"],
        decision=_choice("protocol.decision", values["decision"], DECISIONS),
        log_likelihood=_choice("protocol.log_likelihood", values["log_likelihood"], SCALES),
        log_prior=_choice("protocol.log_prior", values["log_prior"], SCALES),
        beta=float(_above_zero("protocol.beta", values["beta"])),
        ratio=_choice("protocol.ratio", values.get("ratio") or PRINTED, RATIOS),
        first_gate=_choice("protocol.first_gate", values.get("first_gate") or OPEN, STATES),
        prior=Prior(
            mean=float(_number("protocol.prior.mean", values["prior"]["mean"], "a number")),
            std=float(_above_zero("protocol.prior.std", values["prior"]["std"])),
        ),
    )


def _pruner(values: Mapping[str, Any]) -> Pruner:
    return Pruner(
        name=str(values["name"]),
        selector=str(values["selector"]),
        gate=str(values["gate"]),
        selector_options=dict(values.get("selector_options") or {}),
        gate_options=dict(values.get("gate_options") or {}),
        schedule=str(values.get("schedule") or _IDLE["schedule"]),
        schedule_options=dict(values.get("schedule_options") or {}),
        scope=_choice("pruner.scope", values.get("scope") or _IDLE["scope"], SCOPES),
        masks=_choice("pruner.masks", values.get("masks") or _IDLE["masks"], MASKS),
    )


def run_config(config: DictConfig | Mapping[str, Any]) -> RunConfig:
    """Check a composed config and return its scientific part.

    Raises ConfigError for the first value that is not accepted, UserError if a field is missing.
    """
    values: Any = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    try:
        sparsity = _number("sparsity", values["sparsity"], "a number from 0 to 1")
        if not 0 <= sparsity <= 1:
            raise ConfigError("sparsity", sparsity, "a number from 0 to 1")
        seed = _number("seed", values["seed"], "a whole number of at least 0", whole=True)
        if not 0 <= seed < 2**63:
            raise ConfigError("seed", seed, "a whole number of at least 0")
        pruner, protocol = _pruner(values["pruner"]), _protocol(values["protocol"])
        if pruner.masks == "kept":
            protocol = dataclasses.replace(protocol, regrow=False)
        return RunConfig(
            dataset=values["dataset"],
            model=values["model"],
            pruner=pruner,
            sparsity=float(sparsity),
            seed=seed,
            protocol=protocol,
            epochs=_above_zero("epochs", values["epochs"], whole=True),
            batch_size=_above_zero("batch_size", values["batch_size"], whole=True),
            learning_rate=float(_above_zero("learning_rate", values["learning_rate"])),
            precision=_choice("precision", values.get("precision") or FULL, PRECISIONS),
        )
    except KeyError as error:
        raise UserError(f"The config has no field {error}; conf/config.yaml and its groups list them all.") from error
