"""Names in the config -> functions in the code: data set loaders, model builders, selectors, gates, schedules.

A short name finds a function of this package. A dotted name ("my_pruners.smallest") is imported, so that a researcher's
own function needs no change here; the dotted name of a function of this package is its short name. What a gate or a
schedule is (whether it reads a Bayes factor, how it estimates one) is declared where the function is defined.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from bayes_pruning.config.errors import ConfigError, UserError, one_of, out_of_memory
from bayes_pruning.config.validation import checked, unknown

PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True)
class Declared:
    """What a gate or schedule says of itself.

    The defaults are those of a function that says nothing, and are safe: a run whose gate or schedule reads a Bayes
    factor has beta and the ratio in its identity.
    """

    reads_bayes_factor: bool = True
    estimate: Callable[..., float] | None = None  # of a gate: (candidate, **gate_options) -> log Bayes factor, in nats
    of_a_reading: bool = False  # whether a gate that reads no Bayes factor still belongs to one reading of the paper


class Registry:
    """The functions of one kind by name: `field` of the config names them, our module `home` holds them.

    The module is imported when a function is first looked for.
    """

    def __init__(self, field: str, home: str) -> None:
        self.field, self.home = field, home
        self.functions: dict[str, Callable[..., Any]] = {}

    def register(self, function: Callable[..., Any], declared: Declared | None = None) -> Callable[..., Any]:
        """Attach what is declared of `function`, and make it available by its own name if it is of this package."""
        if declared is not None:
            function.declared = declared  # type: ignore[attr-defined]
        if function.__module__ == self.home:
            self.functions[function.__name__] = function
        return function

    def find(self, name: str) -> Callable[..., Any]:
        """Return the function called `name`. Raise ConfigError, listing what exists, if there is none."""
        importlib.import_module(self.home)
        name = short_name(name)
        if name in self.functions:
            return self.functions[name]
        module, _, attribute = name.rpartition(".")
        function, reason = None, ""
        try:
            function = getattr(importlib.import_module(module), attribute) if module else None
        except (ImportError, AttributeError) as error:
            reason = f" ({error})"
        if not callable(function):
            accepted = f"{one_of(sorted(self.functions))}, or the dotted path of a function that can be imported"
            raise ConfigError(self.field, name, f"{accepted}{reason}")
        return function

    def call(self, name: str, seen: Any, options: Mapping[str, Any], function: Callable[..., Any] | None = None) -> Any:
        """Return what the function called `name`, or another `function` that it declares, gives of what it sees.

        An ordinary exception in it becomes a UserError that names the function, the exception and the line, and has it
        as its cause. Where memory does not suffice, no function is to blame, and the exception stays as it is.
        """
        try:
            return (function or self.find(name))(seen, **options)
        except Exception as error:
            if isinstance(error, UserError) or out_of_memory(error):
                raise
            found = error.__traceback__.tb_next or error.__traceback__  # type: ignore[union-attr]
            where = f"{found.tb_frame.f_code.co_filename}, line {found.tb_lineno}"  # type: ignore[union-attr]
            what = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
            raise UserError(f"{self.field}={name} failed in {where} ({what}).") from error

    def declared(self, name: str) -> Declared:
        """Return what the function called `name` declares. Raise ConfigError if there is none."""
        return getattr(self.find(name), "declared", Declared())

    def check(self, name: str, options: Mapping[str, Any]) -> None:
        """Check the options of the function `name` against the types of its parameters, of which the first is not one.

        Raise ConfigError or UserError for an option that is unknown, missing or of another type. One that is "???", as
        OmegaConf has a value that its file leaves to the user, is missing.
        """
        function, field = self.find(name), f"{self.field}_options"
        parameters = list(inspect.signature(function).parameters.values())[1:]
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        try:
            types = get_type_hints(function, include_extras=True)
        except (NameError, TypeError):  # annotations that only a type checker can resolve
            types = {}
        left = [option for option, value in options.items() if isinstance(value, str) and value == "???"]
        for option, value in options.items():
            if option in named and option not in left:
                checked(types.get(option, Any), value, f"{field}.{option}", strict=True)
            elif option not in named and not takes_any:
                raise unknown(f"{field}.{option}", value, name, named)
        for option, parameter in named.items():
            if option in left or (option not in options and parameter.default is parameter.empty):
                raise UserError(f"{name} needs {field}.{option}: say it in the pruner's file or on the command line.")


def short_name(name: str) -> str:
    """Return the short name of one of our own functions; a name that is not a dotted path into this package stays."""
    return name.rpartition(".")[2] if name.startswith(f"{PACKAGE}.") else name


SELECTORS = Registry("pruner.selector", f"{PACKAGE}.pruning.selectors")
GATES = Registry("pruner.gate", f"{PACKAGE}.pruning.gates")
SCHEDULES = Registry("pruner.schedule", f"{PACKAGE}.pruning.schedules")
