"""Take numbers as options of a config group: sparsity=0.73 and seed=7 from the command line, a sweep or compose().

Hydra 1.3 takes only names for a group ("Config group override must be a string or a list. Got float"). Three small
parts change that for the groups `sparsity` and `seed`, and only here:

- `Overrides.__init__` of Hydra's defaults list turns a numeric choice of these groups into its text;
- `NumberSource` serves a config for any number that has no file in conf/sparsity or conf/seed;
- `NumberSearchPath`, which Hydra loads before it composes anything, installs both. A launcher's worker process gets
  its config loader, `NumberSource` included, by pickle, and that imports this module, which installs the hook too.

The first part is all that this project uses of Hydra's internals, and a Hydra that has it no more is named in a
sentence. It also refuses an option that does not exist, in one sentence.
"""

import inspect
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hydra._internal import defaults_list
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from bayes_pruning.config.errors import ConfigError, UserError, one_of

NUMBER_GROUPS = {"sparsity": "a number from 0 to 1", "seed": "a whole number of at least 0"}
OWN_GROUPS = ("dataset", "model", "pruner", "protocol", "experiment")


def as_number(text: str) -> float | int | None:
    """Return the number that `text` spells, None if it spells none."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return None


class NumberSource(ConfigSource):
    """Serve a config {group: number} for every path "group/number" of the number groups."""

    @staticmethod
    def scheme() -> str:
        return "numbers"

    def load_config(self, config_path: str) -> ConfigResult:
        group, _, text = config_path.removesuffix(".yaml").partition("/")
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=OmegaConf.create({group: as_number(text)}),
            header={"package": "_global_"},
        )

    def is_group(self, config_path: str) -> bool:
        return False

    def is_config(self, config_path: str) -> bool:
        group, _, text = config_path.removesuffix(".yaml").partition("/")
        return group in NUMBER_GROUPS and as_number(text) is not None

    def available(self) -> bool:
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        return []


class NumberSearchPath(SearchPathPlugin):
    """Add the numbers to the search path and install the hook."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        install_hook()
        search_path.append(provider="bayes_pruning", path="numbers://")


def install_hook() -> None:
    """Let Hydra's defaults list take numbers; once a process. Raise UserError if this Hydra has no such hook."""
    overrides = getattr(defaults_list, "Overrides", None)
    original: Any = getattr(overrides, "__init__", None)
    if overrides is None or list(inspect.signature(original).parameters) != ["self", "repo", "overrides_list"]:
        raise UserError(
            "This Hydra has no hydra._internal.defaults_list.Overrides(repo, overrides_list), where sparsity=0.73 is "
            "made a group option: install hydra-core>=1.3.8,<1.5."
        )
    if original.__name__ == "takes_numbers":
        return

    def takes_numbers(self: Any, repo: Any, overrides_list: Sequence[Any]) -> None:
        for override in overrides_list:
            if not override.is_sweep_override():
                _check_choice(override, repo)
        original(self, repo, overrides_list)

    overrides.__init__ = takes_numbers


def _check_choice(override: Any, repo: Any) -> None:
    """Turn a number into text, in place, and refuse a choice that its group does not have."""
    group, value = override.key_or_group, override.value()
    if group in NUMBER_GROUPS:
        number = as_number(str(value)) if isinstance(value, (int, float, str)) else None
        if number is None:
            raise ConfigError(group, value, NUMBER_GROUPS[group])
        override._value = str(value)
    elif group in OWN_GROUPS and isinstance(value, str) and not repo.config_exists(f"{group}/{value}"):
        raise ConfigError(group, value, one_of(repo.get_group_options(group)))


with suppress(UserError):  # NumberSearchPath says it to the user
    install_hook()
