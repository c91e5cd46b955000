"""Recurring times by the clock on the wall: what one finds who goes through the days one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.objectives.recurrence import Recurrence, dated
from service.objectives.section import NotThatError

HOUR = 3_600_000_000
DAY = 24 * HOUR
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")


def us(moment):
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def found_day_by_day(start, zone, days, hours, from_us, to_us):
    """Return the times on the given days of the week; a start that is skipped is looked for minute by minute."""
    times, day = [], start
    while us(day.replace(tzinfo=UTC)) < to_us + 2 * DAY:
        if DAYS[day.weekday()] in days:
            begin = day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
            shown = begin.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            if shown != day:  # skipped: go back to the first minute that shows more
                while (begin - timedelta(minutes=1)).astimezone(ZoneInfo(zone)).replace(tzinfo=None) >= day:
                    begin -= timedelta(minutes=1)
            if us(begin) < to_us and us(begin) + hours * HOUR > from_us:
                times.append((us(begin), us(begin) + hours * HOUR))
        day += timedelta(days=1)
    return times


@given(
    st.sampled_from(ZONES),
    st.sets(st.sampled_from(DAYS), min_size=1),
    st.integers(0, 95),
    st.integers(1, 30),
    st.integers(0, 400),
)
@settings(max_examples=60, deadline=None)
def test_weekly_times_equal_those_found_day_by_day(zone, days, quarter, hours, begins):
    start = datetime.fromisoformat("2025-01-01") + timedelta(minutes=15 * quarter)
    rule = f"FREQ=WEEKLY;BYDAY={','.join(sorted(days))}"
    when = Recurrence(start=start, zone=zone, duration_us=hours * HOUR, rule=rule)
    from_us = us(datetime(2025, 1, 20, tzinfo=UTC)) + begins * DAY
    to_us = from_us + 40 * DAY
    assert dated(when, from_us, to_us) == found_day_by_day(start, zone, days, hours, from_us, to_us)


def at(text):
    return us(datetime.fromisoformat(f"{text} 00:00+00:00"))


def starts(rule, zone="UTC", start="2026-01-31 10:00"):
    when = Recurrence(start=datetime.fromisoformat(start), zone=zone, duration_us=HOUR, rule=rule)
    times = dated(when, at("2026-01-01"), at("2026-08-01"))
    return [f"{datetime.fromtimestamp(begin / 1e6, UTC):%m-%d %H:%M}" for begin, _ in times]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("", ["01-31 10:00"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3", ["01-31 10:00", "02-28 10:00", "03-31 10:00"]),
        ("FREQ=MONTHLY;BYDAY=-1SU;COUNT=2", ["02-22 10:00", "03-29 10:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=1;COUNT=2", ["02-02 10:00", "03-02 10:00"]),
        ("RRULE:FREQ=WEEKLY;UNTIL=20260214T100000Z", ["01-31 10:00", "02-07 10:00", "02-14 10:00"]),
        ("FREQ=WEEKLY;INTERVAL=2;UNTIL=20260227", ["01-31 10:00", "02-14 10:00"]),
        ("FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=1", ["03-01 10:00"]),
        ("FREQ=MONTHLY", ["01-31 10:00", "03-31 10:00", "05-31 10:00", "07-31 10:00"]),
    ],
)
def test_rules_of_rfc_5545(rule, expected):
    assert starts(rule) == expected


def test_an_end_in_utc_is_told_by_the_clock_on_the_wall():
    assert starts("FREQ=DAILY;UNTIL=20260201T090000Z", "Europe/Berlin") == ["01-31 09:00", "02-01 09:00"]
    assert starts("FREQ=DAILY;UNTIL=20260201T085959Z", "Europe/Berlin") == ["01-31 09:00"]


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        ("FREQ=HOURLY", "FREQ=HOURLY"),
        ("FREQ=DAILY;BYHOUR=3", "BYHOUR=3"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0"),
        ("FREQ=DAILY;UNTIL=20261399", "UNTIL"),
        ("BYDAY=MO", "not a rule of recurrence"),
        ("every sunday", "not a rule of days"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes"),
    ],
)
def test_what_is_no_rule_is_refused(rule, cause):
    with pytest.raises(NotThatError, match=cause):
        starts(rule)
