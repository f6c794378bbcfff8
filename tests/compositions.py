"""Let Hydra read and merge the same config files once for all tests: each composition takes it 75 ms.

What is kept depends on the choices of groups alone; Hydra puts the values of a command line in afterwards. Only what is
composed from this repository's conf/ is kept, since a test may change the files of a folder of its own.
"""

import copy
from typing import Any

import pytest
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository

from bayes_pruning.config.paths import conf_dir

list_files, merge_files = defaults_list._create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list
load_file = ConfigRepository.load_config


def compose_anew(patch: pytest.MonkeyPatch) -> None:
    """Let Hydra do all of a composition again."""
    patch.setattr(defaults_list, "_create_defaults_list", list_files)
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge_files)
    patch.setattr(ConfigRepository, "load_config", load_file)


def compose_once(patch: pytest.MonkeyPatch) -> None:
    """Keep the parts of a composition that take long: the list of its files, what is in each, and these merged."""
    usual = ["pkg://hydra.conf", f"file://{conf_dir()}", "numbers://", "structured://"]
    lists: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    loaded: dict[str, Any] = {}

    def is_usual(repo: Any) -> bool:
        return [f"{source.scheme()}://{source.path}" for source in repo.get_sources()] == usual

    def listed(repo: Any, config_name: Any, overrides: Any, **how: bool) -> Any:
        """Return the list, and leave in `overrides` what Hydra notes there while it makes it."""
        if not is_usual(repo):
            return list_files(repo, config_name, overrides, **how)
        state = {name: value for name, value in vars(overrides).items() if name != "config_overrides"}
        key = f"{config_name} {state} {how}"
        if key not in lists:
            made = list_files(repo, config_name, overrides, **how)
            lists[key] = copy.deepcopy((made, {name: getattr(overrides, name) for name in state}))
        made, noted = copy.deepcopy(lists[key])
        vars(overrides).update(noted)
        return made

    def merge(self: Any, defaults: Any, repo: Any) -> Any:
        if not is_usual(repo):
            return merge_files(self, defaults, repo)
        key = str(defaults)
        if key not in merged:
            merged[key] = merge_files(self, defaults, repo)
        return copy.deepcopy(merged[key])

    def load(self: Any, config_path: str) -> Any:
        if not is_usual(self):
            return load_file(self, config_path)
        if config_path not in loaded:
            loaded[config_path] = load_file(self, config_path)
        return copy.deepcopy(loaded[config_path])

    patch.setattr(defaults_list, "_create_defaults_list", listed)
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge)
    patch.setattr(ConfigRepository, "load_config", load)
