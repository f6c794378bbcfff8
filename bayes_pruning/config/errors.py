"""Errors that a user can mend: one sentence each, shown without a stack trace."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from hydra.errors import CompactHydraException


class UserError(CompactHydraException):
    """A failure whose message says all that the user needs (Hydra prints such an error without its stack)."""


class ConfigError(UserError):
    """A config value that is not accepted; the sentence names field, value and what is accepted."""

    def __init__(self, field: str, value: Any, accepted: str) -> None:
        super().__init__(f"{field}={value} is not accepted: {field} takes {accepted}.")
        self.reason = (field, value, accepted)

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, Any, str]]:
        return ConfigError, self.reason  # a launcher's worker sends its job's error by pickle


class RunFailed(UserError):
    """A run that can not go on, for instance because its loss is no longer finite."""


@contextmanager
def user_error(sentence: str, kinds: type[Exception] | tuple[type[Exception], ...] = Exception) -> Iterator[None]:
    """Turn an exception of some kinds into a UserError: `sentence`, with the exception's type and words in brackets."""
    try:
        yield
    except kinds as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".: ")
        raise UserError(f"{sentence} ({reason}).") from error


def end_with_closed_output() -> NoReturn:
    """End the program when what reads its output has gone, as `| head` does; at its end Python would complain too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def out_of_memory(error: BaseException) -> bool:
    """Return whether memory did not suffice. Torch's own error is known by its name: nothing here imports torch."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


def one_of(options: Iterable[str]) -> str:
    """Return 'a, b or c', for the sentence of a ConfigError."""
    *head, last = options
    return f"{', '.join(head)} or {last}" if head else last


def listed(option: str, text: str, known: Sequence[str]) -> list[str]:
    """Return the parts of a comma-separated list. Raise ConfigError for one that is not known, or if there is none."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts or [text]:
        if part not in known:
            raise ConfigError(option, part, f"one or more of {', '.join(known)}, separated by commas")
    return parts
