"""One run's scientific config: typed, checked, and hashed into its identity.

`RunConfig` holds what changes a run's numbers and nothing else (no paths, device or logging). Hydra composes the
values from `conf/`; pydantic checks them against the dataclasses here, in which an unknown field is an error.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from pydantic import AfterValidator, ConfigDict, Field
from typing_extensions import TypedDict

from bayes_pruning.config import validation as valid
from bayes_pruning.config.errors import UserError
from bayes_pruning.config.registry import GATES, SCHEDULES, short_name

Scale = Literal["sum", "mean"]
Ratio = Literal["pruned_over_unpruned", "unpruned_over_pruned", "of_logs"]  # what "the Bayes factor" may be a ratio of
Precision = Literal["fp32", "tf32"]
Prunes = Literal["weights", "parameters"]  # no bias, or biases too
Optimizer = Literal["adam", "sgd"]  # those that section 1.1 names
RATIOS: tuple[str, ...] = get_args(Ratio)
PRINTED = RATIOS[0]  # the formula of section 1.1
OPEN = "open"  # of a gate before there is a Bayes factor; else it is closed
PRECISIONS = FULL, TF32 = get_args(Precision)
WEIGHTS, PARAMETERS = get_args(Prunes)
ADAM, SGD = get_args(Optimizer)
ASKED, ALWAYS = "asked", "always"  # values of log_evidence, which changes no number and is not part of a run
HASH_DIGITS = 10
UNPRUNED_GATE = "never"  # the gate of an unpruned run: it never opens

# Fields that came after the first published runs, and what those did. A saved config may lack them, and at these values
# they are not part of an identity, so that a field that a later version adds changes no earlier run's hash.
LATER_OF_TRAINING: Mapping[str, Any] = {"precision": FULL, "optimizer": ADAM, "momentum": 0.0}
LATER: Mapping[str, Mapping[str, Any]] = {
    "pruner": {"schedule": "constant", "schedule_options": {}, "scope": "layer", "masks": "protocol"},
    "protocol": {"ratio": PRINTED, "first_gate": OPEN, "prunes": WEIGHTS},
}
# Fields of a pruner that a saved config may lack too.
OPTIONAL: Mapping[str, Any] = {"selector_options": {}, "gate_options": {}, "twin": None, "control_of": None}

FORBID = ConfigDict(extra="forbid")
Function = Annotated[
    str,
    Field(strict=True, description="the name of a function, or the dotted path of yours"),
    AfterValidator(short_name),
]


class DatasetConfig(TypedDict):
    """A file of conf/dataset."""

    __pydantic_config__ = FORBID  # type: ignore[misc]
    name: valid.Name
    loader: valid.Text
    mean: valid.Numbers
    std: valid.Numbers


class ModelConfig(TypedDict):
    """A file of conf/model. All other fields are settings of the builder."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    name: valid.Name
    builder: valid.Text


class WandbSettings(TypedDict, total=False):
    """The node `wandb` of conf/config.yaml."""

    __pydantic_config__ = FORBID  # type: ignore[misc]
    mode: Literal["offline", "online", "disabled"]
    project: valid.Text
    entity: valid.TextOrNull
    group: valid.TextOrNull


class Settings(TypedDict, total=False):
    """What conf/config.yaml has beside the run itself: where and how it is trained, which changes none of its numbers.

    A saved config of an earlier version may lack some.
    """

    __pydantic_config__ = FORBID  # type: ignore[misc]
    device: valid.Text
    data_root: valid.Text
    deterministic: valid.Flag
    compile: valid.Flag
    output_dir: valid.Text
    log_evidence: Literal["asked", "always"]
    checkpoint_seconds: valid.AtLeastZero
    progress: Literal["auto", "bar", "lines", "none"]
    max_minutes: valid.AboveZeroOrNull
    wandb: WandbSettings


@dataclass(frozen=True)
class Prior:
    """Gaussian prior N(mean, std^2) of every prunable weight."""

    __pydantic_config__ = FORBID
    mean: valid.Number
    std: valid.AboveZero


@dataclass(frozen=True)
class Protocol:
    """How the paper's open points are read; conf/protocol/paper.yaml says what each field means."""

    __pydantic_config__ = FORBID
    name: valid.Text
    regrow: valid.Flag
    decision: Literal["previous", "candidate"]
    log_likelihood: Scale
    log_prior: Scale
    beta: valid.AboveZero
    prior: Prior
    ratio: Ratio
    first_gate: Literal["open", "closed"]
    prunes: Prunes


@dataclass(frozen=True)
class Pruner:
    """A selector (which weights), a gate (when) and a schedule (how many), each a name and its own options."""

    __pydantic_config__ = FORBID
    name: valid.Name
    selector: Function
    gate: Function
    schedule: Function
    selector_options: valid.Options
    gate_options: valid.Options
    schedule_options: valid.Options
    scope: Literal["layer", "global"]  # the sparsity is that of each layer, or of all prunable weights together
    masks: Literal["protocol", "kept"]  # what is pruned may grow back as protocol.regrow says, or "kept": never
    twin: valid.TextOrNull  # the name of the classic pruner that this one is compared with, if it has one
    control_of: valid.TextOrNull  # the name of the Bayes pruner that this one is a control for


@dataclass(frozen=True)
class PruningConfig:
    """All that pruning reads of a run: what is pruned, how the paper is read, how sparse and how long."""

    __pydantic_config__ = FORBID
    pruner: Pruner
    protocol: Protocol
    sparsity: valid.Fraction
    epochs: valid.Count
    seed: valid.Whole

    @property
    def log_beta(self) -> float:
        """Return the threshold of the log Bayes factor, in nats."""
        return math.log(self.protocol.beta)

    @property
    def unpruned(self) -> bool:
        """Return whether this is an unpruned baseline: its gate never opens."""
        return self.pruner.gate == UNPRUNED_GATE

    @property
    def gate_reads_bayes_factor(self) -> bool:
        """Return whether the gate decides by a Bayes factor, as it declares."""
        return GATES.declared(self.pruner.gate).reads_bayes_factor

    @property
    def tries_candidate(self) -> bool:
        """Return whether this epoch's own pruning is tried before the gate decides."""
        return self.protocol.decision == "candidate" and self.gate_reads_bayes_factor


@dataclass(frozen=True)
class RunConfig(PruningConfig):
    """One run: (dataset, model, pruner, sparsity, seed), a protocol, and how it is trained."""

    __pydantic_config__ = FORBID
    dataset: DatasetConfig
    model: ModelConfig
    batch_size: valid.Count
    learning_rate: valid.AboveZero
    precision: Precision
    optimizer: Optimizer
    momentum: valid.BelowOne  # of SGD

    def identity(self) -> dict[str, Any]:
        """Return what the run is, as plain values, without what can not change its numbers.

        An unpruned run does not depend on the sparsity or on how a gate decides, and a run whose gate and schedule read
        no Bayes factor not on beta: such fields are left out, so that runs which are the same run have the same
        identity. A gate that belongs to a reading keeps them.
        """
        plain, gate = dataclasses.asdict(self), GATES.declared(self.pruner.gate)
        for group, fields in LATER.items():
            plain[group] = {k: v for k, v in plain[group].items() if k not in fields or fields[k] != v}
        for name, value in LATER_OF_TRAINING.items():
            if plain[name] == value:
                del plain[name]
        del plain["pruner"]["twin"], plain["pruner"]["control_of"]
        unread = ["name"]
        if self.protocol.decision == "candidate":  # there is a Bayes factor from the start
            unread += ["first_gate"]
        if not (gate.reads_bayes_factor or gate.of_a_reading):
            unread += ["decision", "first_gate"]
            if not SCHEDULES.declared(self.pruner.schedule).reads_bayes_factor:
                unread += ["beta", "ratio"]
        if self.unpruned:
            unread += ["regrow"]
            del plain["sparsity"]
        plain["protocol"] = {name: value for name, value in plain["protocol"].items() if name not in unread}
        return plain

    def hash(self) -> str:
        """Return the identity in a few hexadecimal digits."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]

    def label(self) -> str:
        """Return a readable name that tells the runs of a grid apart, e.g. mnist-fcn-magnitude-0.9-seed0."""
        amount = [] if self.unpruned else [f"{self.sparsity:g}"]
        return "-".join([self.dataset["name"], self.model["name"], self.pruner.name, *amount, f"seed{self.seed}"])


NAMES = tuple(field.name for field in dataclasses.fields(RunConfig))
IN_TABLES = ("sparsity", "seed", "protocol", "epochs")  # beside the names of the data set, the network and the pruner


def other_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return, by dotted name, the settings of a run that no table names: all but IN_TABLES and the names of its files.

    `values` are the plain ones of a composed or a saved config, of any version. What can not change the run's numbers
    is left out, as in its identity.
    """
    run = _completed({**LATER_OF_TRAINING} | {name: values[name] for name in NAMES if name in values})
    if run["pruner"]["gate"] == UNPRUNED_GATE:
        del run["pruner"]
    if run["optimizer"] == ADAM:
        del run["momentum"]
    flat = _flat({name: value for name, value in run.items() if name not in IN_TABLES})
    unread = {"dataset.name", "model.name", "pruner.name", "pruner.twin", "pruner.control_of"}
    return {name: value for name, value in flat.items() if name not in unread}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted name. Whole numbers are written alike, since JSON may show 1.0 as 1."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": _without_idle_zero(value)}
    return flat


def _without_idle_zero(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_without_idle_zero(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def run_config(config: DictConfig | Mapping[str, Any]) -> RunConfig:
    """Check a composed or a saved config and return its scientific part.

    Some values follow from others: `regrow` is false where the pruner keeps its masks, neither a sparsity nor a pruning
    of biases is asked of an unpruned run, and Adam has no `momentum`.

    Raise ConfigError for the first value that is not accepted, UserError if a field is missing or there is no such.
    """
    values: Any = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    fields = {**LATER_OF_TRAINING} | {name: values[name] for name in NAMES if name in values}
    run: RunConfig = valid.checked(RunConfig, _completed(fields))
    protocol = dataclasses.replace(
        run.protocol,
        regrow=run.protocol.regrow and run.pruner.masks != "kept",
        prunes=WEIGHTS if run.unpruned else run.protocol.prunes,
    )
    return dataclasses.replace(
        run,
        protocol=protocol,
        sparsity=0.0 if run.unpruned else run.sparsity,
        momentum=0.0 if run.optimizer == ADAM else run.momentum,
    )


def pruning_config(values: Mapping[str, Any]) -> PruningConfig:
    """Check what pruning reads of a run, for a network that is trained elsewhere. Raise ConfigError, UserError."""
    return valid.checked(PruningConfig, _completed(values))


def _completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with what a saved config may lack."""
    completed = dict(values)
    for group, fields in LATER.items():
        if isinstance(completed.get(group), Mapping):
            completed[group] = {**fields, **(OPTIONAL if group == "pruner" else {}), **completed[group]}
    return completed


def check_settings(values: Mapping[str, Any]) -> None:
    """Raise ConfigError or UserError unless all that a composed config has beside the run is known and accepted."""
    known = {*NAMES, *get_type_hints(Settings)}
    for name, value in values.items():
        if name == "experiment":
            first = 'its file begins with the line "# @package _global_", so that its fields are those of the config'
            raise UserError(f"experiment={value} is not accepted: {first}.")
        if name not in known:
            raise valid.unknown(name, value, "the config", known)
    valid.checked(Settings, {name: value for name, value in values.items() if name not in NAMES})


def as_trained(config: DictConfig, run: RunConfig) -> DictConfig:
    """Return the config with the values of `run` that follow from others, so that what is saved is what was trained."""
    follow = {"regrow": run.protocol.regrow, "prunes": run.protocol.prunes}
    trained = {"protocol": follow, "sparsity": run.sparsity, "momentum": run.momentum}
    merged = OmegaConf.merge(config, trained)
    assert isinstance(merged, DictConfig)
    return merged
