"""Compose the configs of a large sweep quickly: Hydra composes each job at about 60 ms, and a grid has hundreds.

Jobs of a grid that differ only in numbers (sparsity, seed) differ only in those values and in what Hydra notes of the
overrides. So Hydra composes one of them, and the others are made from it; interpolations are resolved for each job. A
test compares them with Hydra's own.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.bayes_pruning.number_groups import NUMBER_GROUPS, as_number


@dataclass(frozen=True)
class _Template:
    """Hold what Hydra composed for the first of the jobs that differ in numbers only."""

    config: DictConfig
    job: DictConfig  # the job's part, without Hydra's node
    plain: dict[str, Any]  # the same with plain, resolved values
    interpolated: tuple[str, ...]  # its fields with an interpolation, which may follow the numbers


class Composer:
    """Compose the jobs of one sweep, whose own config is `master`."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader = loader
        self.master = master
        self.templates: dict[tuple[str, ...], _Template | None] = {}
        self.plain_numbers: dict[tuple[str, float | int], bool] = {}

    def values(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return a job's own config, without Hydra's node, as resolved plain values."""
        numbers, template = self._numbers(overrides), self._template(overrides)
        if numbers is None or template is None:
            config = self.config(overrides)
            HydraConfig.instance().set_config(config)  # where ${hydra:...} is looked up
            return _resolved(without_hydra(config))
        template.job.update(numbers)
        followed = {name: _resolved(template.job[name]) for name in template.interpolated}
        return {**template.plain, **numbers, **followed}

    def config(self, overrides: Sequence[str]) -> DictConfig:
        """Return a job's whole config, as Hydra composes it."""
        numbers, template = self._numbers(overrides), self._template(overrides)
        if numbers is None or template is None:
            return self.loader.load_sweep_config(self.master, list(overrides))
        config = copy.deepcopy(template.config)
        texts = {group: text for group, _, text in (o.partition("=") for o in overrides) if group in numbers}
        with read_write(config), open_dict(config):
            config.update(numbers)
            config.hydra.runtime.choices.update(texts)
            config.hydra.overrides.task = list(overrides)
            config.hydra.job.override_dirname = MISSING  # the first job's would be wrong, and no launcher reads it
        return config

    def _numbers(self, overrides: Sequence[str]) -> dict[str, float | int] | None:
        """Return the job's sparsity and seed, None if more than their values may depend on how they are written."""
        numbers = {}
        for override in overrides:
            group, _, text = override.partition("=")
            if group in NUMBER_GROUPS:
                number = as_number(text)
                if number is None or text != str(number) or not self._only_sets_number(group, number):
                    return None
                numbers[group] = number
        return numbers

    def _template(self, overrides: Sequence[str]) -> _Template | None:
        """Return what serves all jobs with these overrides, numbers aside; None if each has to be composed."""
        key = tuple(o if o.partition("=")[0] not in NUMBER_GROUPS else o.partition("=")[0] for o in overrides)
        if key not in self.templates:
            config = self.loader.load_sweep_config(self.master, list(overrides))
            job = without_hydra(config)
            texts: Any = OmegaConf.to_container(job)
            interpolated = tuple(name for name, text in texts.items() if "${" in str(text))
            makeable = "${hydra:" not in str(texts)
            self.templates[key] = _Template(config, job, _resolved(job), interpolated) if makeable else None
        return self.templates[key]

    def _only_sets_number(self, group: str, number: float | int) -> bool:
        """Return whether the file behind group=number, if there is one, says nothing but the number."""
        if (group, number) not in self.plain_numbers:
            path = f"{group}/{number}"
            source = next((source for source in self.loader.get_sources() if source.is_config(path)), None)
            loaded = source.load_config(path) if source else None
            self.plain_numbers[group, number] = (
                loaded is not None
                and loaded.header.get("package") == "_global_"
                and OmegaConf.to_container(loaded.config) == {group: number}  # and so it has no defaults list
            )
        return self.plain_numbers[group, number]


def without_hydra(config: DictConfig) -> DictConfig:
    """Return the job's own part of a composed config."""
    return OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])


def _resolved(value: Any) -> Any:
    """Return a node of a config as plain values."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
