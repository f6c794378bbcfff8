"""The configs of a large sweep, quickly: Hydra composes each job at about 60 ms, and a grid has hundreds.

Jobs of a grid that differ only in numbers (sparsity, seed) differ only in those values and in what Hydra notes of the
overrides. So Hydra composes one of them, and the others are made from it; a test compares them with Hydra's own.
"""

import copy
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.bayes_pruning.number_groups import NUMBER_GROUPS, as_number


class Composer:
    """Composes the jobs of one sweep.

    Args:
        loader: Hydra's config loader.
        master: the config of the sweep itself.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader = loader
        self.master = master
        self.templates: dict[tuple[str, ...], tuple[DictConfig, Any]] = {}
        self.plain_numbers: dict[tuple[str, float | int], bool] = {}

    def values(self, overrides: Sequence[str]) -> dict[str, Any]:
        """A job's own config, without Hydra's node, as resolved plain values."""
        numbers = self._numbers(overrides)
        if numbers is None:
            return _plain(self.config(overrides))
        return {**self._template(overrides)[1], **numbers}

    def config(self, overrides: Sequence[str]) -> DictConfig:
        """A job's whole config, as Hydra composes it."""
        numbers = self._numbers(overrides)
        if numbers is None:
            return self.loader.load_sweep_config(self.master, list(overrides))
        config = copy.deepcopy(self._template(overrides)[0])
        texts = {group: text for group, _, text in (o.partition("=") for o in overrides) if group in numbers}
        with read_write(config), open_dict(config):
            config.update(numbers)
            config.hydra.runtime.choices.update(texts)
            config.hydra.overrides.task = list(overrides)
            config.hydra.job.override_dirname = MISSING  # the first job's would be wrong, and no launcher reads it
        return config

    def _numbers(self, overrides: Sequence[str]) -> dict[str, float | int] | None:
        """The job's sparsity and seed if it can be made from a template, else None."""
        numbers = {}
        for override in overrides:
            group, _, text = override.partition("=")
            if group in NUMBER_GROUPS:
                number = as_number(text)
                if number is None or text != str(number):
                    return None
                numbers[group] = number
        _, plain = self._template(overrides)
        return numbers if plain is not None and all(self._only_sets_number(*item) for item in numbers.items()) else None

    def _template(self, overrides: Sequence[str]) -> tuple[DictConfig, Any]:
        """The first job with these overrides, numbers aside, and its plain values (None if they depend on others)."""
        key = tuple(o if o.partition("=")[0] not in NUMBER_GROUPS else o.partition("=")[0] for o in overrides)
        if key not in self.templates:
            config = self.loader.load_sweep_config(self.master, list(overrides))
            own = without_hydra(config)
            constant = "${" not in OmegaConf.to_yaml(own)
            self.templates[key] = (config, _plain(config) if constant else None)
        return self.templates[key]

    def _only_sets_number(self, group: str, number: float | int) -> bool:
        """Whether the file behind group=number, if there is one, says nothing but the number."""
        if (group, number) not in self.plain_numbers:
            assert isinstance(self.loader, ConfigLoaderImpl)
            loaded = self.loader.repository.load_config(f"{group}/{number}")
            self.plain_numbers[group, number] = (
                loaded is not None
                and loaded.header.get("package") == "_global_"
                and not loaded.defaults_list
                and OmegaConf.to_container(loaded.config) == {group: number}
            )
        return self.plain_numbers[group, number]


def without_hydra(config: DictConfig) -> DictConfig:
    """The job's own part of a composed config."""
    return OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])


def _plain(config: DictConfig) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(without_hydra(config), resolve=True)
    return dict(plain)
