"""How the values of a file are read: durations, targets, yes and no."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from service.objectives.section import NotThatError
from slo.durations import MICROS_PER_DAY, UNITS_US
from telemetry.units import micros

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-zA-Z]+)")
_UNITS: Final = {**UNITS_US, "w": 7 * MICROS_PER_DAY}
_CALENDAR: Final = frozenset("MQY")


def duration(text: str) -> int:
    """Return `2s`, `100ms`, `1.5s` or `30d` in microseconds; raises `NotThatError`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise NotThatError(
            f"{text!r} is not a duration", "write a number and a unit such as 2s, 100ms or 30d"
        )
    number, unit = match.groups()
    if unit in _CALENDAR:
        raise NotThatError(f"{text!r} is a calendar period of no fixed length", "write days, such as 30d")
    if unit not in _UNITS:
        raise NotThatError(f"{text!r} has no unit that is known", f"use one of {', '.join(_UNITS)}")
    exact = Decimal(number) * _UNITS[unit]
    if exact != int(exact):
        raise NotThatError(f"{text!r} is finer than a microsecond", "write it in us, ms or s")
    return int(exact)


def seconds(text: str) -> int:
    """Return a plain number of seconds in microseconds; raises `NotThatError`."""
    try:
        return micros(text.strip())
    except (InvalidOperation, ValueError):
        raise NotThatError(f"{text!r} is not a number of seconds", "write one such as 2 or 0.1") from None


def ratio(text: str) -> Decimal:
    """Return a target as written, exactly; raises `NotThatError`."""
    value = number(text)
    if not 0 < value < 1:
        hint = (
            f"write {value / 100:f}, or targetPercent: {text}"
            if 1 < value < 100
            else "write one such as 0.999"
        )
        raise NotThatError(f"{text} is not between 0 and 1", hint)
    return value


def percent(text: str) -> Decimal:
    """Return a target written in percent as a ratio, exactly; raises `NotThatError`."""
    value = number(text)
    if not 0 < value < 100:
        raise NotThatError(f"{text} is not between 0 and 100", "write a percentage such as 99.9")
    return value / 100


def yes_or_no(text: str) -> bool:
    """Return true or false as written; raises `NotThatError`."""
    if text.lower() not in ("true", "false"):
        raise NotThatError(f"{text!r} is neither true nor false", "write true or false")
    return text.lower() == "true"


def number(text: str) -> Decimal:
    """Return a decimal number as written, exactly; raises `NotThatError`."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise NotThatError(f"{text!r} is not a number", "write one such as 99.9")
    return value
