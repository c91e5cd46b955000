"""Calendar periods equal what one finds who watches a clock on the wall, minute by minute."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.calendars import Calendar, Unit
from slo.errors import ObjectiveError

MINUTE = 60_000_000
DAY = 1_440 * MINUTE
ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",  # moves its clocks by half an hour
    "Africa/Cairo",  # moves them at midnight
    "America/St_Johns",
)
FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) // 60 for year in (2023, 2027))


@cache
def clock(zone):
    """Return what a clock in a zone shows, each quarter of an hour from 2023 to 2027, in minutes.

    A clock that is put back shows nothing new until it has caught up.
    """
    shown = [
        int(datetime.fromtimestamp(minute * 60, ZoneInfo(zone)).replace(tzinfo=UTC).timestamp()) // 60
        for minute in range(FIRST, LAST, 15)
    ]
    return np.maximum.accumulate(shown)


def months_on(start, months):
    year, month = start.year, start.month
    for _ in range(months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return start.replace(year=year, month=month, day=min(start.day, monthrange(year, month)[1]))


STEP = {
    Unit.DAY: lambda start, n: start + timedelta(days=n),
    Unit.WEEK: lambda start, n: start + timedelta(days=7 * n),
    Unit.MONTH: months_on,
    Unit.QUARTER: lambda start, n: months_on(start, 3 * n),
    Unit.YEAR: lambda start, n: months_on(start, 12 * n),
}


def watched(zone, unit, count, start):
    """Return the instants, in minutes, at which a period was seen to begin."""
    begins, n = [], 0
    while (shown := STEP[unit](start, n * count)).year < 2026:
        minute = int(shown.replace(tzinfo=UTC).timestamp()) // 60
        begins.append(FIRST + 15 * int(np.searchsorted(clock(zone), minute)))
        n += 1
    return begins


starts = st.builds(
    lambda day, quarter: datetime.fromisoformat("2023-02-01") + timedelta(days=day, minutes=15 * quarter),
    st.integers(0, 200),
    st.integers(0, 95),
)


@given(
    st.sampled_from(ZONES),
    st.sampled_from(
        [(unit, count) for unit in Unit for count in (1, 2, 5) if (unit, count) != (Unit.QUARTER, 5)]
    ),
    starts,
    st.integers(0, 15 * MINUTE - 1),
    st.randoms(use_true_random=False),
)
@settings(max_examples=150, deadline=None)
def test_periods_equal_those_seen_on_a_clock(zone, length, start, within_us, chance):
    unit, count = length
    if unit is Unit.YEAR and count > 1:
        count = 1
    calendar = Calendar(unit=unit, count=count, start=start, zone=zone)
    begins = watched(zone, unit, count, start)
    for at in {0, len(begins) - 2, chance.randrange(len(begins) - 1)}:
        for instant_us in (begins[at] * MINUTE, begins[at] * MINUTE + within_us, begins[at + 1] * MINUTE - 1):
            period = calendar.period(instant_us)
            assert (period.from_us, period.to_us) == (begins[at] * MINUTE, begins[at + 1] * MINUTE)


@given(st.sampled_from(ZONES), st.sampled_from(list(Unit)), starts, st.integers(0, 3 * 365 * DAY))
@settings(max_examples=100, deadline=None)
def test_periods_follow_each_other_without_gap_or_overlap(zone, unit, start, offset_us):
    calendar = Calendar(unit=unit, start=start, zone=zone)
    at_us = FIRST * MINUTE + offset_us
    period = calendar.period(at_us)
    assert period.from_us <= at_us < period.to_us
    assert calendar.period(period.to_us).from_us == period.to_us
    assert calendar.period(period.from_us - 1).to_us == period.from_us


def local(calendar, at_us):
    return str(datetime.fromtimestamp(at_us / 1e6, ZoneInfo(calendar.zone)))[:16]


def test_the_month_that_begins_on_the_31st_begins_on_the_last_day_of_shorter_ones():
    calendar = Calendar(unit=Unit.MONTH, start=datetime.fromisoformat("2024-01-31"), zone="Europe/Berlin")
    at_us, begins = int(datetime(2024, 2, 1, tzinfo=UTC).timestamp()) * 1_000_000, []
    for _ in range(4):
        at_us = calendar.period(at_us).to_us
        begins.append(local(calendar, at_us))
    assert begins == ["2024-02-29 00:00", "2024-03-31 00:00", "2024-04-30 00:00", "2024-05-31 00:00"]


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        ("2025-03-09", "America/New_York", 23),
        ("2025-11-02", "America/New_York", 25),
        ("2025-04-06", "Australia/Lord_Howe", 24.5),
        ("2025-06-01", "Asia/Kolkata", 24),
        ("2025-04-25", "Africa/Cairo", 23),  # it begins at 01:00: midnight is skipped
        ("2011-12-30", "Pacific/Apia", 0),  # this day was left out
    ],
)
def test_a_day_is_as_long_as_its_clocks_make_it(day, zone, hours):
    start = datetime.fromisoformat(day)
    calendar = Calendar(unit=Unit.DAY, start=start, zone=zone)
    begins, ends = (calendar._begin(n) for n in (0, 1))
    assert (ends - begins) / (60 * MINUTE) == hours


def test_a_start_that_the_clock_skips_is_the_instant_of_the_skip():
    calendar = Calendar(unit=Unit.DAY, start=datetime.fromisoformat("2025-03-01 02:30"), zone="Europe/Berlin")
    at_us = int(datetime(2025, 3, 30, 12, tzinfo=UTC).timestamp()) * 1_000_000
    assert local(calendar, calendar.period(at_us).from_us) == "2025-03-30 03:00"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"zone": "Mars/Olympus"}, "no time zone"),
        ({"zone": "../etc/passwd"}, "no time zone"),
        ({"count": 0}, "not up to a year"),
        ({"count": 13}, "not up to a year"),
        ({"start": datetime.fromisoformat("2024-01-01 00:00:01")}, "not a minute"),
        ({"start": datetime.fromisoformat("2024-01-01T00:00:00+01:00")}, "not a minute"),
    ],
)
def test_what_is_no_calendar_is_refused(changes, cause):
    values = {"unit": Unit.MONTH, "start": datetime.fromisoformat("2024-01-01")}
    with pytest.raises(ObjectiveError, match=cause):
        Calendar(**values | changes)
