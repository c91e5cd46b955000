"""Recurring times: an RRULE of RFC 5545 in a time zone, turned into dated intervals.

A rule is read by the clock on the wall: every Sunday at 02:00 stays at 02:00 when the clocks are
changed. A start that the clock skips is moved to the end of the skip; one that it shows twice is
the first. Each time lasts its duration in real hours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from service.objectives.section import NotThatError
from slo.calendars import instant, wall, zone_of
from slo.durations import MICROS_PER_DAY
from slo.errors import ObjectiveError
from telemetry.units import MICROS_PER_MINUTE

LONGEST_US: Final = 31 * MICROS_PER_DAY
MOST_TIMES: Final = 10_000
"""Most times of one rule that are dated at once; later ones wait for the next dating."""

_PARTS: Final = {
    "FREQ": "DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": r"[1-9]\d{0,2}",
    "COUNT": r"[1-9]\d{0,4}",
    "UNTIL": r"\d{8}(T\d{6}Z?)?",
    "BYDAY": r"[+-]?\d{0,2}(MO|TU|WE|TH|FR|SA|SU)(,[+-]?\d{0,2}(MO|TU|WE|TH|FR|SA|SU))*",
    "BYMONTHDAY": r"-?\d{1,2}(,-?\d{1,2})*",
    "BYMONTH": r"\d{1,2}(,\d{1,2})*",
    "BYSETPOS": r"-?\d{1,3}(,-?\d{1,3})*",
    "WKST": "MO|TU|WE|TH|FR|SA|SU",
}
"""What a rule may say: which days. The time of day is that of its start."""

_EXAMPLE: Final = "write one such as FREQ=WEEKLY;BYDAY=SU"
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A time that begins at `start` on the clocks of `zone`, once or by a rule ('' = once).

    Raises `NotThatError` for what is no such time: an unknown zone, a rule that cannot be read
    or never comes, times longer than 31 days or not in whole minutes.
    """

    start: datetime
    zone: str
    duration_us: int
    rule: str = ""

    def __post_init__(self) -> None:
        if (
            self.start.tzinfo
            or self.start.second
            or self.start.microsecond
            or not 1970 < self.start.year < 2200
        ):
            raise NotThatError(f"{self.start} is not a local minute", "write one such as 2026-11-22 02:00")
        if not 0 < self.duration_us <= LONGEST_US or self.duration_us % MICROS_PER_MINUTE:
            raise NotThatError("a correction lasts whole minutes, up to 31d", "write a duration such as 2h")
        try:
            zone_of(self.zone)
        except ObjectiveError as error:
            raise NotThatError(error.cause, error.hint) from None
        if self.rule and next(iter(_read(self)), None) is None:
            raise NotThatError(f"{self.rule!r} never comes", _EXAMPLE)


def dated(when: Recurrence, from_us: int, to_us: int) -> list[tuple[int, int]]:
    """Return the times [begin, end) that touch [from_us, to_us), oldest first, `MOST_TIMES` at most."""
    zone = zone_of(when.zone)
    found = []
    for start in _starts(when, zone, from_us, to_us):
        begin_us = instant(start, zone)
        if begin_us < to_us and begin_us + when.duration_us > from_us:
            found.append((begin_us, begin_us + when.duration_us))
    return found[-MOST_TIMES:]


def _starts(when: Recurrence, zone: ZoneInfo, from_us: int, to_us: int) -> list[datetime]:
    """Return the starts on the wall that may matter: a day more than the time asked for on both sides."""
    if not when.rule:
        return [when.start]
    first, last = wall(from_us - when.duration_us, zone) - _DAY, wall(to_us, zone) + _DAY
    return list(_read(when).between(first, last, inc=True))


def _read(when: Recurrence) -> rrule:
    """Return the rule, with an end in UTC told by the clock on the wall."""
    parts = dict(part.partition("=")[::2] for part in when.rule.upper().removeprefix("RRULE:").split(";"))
    for name, value in parts.items():
        if not re.fullmatch(_PARTS.get(name, "(?!)"), value):
            raise NotThatError(f"{when.rule!r} is not a rule of days: {name}={value}", _EXAMPLE)
    if (until := parts.get("UNTIL", "")).endswith("Z"):
        end = datetime.strptime(until, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        parts["UNTIL"] = f"{end.astimezone(zone_of(when.zone)):%Y%m%dT%H%M%S}"
    try:
        return rrulestr(";".join(f"{name}={value}" for name, value in parts.items()), dtstart=when.start)
    except (ValueError, KeyError, TypeError) as error:
        raise NotThatError(f"{when.rule!r} is not a rule of recurrence: {error}", _EXAMPLE) from None
