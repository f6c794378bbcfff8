"""Values against their types, by pydantic; what is not accepted ends in one sentence."""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from numbers import Integral
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from bayes_pruning.config.errors import ConfigError, UserError, one_of

LARGEST = 1e37  # of a learning rate, beta or deviation: Adam divides the first by 0.1, and float32 ends at 3.4e38
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")  # the types of pydantic's error for a field there is not
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_adapter = lru_cache(maxsize=256)(TypeAdapter)
NAME_BYTES = 60  # three names, sparsity, seed and hash stay below the 255 bytes that a folder's name may have


def _short(name: str) -> str:
    if len(name.encode()) > NAME_BYTES:
        raise ValueError
    return name


def _plain(value: Any) -> Any:
    """Return a whole number of NumPy's as one of Python's, and everything else as it is."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


# The descriptions say what a field takes; they end the sentence of a ConfigError.
Text = Annotated[str, Field(strict=True, min_length=1, description="text")]
TextOrNull = Annotated[str | None, Field(strict=True, min_length=1, description="text, or null")]
Name = Annotated[
    str,
    Field(
        strict=True,
        pattern=r"^[^/\x00-\x1f]+$",
        description=f"text of up to {NAME_BYTES} bytes without /, as it is part of a folder's name",
    ),
    AfterValidator(_short),
]
Flag = Annotated[bool, Field(strict=True, description="true or false")]
Number = Annotated[  # + 0.0: -0.0 is 0, also in a hash
    float, Field(strict=True, allow_inf_nan=False, description="a number"), AfterValidator(lambda value: value + 0.0)
]
AboveZero = Annotated[
    float, Field(strict=True, gt=0, le=LARGEST, description=f"a number above 0, up to {LARGEST:g}", allow_inf_nan=False)
]
AboveZeroOrNull = Annotated[
    float | None, Field(strict=True, gt=0, description="a number above 0, or null for no limit", allow_inf_nan=False)
]
AtLeastZero = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False, description="a number of at least 0")]
Fraction = Annotated[  # abs: -0.0 is 0, also in a hash
    float, Field(strict=True, ge=0, le=1, description="a number from 0 to 1"), AfterValidator(abs)
]
BelowOne = Annotated[float, Field(strict=True, ge=0, lt=1, description="a number from 0 to below 1")]
Count = Annotated[int, BeforeValidator(_plain), Field(strict=True, ge=1, description="a whole number of at least 1")]
CountOrNull = Annotated[int | None, Field(strict=True, ge=1, description="a whole number of at least 1, or null")]
Whole = Annotated[
    int,
    BeforeValidator(_plain),
    Field(strict=True, ge=0, lt=2**63, description="a whole number of at least 0 and below 2^63"),
]
Numbers = Annotated[
    list[Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, allow_inf_nan=False)]],
    Field(min_length=1, description="a list of numbers, none infinite or NaN"),
]
Options = Annotated[
    Mapping[str, Any],
    BeforeValidator(lambda value: {} if value is None else value),
    Field(description="options by name"),
]


def checked(kind: Any, value: Any, field: str = "", strict: bool | None = None) -> Any:
    """Return plain values as `kind`, a type that pydantic knows: a dataclass with `__pydantic_config__`, for instance.

    `field` is the value's name in the config, "" for the whole of it. With `strict` no value is converted; None leaves
    that to `kind`.

    Raise ConfigError for the first value that is not accepted, UserError for an unknown field or a missing one.
    """
    try:
        return _adapter(kind).validate_python(value, strict=strict)
    except ValidationError as error:
        problem = sorted(error.errors(), key=lambda each: each["type"] not in UNKNOWN)[0]
    names, deeper = [field] if field else [], False
    for part in problem["loc"]:
        inner = _fields(kind)
        if problem["type"] in UNKNOWN and part not in inner:
            raise unknown(".".join([*names, str(part)]), problem["input"], ".".join(names) or "the config", inner)
        if part not in inner:
            deeper = True  # an item of a list: its whole field is named
            break
        names.append(str(part))
        kind, value = inner[part], value.get(part)
    name = ".".join(names)
    if problem["type"].startswith("missing"):
        raise UserError(f"The config has no field '{name}'; conf/config.yaml and its groups list them all.")
    message = str(kind) if deeper else problem["msg"].removeprefix("Input should be ")
    shown = repr(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value  # a number only without quotes
    raise ConfigError(name, shown, _accepted(kind) or message)


def unknown(name: str, value: Any, owner: str, fields: Collection[str]) -> UserError:
    """Return the error that says that `owner` has no field of this name."""
    accepted = f"has only {one_of(sorted(fields))}" if fields else "has none"
    return UserError(f"{name}={value} is not accepted: there is no such field, {owner} {accepted}.")


def _fields(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's or typed dictionary's fields; nothing for other types."""
    return get_type_hints(kind, include_extras=True) if hasattr(kind, "__pydantic_config__") else {}


def _accepted(kind: Any) -> str | None:
    if get_origin(kind) is Literal:
        return one_of(map(str, get_args(kind)))
    if fields := _fields(kind):
        return f"the fields {', '.join(fields)}"
    described = (part.description for part in getattr(kind, "__metadata__", ()) if isinstance(part, FieldInfo))
    return next(filter(None, described), None)
