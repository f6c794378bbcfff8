"""A protocol as text, and the named readings of conf/protocol, so that results can call a reading by its name."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bayes_pruning.config.errors import ConfigError, one_of
from bayes_pruning.config.paths import conf_dir
from bayes_pruning.config.schema import OPEN, PRINTED, WEIGHTS

BASE = "paper"  # the preset that all others start from


@lru_cache(maxsize=1)
def names() -> dict[str, str]:
    """Return the name of each preset by the text of its protocol."""
    return {protocol_text(values(name)): name for name in reversed(_presets())}  # of equal ones the first name counts


def _presets() -> list[str]:
    return [BASE, *sorted({file.stem for file in files("protocol")} - {BASE})]


def files(group: str) -> list[Path]:
    """Return the files of a config group, without those that an editor hides beside them."""
    return [file for file in sorted((conf_dir() / group).glob("*.yaml")) if not file.name.startswith(".")]


def values(name: str) -> dict[str, Any]:
    """Return the fields of the preset `name`. Raise ConfigError if there is none."""
    if name not in _presets():
        raise ConfigError("protocol", name, one_of(_presets()))
    return file_values(conf_dir() / "protocol" / f"{name}.yaml")


def file_values(file: Path) -> dict[str, Any]:
    """Return the fields of a file of a config group, and those of the files beside it that its defaults list first."""
    own: Any = OmegaConf.to_container(OmegaConf.load(file))
    parents = [each for each in own.pop("defaults", []) if isinstance(each, str) and each != "_self_"]
    inherited = [file_values(file.with_name(f"{parent}.yaml")) for parent in parents]
    merged: Any = OmegaConf.to_container(OmegaConf.merge(*inherited, own))
    return dict(merged)


def name_of(protocol: str) -> str:
    """Return the name of the preset with this protocol's text, or the text itself if no preset has it."""
    return names().get(protocol, protocol)


def protocol_text(protocol: Mapping[str, Any]) -> str:
    """Return a protocol's text, e.g. "regrow, previous, sum/sum, beta 0.5, prior N(0, 1^2)".

    Equal readings have equal texts. In order: whether pruned weights may grow again, which Bayes factor decides, the
    scales of the log-likelihood and of the log-prior, the threshold, the prior. The protocol's name is left out: it can
    not change a number. So is the ratio if it is the printed one, which others follow after the scales, as in
    "sum/sum of_logs"; so is the first gate if it is open or never asked: "previous first closed". "regrow with biases":
    they are pruned too.
    """
    prior, ratio = protocol["prior"], protocol.get("ratio", PRINTED)
    return ", ".join(
        [
            masks_text(protocol),
            decision_text(protocol),
            f"{protocol['log_likelihood']}/{protocol['log_prior']}" + ("" if ratio == PRINTED else f" {ratio}"),
            f"beta {number(protocol['beta'])}",
            f"prior N({number(prior['mean'])}, {number(prior['std'])}^2)",
        ]
    )


def masks_text(protocol: Mapping[str, Any]) -> str:
    """Return whether pruned weights may grow again, and whether biases are pruned too: "regrow with biases"."""
    weights_alone = protocol.get("prunes", WEIGHTS) == WEIGHTS
    return ("regrow" if protocol["regrow"] else "stay zero") + ("" if weights_alone else " with biases")


def ratio_of(protocol: str) -> str:
    """Return the ratio (schema.RATIOS) that a protocol's text names."""
    _, _, ratio = protocol.split(", ")[2].partition(" ")
    return ratio or PRINTED


def decision_text(protocol: Mapping[str, Any]) -> str:
    """Return which Bayes factor decides, with the gate's state before there is one where that is asked and closed."""
    closed = protocol["decision"] == "previous" and protocol.get("first_gate", OPEN) != OPEN
    return f"{protocol['decision']}{' first closed' if closed else ''}"


def number(value: float) -> str:
    """Return a number as text that tells any two numbers apart, without an idle '.0'."""
    return repr(float(value)).removesuffix(".0")
