"""Requests as a test writes them: any field of a request record, durations without their `_us`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from service.objectives.mistakes import suggestion
from service.objectives.section import NotThatError, Section
from service.objectives.words import duration, yes_or_no
from telemetry.columns import TABLE, ColumnSpec, Kind
from telemetry.requests import RequestRecord

MOST_REQUESTS: Final = 100_000
_SET_BY_TIME: Final = ("request_id", "started_at_us", "ended_at_us")
_DURATION: Final = "_us"
_COLUMNS: Final[dict[str, ColumnSpec]] = {
    column.name.removesuffix(_DURATION): column
    for column in TABLE["requests"].columns
    if column.name not in _SET_BY_TIME and column.kind is not Kind.UINTS
}


def requests(entry: Section, start_us: int) -> list[RequestRecord]:
    """Return the requests of one entry: `count` of them, the first ending at `at`, one `every` so often."""
    before = len(entry.notes.mistakes)
    entry.only("at", "every", "count", "fields")
    at_us = entry.read("at", duration) or 0
    every_us = entry.read("every", duration, required=False)
    count = entry.read("count", _count, required=False) or 1
    fields = entry.section("fields")
    known = _fields(fields) if fields is not None else {}
    if count > 1 and every_us is None:
        entry.wrong("count", f"{count} requests at one instant", "say how far apart: every: 1s")
    if len(entry.notes.mistakes) > before:
        return []
    return list(_records(known, at_us=start_us + at_us, every_us=every_us or 0, count=count))


def _records(known: dict[str, Any], *, at_us: int, every_us: int, count: int) -> Iterator[RequestRecord]:
    common: dict[str, Any] = {
        "model": "model",
        "status": "ok",
        "stream": True,
        "e2e_us": known.get("ttft_us") or 0,
    } | known
    for number in range(count):
        ended_at_us = at_us + number * every_us
        yield RequestRecord(
            request_id=f"{ended_at_us}-{number}",
            started_at_us=ended_at_us - common["e2e_us"],
            ended_at_us=ended_at_us,
            **common,
        )


def _fields(fields: Section) -> dict[str, Any]:
    fields.only(*_COLUMNS)
    found = {}
    for name, column in _COLUMNS.items():
        if fields.has(name):
            found[column.name] = fields.read(name, partial(_value, column))
    return found


def _value(column: ColumnSpec, text: str) -> Any:
    if column.words and text not in column.words:
        raise NotThatError(f"{text!r} is none of its words", suggestion(text, column.words))
    if column.name.endswith(_DURATION):
        return duration(text)
    if column.kind is Kind.FLAG:
        return yes_or_no(text)
    if column.kind is Kind.TEXT:
        return text
    try:
        return float(text) if column.kind is Kind.FLOAT else int(text)
    except ValueError:
        raise NotThatError(f"{text!r} is not a number", "write one such as 20") from None


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= MOST_REQUESTS:
        raise NotThatError(f"{text!r} is not a count up to {MOST_REQUESTS:,}", "write one such as 60")
    return int(text)
