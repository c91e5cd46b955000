"""The parameters of indicators as files write them: one reader for each type of field."""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from service.objectives.mistakes import suggestion
from service.objectives.section import NotThatError
from service.objectives.words import duration, number
from slo.durations import written
from slo.indicator import Indicator

_DURATION_SUFFIX: Final = "_us"
_COUNT: Final = re.compile(r"\d{1,15}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its name in a file, the field it fills, and how its text is read.

    `read` returns the field's value or raises `NotThatError`. `meaning` says what is written
    (`duration`), `example` is one. `default` is what holds when it is not given, as a file
    would write it; empty = nothing. `required` = it must be given.
    """

    name: str
    field: str
    read: Callable[[str], Any]
    meaning: str
    example: str
    required: bool
    default: str = ""


@dataclass(frozen=True, slots=True)
class _Type:
    read: Callable[[str], Any]
    meaning: str
    example: str


def count(text: str) -> int:
    """Return a whole number such as `100` or `8_192`; raises `NotThatError`."""
    plain = text.strip().replace("_", "")
    if not _COUNT.fullmatch(plain):
        raise NotThatError(f"{text!r} is not a whole number", "write one such as 100")
    return int(plain)


_DURATION: Final = _Type(duration, "duration", "2s")
_TYPES: Final[Mapping[type, _Type]] = {
    int: _Type(count, "whole number", "100"),
    Decimal: _Type(number, "number", "0.9"),
    str: _Type(str.strip, "text", "text"),
}


@functools.cache
def parameters(cls: type[Indicator]) -> tuple[Parameter, ...]:
    """Return the parameters of an indicator, in the order of its fields."""
    hints = typing.get_type_hints(cls)
    return tuple(_parameter(field, hints[field.name]) for field in dataclasses.fields(cls))  # type: ignore[arg-type]


def _parameter(field: dataclasses.Field[Any], hint: Any) -> Parameter:
    if isinstance(hint, types.UnionType):
        (hint,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
    timed = field.name.endswith(_DURATION_SUFFIX)
    kind = _DURATION if timed else _words(hint) if issubclass(hint, StrEnum) else _TYPES[hint]
    default: Any = "" if field.default in (None, dataclasses.MISSING) else field.default
    return Parameter(
        name=field.name.removesuffix(_DURATION_SUFFIX),
        field=field.name,
        read=kind.read,
        meaning=kind.meaning,
        example=kind.example,
        required=field.default is dataclasses.MISSING,
        default=written(default) if timed and default else str(default),
    )


def _words(closed: type[StrEnum]) -> _Type:
    """Return the type of a word from a closed list."""
    known = tuple(member.value for member in closed)

    def read(text: str) -> StrEnum:
        if text.strip() not in known:
            raise NotThatError(f"{text!r} is not one of {', '.join(known)}", suggestion(text, known))
        return closed(text.strip())

    return _Type(read, " or ".join(f"`{word}`" for word in known), known[0])
