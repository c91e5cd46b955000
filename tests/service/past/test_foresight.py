"""Forecasts of objectives in force, from the count cells that are stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import numpy as np
import pytest

from service.clock import now_us as clock
from service.counting.cell_store import CellStore
from service.past.foresight import foresee
from slo.calendars import Calendar, Unit
from slo.cells import Cells
from slo.indicators.availability import Availability
from slo.objective import Objective
from slo.slices import Timeslices

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = 1_790_000_000_000_000 // DAY * DAY + 12 * HOUR + 7 * MINUTE
OBJECTIVE = Objective(
    name="availability", indicator=Availability(), target=Decimal("0.99"), group_by=("model",)
)


@pytest.fixture
def counted(facts):
    """Return the facts after writing `bad` of 100 requests for each of the last minutes of a model."""

    def write(objective, minutes, bad, now_us=NOW):
        bucket = np.arange(now_us // MINUTE - minutes, now_us // MINUTE)
        total = np.full(minutes, 100)
        cells = Cells.of(
            [("a",)], group=np.zeros(minutes, dtype=np.int64), bucket=bucket, good=total - bad, total=total
        )
        CellStore(facts.cells, clock=clock).write(objective.version, MINUTE, cells, upto=1)
        return facts

    return write


def test_a_rolling_budget_that_burns_twice_too_fast_is_spent_already(counted):
    facts = counted(OBJECTIVE, 600, 2)
    made = foresee(facts, OBJECTIVE, [("a",), ("never seen",)], NOW)
    assert set(made) == {("a",)}
    assert made["a",].burn == pytest.approx(2)
    assert made["a",].likely_us == NOW


def test_a_calendar_budget_lasts_as_long_as_division_says(counted):
    """Half a day at burn 1: half the budget is left, and lasts for the other half."""
    daily = Calendar(unit=Unit.DAY, start=datetime(2026, 1, 1))  # noqa: DTZ001 - the clock of its zone
    objective = replace(OBJECTIVE, window=daily, policy="none")
    noon = NOW - 7 * MINUTE
    facts = counted(objective, 720, 1, now_us=noon)
    made = foresee(facts, objective, [("a",)], noon)["a",]
    assert made.likely_us is None or made.likely_us == noon + 12 * HOUR
    assert made.band.at_us[-1] == noon + 12 * HOUR
    assert made.band.middle[0] == pytest.approx(0.5)


def test_slices_are_forecast_in_slices(counted):
    """Every slice of five minutes misses 99.9 % of its requests, so none is good."""
    objective = replace(
        OBJECTIVE, budgeting=Timeslices(5 * MINUTE, Decimal("0.999")), target=Decimal("0.9"), policy="none"
    )
    facts = counted(objective, 600, 1)
    made = foresee(facts, objective, [("a",)], NOW)["a",]
    assert made.burn == pytest.approx(10)


def test_under_five_hours_there_is_no_forecast(counted):
    assert foresee(counted(OBJECTIVE, 200, 2), OBJECTIVE, [("a",)], NOW) == {}
