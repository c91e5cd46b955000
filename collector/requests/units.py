"""How others write down numbers, instants and words, and what they are here. Pure.

Guarantee: a value that cannot be held is refused by name, never bent; a duration or instant is
whole microseconds, rounded half to even from the decimal text, so that 0.1 s is 100,000.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from collector.requests.answers import FINISHES
from telemetry.identity import MAX_NAME_LENGTH, Replica
from telemetry.requests import Finish, Status

_LARGEST: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ABSENT: Final = frozenset({"", "-", "None", "null"})
"""What logs write where there is nothing."""
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_FLAGS: Final[Mapping[str, bool]] = {"true": True, "1": True, "false": False, "0": False}
_STATUSES: Final[Mapping[str, Status]] = {
    **dict.fromkeys(("ok", "success", "succeeded", "completed"), Status.OK),
    **dict.fromkeys(("error", "failure", "failed"), Status.ERROR),
    **dict.fromkeys(("aborted", "abort", "cancelled", "canceled"), Status.ABORTED),
}


class Unit(StrEnum):
    """What a foreign value is in. The words are those of a column map's `unit`."""

    TEXT = "text"
    COUNT = "count"
    FLAG = "flag"
    STATUS = "status"
    FINISH = "finish"
    HTTP_STATUS = "http_status"
    ADDRESS = "address"
    SECONDS = "s"
    MILLIS = "ms"
    MICROS = "us"
    NANOS = "ns"
    UNIX_SECONDS = "unix_s"
    UNIX_MILLIS = "unix_ms"
    UNIX_MICROS = "unix_us"
    UNIX_NANOS = "unix_ns"
    ISO = "iso8601"

    @property
    def is_instant(self) -> bool:
        """Whether it is a point in time, not a length."""
        return self is Unit.ISO or self.startswith("unix_")


def converted(value: object, unit: Unit, *, host: str) -> object:
    """Return a foreign value as a field holds it; None where there is nothing.

    `host` is what this machine is called, for an address on it. Raises `ValueError` for a value
    that is not in its unit.
    """
    if isinstance(value, list) and unit in (Unit.TEXT, Unit.FINISH):
        value = value[0] if value else None
    if value is None or (isinstance(value, str) and value.strip() in _ABSENT):
        return None
    if unit is Unit.ADDRESS:
        return _address(value, host)
    return _CONVERTERS[unit](value)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    if isinstance(value, dict | list) or len(text) > MAX_NAME_LENGTH or not text.isprintable():
        raise ValueError(f"not a printable text of at most {MAX_NAME_LENGTH} characters")
    return text


def _decimal(value: object) -> Decimal:
    try:
        number = Decimal(str(value)) if isinstance(value, int | float | str) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite():
        raise ValueError("not a number")
    return number


def _scaled(factor: Decimal) -> Callable[[object], int]:
    def convert(value: object) -> int:
        number = _decimal(value)
        if not 0 <= number <= _LARGEST / factor:
            raise ValueError("negative or too large")
        return int((number * factor).quantize(Decimal(1), ROUND_HALF_EVEN))

    return convert


def _count(value: object) -> int:
    number = _decimal(value)
    if not 0 <= number <= _LARGEST or number != number.to_integral_value():
        raise ValueError("not a whole number of 0 or more")
    return int(number)


def _flag(value: object) -> bool:
    flag = _FLAGS.get(str(value).lower())
    if flag is None:
        raise ValueError("neither true nor false")
    return flag


def _status(value: object) -> Status:
    status = _STATUSES.get(str(value).lower())
    if status is None:
        raise ValueError(f"none of {', '.join(_STATUSES)}")
    return status


def _finish(value: object) -> Finish | None:
    return FINISHES.get(str(value).lower())


def _http_status(value: object) -> int | None:
    """Return an HTTP status; None for what is none, since some put words of their own there."""
    text = str(value)
    return int(text) if len(text) == 3 and text.isdecimal() and "100" <= text <= "599" else None


def _iso(value: object) -> int:
    try:
        at = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("not an ISO 8601 instant") from None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _address(value: object, host: str) -> str | None:
    """Return host and port of a URL or an address, as a replica is named; None where it has no host."""
    text = _text(value)
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return str(Replica(host if parts.hostname in _LOOPBACK else parts.hostname, str(port)))


_CONVERTERS: Final[Mapping[Unit, Callable[[object], object]]] = {
    Unit.TEXT: _text,
    Unit.COUNT: _count,
    Unit.FLAG: _flag,
    Unit.STATUS: _status,
    Unit.FINISH: _finish,
    Unit.HTTP_STATUS: _http_status,
    Unit.SECONDS: _scaled(Decimal(1_000_000)),
    Unit.MILLIS: _scaled(Decimal(1_000)),
    Unit.MICROS: _scaled(Decimal(1)),
    Unit.NANOS: _scaled(Decimal("0.001")),
    Unit.UNIX_SECONDS: _scaled(Decimal(1_000_000)),
    Unit.UNIX_MILLIS: _scaled(Decimal(1_000)),
    Unit.UNIX_MICROS: _scaled(Decimal(1)),
    Unit.UNIX_NANOS: _scaled(Decimal("0.001")),
    Unit.ISO: _iso,
}
