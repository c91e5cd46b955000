"""OpenSLO's timeWindow and budgetingMethod: how long a budget lasts, and in what it is counted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from service.objectives.draft import Draft
from service.objectives.mistakes import suggestion
from service.objectives.section import NotThatError, Section
from service.objectives.words import duration, number, yes_or_no
from slo.calendars import Calendar, Unit, zone_of
from slo.errors import ObjectiveError
from slo.objective import Rolling
from slo.slices import OCCURRENCES, Budgeting, RatioTimeslices, Timeslices
from telemetry.units import MICROS_PER_MINUTE

_CALENDAR: Final = re.compile(r"(\d{1,3})\s*([a-zA-Z]+)")
_SLICED: Final = ("timeSliceTarget", "timeSliceWindow")


def window(spec: Section, draft: Draft) -> Draft:
    """Return the draft with its window: rolling, or of a calendar."""
    entries = spec.sections("timeWindow")
    if len(entries) > 1:
        spec.notes.wrong(entries[1].place(), "an objective has one window", "keep one")
    if not entries:
        return draft
    entry = entries[0]
    entry.only("duration", "isRolling", "calendar")
    rolling = entry.read("isRolling", yes_or_no, required=not entry.has("calendar"))
    by_calendar = entry.has("calendar") if rolling is None else not rolling
    found = _calendar(entry) if by_calendar else _rolling(entry)
    place = entry.place("duration")
    return replace(draft.at("window", place).at("policy", place), window=found or draft.window)


def _rolling(entry: Section) -> Rolling | None:
    if entry.has("calendar"):
        hint = "write isRolling: false, or leave the calendar out"
        entry.wrong("calendar", "a rolling window follows no calendar", hint)
    length_us = entry.read("duration", duration)
    return None if length_us is None else Rolling(length_us)


def _calendar(entry: Section) -> Calendar | None:
    length = entry.read("duration", calendar_length)
    calendar = entry.section("calendar")
    if calendar is None:
        return None
    calendar.only("startTime", "timeZone")
    start, zone = calendar.read("startTime", local_time), calendar.read("timeZone", zone_name)
    if length is None or start is None or zone is None:
        return None
    count, unit = length
    try:
        return Calendar(unit=unit, count=count, start=start, zone=zone)
    except ObjectiveError as error:
        entry.wrong("duration", error.cause, error.hint)
        return None


def budgeting(spec: Section, promised: Section | None, draft: Draft) -> Draft:
    """Return the draft with its budgeting method and the slices that go with it."""
    method = spec.text("budgetingMethod")
    if method is None or promised is None:
        return draft
    if method not in _METHODS:
        cause = f"budgets are not counted in {method!r}"
        spec.wrong("budgetingMethod", cause, suggestion(method, tuple(_METHODS)))
        return draft
    wanted, read = _METHODS[method]
    for name in _SLICED:
        if promised.has(name) and name not in wanted:
            promised.wrong(name, f"{method} has no {name}", "leave it out, or use another budgetingMethod")
    place = promised.place("timeSliceWindow") if wanted else spec.place("budgetingMethod")
    return replace(draft.at("budgeting", place), budgeting=read(promised) or draft.budgeting)


def _occurrences(_promised: Section) -> Budgeting | None:
    return OCCURRENCES


def _timeslices(promised: Section) -> Budgeting | None:
    target = promised.read("timeSliceTarget", slice_target)
    width_us = promised.read("timeSliceWindow", slice_width)
    if target is None or width_us is None:
        return None
    return _made(promised, lambda: Timeslices(width_us, target))


def _ratio_timeslices(promised: Section) -> Budgeting | None:
    width_us = promised.read("timeSliceWindow", slice_width)
    return None if width_us is None else _made(promised, lambda: RatioTimeslices(width_us))


_METHODS: Final[dict[str, tuple[tuple[str, ...], Callable[[Section], Budgeting | None]]]] = {
    "Occurrences": ((), _occurrences),
    "Timeslices": (_SLICED, _timeslices),
    "RatioTimeslices": (("timeSliceWindow",), _ratio_timeslices),
}


def _made(promised: Section, make: Callable[[], Budgeting]) -> Budgeting | None:
    try:
        return make()
    except ObjectiveError as error:
        promised.wrong("timeSliceWindow", error.cause, error.hint)
        return None


def calendar_length(text: str) -> tuple[int, Unit]:
    """Return `1M` or `2w` as a number of calendar units; raises `NotThatError`."""
    match = _CALENDAR.fullmatch(text.strip())
    units = {unit.value: unit for unit in Unit}
    if match is None or match.group(2) not in units:
        hint = f"write a number and one of {', '.join(units)}, such as 1M, or isRolling: true"
        raise NotThatError(f"{text!r} is not a period of a calendar", hint)
    return int(match.group(1)), units[match.group(2)]


def local_time(text: str) -> datetime:
    """Return `2026-01-01 00:00:00`, without a zone; raises `NotThatError`."""
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        read = None
    if read is None or read.tzinfo is not None:
        hint = "write one such as 2026-01-01 00:00:00; its zone stands beside it"
        raise NotThatError(f"{text!r} is not a local time", hint)
    return read


def zone_name(text: str) -> str:
    """Return the name of a time zone that is known; raises `NotThatError`."""
    try:
        zone_of(text)
    except ObjectiveError as error:
        raise NotThatError(error.cause, error.hint) from None
    return text


def slice_width(text: str) -> int:
    """Return how long a slice is, in microseconds: a duration, or a number of minutes as OpenSLO has it."""
    return int(text) * MICROS_PER_MINUTE if text.strip().isdecimal() else duration(text)


def slice_target(text: str) -> Decimal:
    """Return the share of a slice that must be good, in (0, 1]; raises `NotThatError`."""
    value = number(text)
    if not 0 < value <= 1:
        raise NotThatError(f"{text} is not above 0 and at most 1", "write one such as 0.95")
    return value
