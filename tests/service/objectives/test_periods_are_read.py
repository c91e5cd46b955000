"""Calendar windows and slices of time in OpenSLO files, and every mistake in them at its place."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from service.objectives.files import parse
from slo.calendars import Calendar, Unit
from slo.slices import OCCURRENCES, RatioTimeslices, Timeslices

MINUTE = 60_000_000
ROLLING = "    - duration: 30d\n      isRolling: true\n"
BERLIN = """\
    - duration: 1M
      isRolling: false
      calendar:
        startTime: 2026-01-01 00:00:00
        timeZone: Europe/Berlin
"""
SLICED = "    - target: 0.99\n      timeSliceTarget: 0.95\n      timeSliceWindow: 5m\n"


@pytest.fixture
def by_month(chat):
    return chat.replace(ROLLING, BERLIN)


@pytest.fixture
def sliced(chat):
    return chat.replace("Occurrences", "Timeslices").replace("    - target: 0.99\n", SLICED)


@pytest.mark.parametrize(
    ("written", "unit", "count"),
    [
        ("1d", Unit.DAY, 1),
        ("2w", Unit.WEEK, 2),
        ("1M", Unit.MONTH, 1),
        ("1Q", Unit.QUARTER, 1),
        ("1Y", Unit.YEAR, 1),
    ],
)
def test_a_calendar_window_of_every_unit(by_month, written, unit, count):
    text = by_month.replace("1M", written) + "  alertPolicies: []\n"
    (objective,) = parse(text, "slo.yaml")
    start = datetime.fromisoformat("2026-01-01")
    assert objective.window == Calendar(unit=unit, count=count, start=start, zone="Europe/Berlin")


def test_a_calendar_says_enough_by_itself(by_month):
    (objective,) = parse(by_month.replace("      isRolling: false\n", ""), "slo.yaml")
    assert objective.sentence().endswith(", in each month (Europe/Berlin)")
    assert objective.policy == "workbook"


def test_slices_of_time(sliced):
    (objective,) = parse(sliced, "slo.yaml")
    assert objective.budgeting == Timeslices(5 * MINUTE, Decimal("0.95"))
    assert objective.sentence() == (
        "99 % of 5m slices with 95 % of requests: first token within 2s, over 30d"
    )


def test_slices_in_minutes_without_a_unit(sliced):
    (objective,) = parse(sliced.replace("5m", "5"), "slo.yaml")
    assert objective.budgeting == Timeslices(5 * MINUTE, Decimal("0.95"))


def test_the_mean_of_slices(sliced):
    text = sliced.replace("Timeslices", "RatioTimeslices").replace("      timeSliceTarget: 0.95\n", "")
    (objective,) = parse(text, "slo.yaml")
    assert objective.budgeting == RatioTimeslices(5 * MINUTE)
    assert objective.sentence().startswith("99 % of requests in the mean of 5m slices: ")


def test_requests_are_the_usual_way(chat):
    assert parse(chat, "slo.yaml")[0].budgeting == OCCURRENCES


@pytest.mark.parametrize(
    ("old", "new", "line", "cause", "hint"),
    [
        ("1M", "30m", 19, "'30m' is not a period of a calendar", "such as 1M"),
        ("1M", "13M", 19, "13 months is not up to a year", "write 1M"),
        ("isRolling: false", "isRolling: true", 19, "'1M' is a calendar period of no fixed length", "write days"),
        ("isRolling: false", "isRolling: true", 21, "a rolling window follows no calendar", "isRolling: false"),
        ("Europe/Berlin", "Europe/Berln", 23, "no time zone is called 'Europe/Berln'", "Europe/Berlin"),
        ("2026-01-01 00:00:00", "new year", 22, "'new year' is not a local time", "2026-01-01 00:00:00"),
        ("2026-01-01 00:00:00", "2026-01-01T00:00:00Z", 22, "is not a local time", "zone stands beside it"),
        ("2026-01-01 00:00:00", "2026-01-01 00:00:01", 19, "not a minute of a local calendar", "write a start"),
        ("        timeZone: Europe/Berlin\n", "", 21, "calendar.timeZone is missing", "docs/objectives.md"),
        ("timeZone", "timezone", 23, "calendar.timezone is not a field", "did you mean timeZone?"),
    ],
)  # fmt: skip
def test_a_mistaken_calendar_is_told_at_its_place(by_month, mistakes_of, old, new, line, cause, hint):
    found = mistakes_of(by_month.replace(old, new))
    assert any(at == line and cause in why and hint in what for at, _, why, what in found), found


@pytest.mark.parametrize(
    ("old", "new", "line", "cause", "hint"),
    [
        ("Timeslices", "Occurrences", 24, "Occurrences has no timeSliceTarget", "leave it out"),
        ("Timeslices", "RatioTimeslices", 24, "RatioTimeslices has no timeSliceTarget", "leave it out"),
        ("timeSliceTarget: 0.95", "timeSliceTarget: 95", 24, "95 is not above 0 and at most 1", "0.95"),
        ("      timeSliceTarget: 0.95\n", "", 23, "timeSliceTarget is missing", "docs/objectives.md"),
        ("timeSliceWindow: 5m", "timeSliceWindow: 90s", 25, "not whole minutes that divide a day", "use 1m"),
        ("timeSliceWindow: 5m", "timeSliceWindow: 10m", 25, "5m does not hold whole slices of 10m", "tickets"),
        ("timeSliceWindow: 5m", "timeSliceWindow: soon", 25, "'soon' is not a duration", "such as 2s"),
    ],
)  # fmt: skip
def test_a_mistaken_slice_is_told_at_its_place(sliced, mistakes_of, old, new, line, cause, hint):
    found = mistakes_of(sliced.replace(old, new))
    assert any(at == line and cause in why and hint in what for at, _, why, what in found), found


def test_a_slice_across_the_edge_of_a_period_is_refused(sliced, mistakes_of):
    text = (
        sliced.replace(ROLLING, BERLIN).replace("5m", "30m")
        + "  alertPolicies: [{alertPolicyRef: tickets}]\n"
    )
    ((_, _, cause, hint),) = mistakes_of(text)
    assert "across the edge of a calendar period" in cause
    assert "1m, 5m or 15m" in hint
