"""Names in the config -> functions in the code: data set loaders, model builders, selectors, gates, schedules.

A short name finds a function that this package registered. A dotted name ("my_pruners.smallest") is imported, so
that a researcher's own function needs no change here.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from bayes_pruning.config.errors import ConfigError, one_of


class Registry:
    """The functions of one kind, by name; `field` is the config field that names them."""

    def __init__(self, field: str) -> None:
        self.field = field
        self.functions: dict[str, Callable[..., Any]] = {}

    def register(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: make `function` available under its own name."""
        self.functions[function.__name__] = function
        return function

    def find(self, name: str) -> Callable[..., Any]:
        """The function called `name`. Raises ConfigError, listing what exists, if there is none."""
        if name in self.functions:
            return self.functions[name]
        module, _, attribute = str(name).rpartition(".")
        try:
            function = getattr(importlib.import_module(module), attribute) if module else None
        except (ImportError, AttributeError):
            function = None
        if not callable(function):
            accepted = f"{one_of(sorted(self.functions))}, or the dotted path of a function that can be imported"
            raise ConfigError(self.field, name, accepted)
        return function

    def check(self, name: str, options: Mapping[str, Any]) -> None:
        """Raise ConfigError unless there is a function `name` that takes its one argument and `options`."""
        try:
            inspect.signature(self.find(name)).bind(None, **options)
        except TypeError as error:
            raise ConfigError(f"{self.field}_options", dict(options), f"the options of {name} ({error})") from error
