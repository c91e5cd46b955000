"""Calendar windows: for an instant, the exact [from, to) of the day, week, month, … that holds it.

Guarantee: periods follow each other without gap or overlap, and each begins at the first instant
at which a clock on the wall of its zone shows its start or later. So a day is 23, 24 or 25 hours
long where the clock is changed; a start that the clock skips is the instant of the skip; one that
it shows twice is the first. A month that has no 31st begins on its last day.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from slo.durations import MICROS_PER_DAY
from slo.errors import ObjectiveError
from telemetry.units import MICROS_PER_MINUTE

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO: Final = timedelta(microseconds=1)
_SUBJECT: Final = "window"


class Unit(StrEnum):
    """What a calendar window is a number of, as OpenSLO abbreviates it."""

    DAY = "d"
    WEEK = "w"
    MONTH = "M"
    QUARTER = "Q"
    YEAR = "Y"


@dataclass(frozen=True, slots=True)
class _Span:
    """How far one unit reaches on the wall calendar, and how it is spoken of."""

    days: int
    months: int
    nominal_days: int
    each: str
    adjective: str


_SPANS: Final = {
    Unit.DAY: _Span(1, 0, 1, "day", "daily"),
    Unit.WEEK: _Span(7, 0, 7, "week", "weekly"),
    Unit.MONTH: _Span(0, 1, 30, "month", "monthly"),
    Unit.QUARTER: _Span(0, 3, 91, "quarter", "quarterly"),
    Unit.YEAR: _Span(0, 12, 365, "year", "yearly"),
}
LONGEST_DAYS: Final = 366


@dataclass(frozen=True, slots=True)
class Period:
    """The time [from_us, to_us) in UTC microseconds."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Periods of `count` units, one of which begins at `start` on the clocks of `zone`.

    Raises `ObjectiveError` for a zone nobody knows, a start between two minutes, more than a year.
    """

    unit: Unit
    start: datetime
    zone: str = "UTC"
    count: int = 1

    def __post_init__(self) -> None:
        span = _SPANS[self.unit]
        if not 0 < self.count * span.nominal_days <= LONGEST_DAYS:
            raise ObjectiveError(_SUBJECT, f"{self.count} {span.each}s is not up to a year", "write 1M or 1Q")
        start = self.start
        if start.tzinfo or start.second or start.microsecond or not 1970 <= start.year <= 2200:
            cause = f"{start} is not a minute of a local calendar"
            raise ObjectiveError(_SUBJECT, cause, "write a start such as 2026-01-01 00:00:00")
        zone_of(self.zone)

    @property
    def duration_us(self) -> int:
        """Its nominal length, by which burn rates are reckoned: a month is 30 days, a year 365."""
        return self.count * _SPANS[self.unit].nominal_days * MICROS_PER_DAY

    def period(self, at_us: int) -> Period:
        """Return the period that holds an instant."""
        number = self._guess(at_us)
        while self._begin(number) > at_us:
            number -= 1
        while (to_us := self._begin(number + 1)) <= at_us:
            number += 1
        return Period(self._begin(number), to_us)

    def promised(self) -> str:
        """Return `in each month (Europe/Berlin)`."""
        each = _SPANS[self.unit].each
        length = each if self.count == 1 else f"{self.count} {each}s"
        return f"in each {length} ({self.zone})"

    def adjective(self) -> str:
        """Return `monthly`, or `2-month`."""
        span = _SPANS[self.unit]
        return span.adjective if self.count == 1 else f"{self.count}-{span.each}"

    def content(self) -> object:
        """Return what a version of an objective depends on, as JSON has it."""
        return ["calendar", self.unit, self.count, self.start.isoformat(), self.zone]

    def _guess(self, at_us: int) -> int:
        """Return the number of the period, or of one next to it."""
        here, span = wall(at_us, zone_of(self.zone)), _SPANS[self.unit]
        if span.months:
            months = (here.year - self.start.year) * 12 + here.month - self.start.month
            return months // (span.months * self.count)
        return (here.date() - self.start.date()).days // (span.days * self.count)

    def _begin(self, number: int) -> int:
        """Return when period `number` begins; 0 is the one that begins at `start`."""
        span, steps = _SPANS[self.unit], number * self.count
        moved = _months_later(self.start, steps * span.months) + timedelta(days=steps * span.days)
        return instant(moved, zone_of(self.zone))


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name; raises `ObjectiveError` for one nobody knows. Read once."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "use a name such as Europe/Berlin or UTC"
        raise ObjectiveError(_SUBJECT, f"no time zone is called {name!r}", hint) from None


def wall(at_us: int, zone: ZoneInfo) -> datetime:
    """Return what a clock on the wall shows at an instant."""
    return (_EPOCH + at_us * _MICRO).astimezone(zone).replace(tzinfo=None, fold=0)


def instant(shown: datetime, zone: ZoneInfo) -> int:
    """Return the first instant at which a clock on the wall shows a time or a later one."""
    late = _micros(shown.replace(tzinfo=zone, fold=0))
    if wall(late, zone) == shown:
        return late
    # The clock skips it. Read with the offsets before and after the skip it is on either side of it.
    early = _micros(shown.replace(tzinfo=zone, fold=1))
    while late - early > MICROS_PER_MINUTE:
        middle = (early + late) // 2 // MICROS_PER_MINUTE * MICROS_PER_MINUTE
        early, late = (early, middle) if wall(middle, zone) > shown else (middle, late)
    return late


def _months_later(shown: datetime, months: int) -> datetime:
    """Return the same day of another month, or its last day if it is shorter."""
    years, month = divmod(shown.month - 1 + months, 12)
    year = shown.year + years
    return shown.replace(year=year, month=month + 1, day=min(shown.day, monthrange(year, month + 1)[1]))


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICRO
