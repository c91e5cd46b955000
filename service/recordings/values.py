"""From a recorded text to a value of ours: the unit conversions a column map may name.

Each returns None for a text that means "not recorded" and raises `ValueError` with the cause
for one that cannot be what the column says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from telemetry.columns import ColumnSpec, Kind
from telemetry.identity import MAX_NAME_LENGTH
from telemetry.requests import Finish, Status
from telemetry.units import MICROS_PER_SECOND, micros

Convert = Callable[[Any], Any]

MISSING: Final = frozenset({"", "nan", "null", "none", "n/a"})
MAX_INSTANT_US: Final = 4_102_444_800 * MICROS_PER_SECOND
"""2100-01-01: a later instant is taken for a wrong unit."""
_MAX_COUNT: Final = 2**53
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

STATUSES: Final[dict[str, Status]] = {
    "ok": Status.OK,
    "success": Status.OK,
    "succeeded": Status.OK,
    "true": Status.OK,
    "error": Status.ERROR,
    "failed": Status.ERROR,
    "failure": Status.ERROR,
    "timeout": Status.ERROR,
    "false": Status.ERROR,
    "aborted": Status.ABORTED,
    "abort": Status.ABORTED,
    "cancelled": Status.ABORTED,
    "canceled": Status.ABORTED,
}


def missing(value: object) -> bool:
    """Tell whether a recorded value means "not recorded"."""
    return value is None or (isinstance(value, str) and value.strip().casefold() in MISSING)


def _number(value: object) -> Decimal:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"{str(value)[:60]!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{str(value)[:60]!r} is not a finite number")
    return number


def duration(per_second: int) -> Convert:
    """Return the reader of a duration whose unit goes `per_second` to a second, as microseconds."""

    def read(value: object) -> int:
        found = micros(_number(value) / per_second if per_second != 1 else _number(value))
        if not 0 <= found < _MAX_COUNT:
            raise ValueError(f"{value!r} is negative or too long for a duration")
        return found

    return read


def instant(value: object) -> int:
    """Return a point in time, Unix seconds or ISO 8601 (UTC when it names no zone), as microseconds."""
    text = str(value).strip()
    try:
        found = micros(_number(text))
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text[:60]!r} is neither Unix seconds nor an ISO 8601 time") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        found = (moment - _EPOCH) // timedelta(microseconds=1)
    return in_range(found)


def instant_in(per_second: int) -> Convert:
    """Return the reader of a point in time given as a number of parts of a second since 1970."""
    return lambda value: in_range(micros(_number(value) / per_second))


def in_range(at_us: int) -> int:
    """Return a point in time unchanged; raises `ValueError` before 1970 and after 2100."""
    if not 0 <= at_us < MAX_INSTANT_US:
        raise ValueError(f"{at_us:,} microseconds is not between 1970 and 2100; is the unit right")
    return at_us


def count(value: object) -> int:
    """Return a whole number of 0 .. 2**53; `12.0` is whole."""
    number = _number(value)
    if number != number.to_integral_value() or not 0 <= number < _MAX_COUNT:
        raise ValueError(f"{str(value)[:60]!r} is not a whole number of 0 or more")
    return int(number)


def text(value: object) -> str:
    """Return a name of at most `MAX_NAME_LENGTH` characters."""
    found = str(value).strip()
    if len(found) > MAX_NAME_LENGTH:
        raise ValueError(f"a name of {len(found)} characters, {MAX_NAME_LENGTH} at most")
    return found


def status(value: object) -> Status:
    """Return how a request ended: one of `STATUSES`, or an HTTP status."""
    found = str(value).strip().casefold()
    if found.isdigit():
        return Status.OK if int(found) < 400 else Status.ERROR
    if found not in STATUSES:
        raise ValueError(f"{found[:60]!r} is no outcome; known are {', '.join(sorted(STATUSES))}")
    return STATUSES[found]


def flag(value: object) -> bool:
    """Return true or false."""
    found = str(value).strip().casefold()
    if found not in {"true", "false", "1", "0"}:
        raise ValueError(f"{found[:60]!r} is neither true nor false")
    return found in {"true", "1"}


def word(allowed: Sequence[str]) -> Convert:
    """Return the reader of one word of a closed list."""

    def read(value: object) -> str:
        found = str(value).strip().casefold()
        if found not in allowed:
            raise ValueError(f"{found[:60]!r} is none of {', '.join(allowed)}")
        return found

    return read


def finish(value: object) -> Finish:
    """Return why generation stopped."""
    return Finish(word([each.value for each in Finish])(value))


def gap_texts(value: object) -> list[str]:
    """Return the texts of gaps recorded as a list, or joined by semicolons."""
    return [str(each) for each in value] if isinstance(value, list) else str(value).split(";")


def convert_for(spec: ColumnSpec) -> Convert:
    """Return the reader of one of our own columns, recorded under its own name."""
    if spec.words:
        return word(spec.words)
    return {Kind.TEXT: text, Kind.FLAG: flag}.get(spec.kind, count)


def finite(value: object) -> float:
    """Return a finite number."""
    return float(_number(value))
