"""The running period of a calendar, read back from a real store: minutes, and hours that begin where it does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import numpy as np
import pytest

from service.clock import now_us
from service.counting.cell_store import CellStore
from service.counting.correcting import units_before
from service.counting.counts import LoadedCells, ObjectiveCounts, judge_counts
from service.counting.rollup import RollUp
from service.views.asking import asked
from service.views.burn_down import burn_down
from slo.calendars import Calendar, Period, Unit
from slo.cells import Cells, measured
from slo.corrections import Correction, Excluded, Mask, corrected
from slo.indicators.availability import Availability
from slo.objective import Objective
from slo.slices import RatioTimeslices, Timeslices

MINUTE, HOUR = 60_000_000, 3_600_000_000
DAY = 24 * HOUR
QUARTER = Calendar(unit=Unit.QUARTER, start=datetime.fromisoformat("2024-01-01"), zone="Asia/Kolkata")
REQUESTS = Objective(name="up", indicator=Availability(), target=Decimal("0.99"), window=QUARTER)
OBJECTIVES = (
    REQUESTS,
    replace(REQUESTS, budgeting=Timeslices(5 * MINUTE, Decimal("0.9"))),
    replace(REQUESTS, budgeting=RatioTimeslices(15 * MINUTE), policy="tickets"),
)
NOW_US = int(datetime.fromisoformat("2026-03-20 09:41:30+00:00").timestamp()) * 1_000_000


class Notes(dict):
    """The state store's notes."""

    def set(self, values):
        self.update(values)


@pytest.fixture
def minutes():
    """Return counts of some minutes of 90 days, before and after the edge of the quarter."""
    chance = np.random.default_rng(7)
    edge = QUARTER.period(NOW_US).from_us // MINUTE
    bucket = np.unique(np.r_[edge - 40 : edge + 40, chance.integers(edge - 999, NOW_US // MINUTE, 3_000)])
    total = chance.integers(1, 50, len(bucket))
    good = total - (chance.random(len(bucket)) < 0.2) * chance.integers(0, 2, len(bucket))
    return Cells.of([()], group=np.zeros_like(bucket), bucket=bucket, good=good, total=total)


@pytest.fixture
def stored(facts, minutes):
    def keep(objective):
        cells = CellStore(facts.cells, clock=now_us)  # expiry is by when it was written
        cells.write(objective.version, MINUTE, minutes, 1)
        RollUp(cells, Notes()).step(
            [objective], upto=1, now_us=NOW_US, first_us=QUARTER.period(NOW_US).from_us
        )
        return cells

    return keep


def between(cells, from_us, to_us):
    return cells.take((cells.bucket >= from_us // MINUTE) & (cells.bucket < to_us // MINUTE))


def counted(cells, minutes, objective, times):
    """Return the objective judged as a service does that has just started."""
    counts = ObjectiveCounts(objective, now_us=NOW_US, group_cap=10)
    held_us = counts.ring.held_from_us
    counts.load(LoadedCells(between(minutes, held_us, NOW_US + HOUR), np.zeros(0, dtype=np.int64)), {})
    period = Period(QUARTER.period(NOW_US).from_us, held_us)
    counts.correct(times, units_before(cells, objective, times, period, now_us=NOW_US), held_us)
    return judge_counts([counts], NOW_US)[0]


BEGAN_US = QUARTER.period(NOW_US).from_us
LEFT_OUT = (
    Correction(BEGAN_US + 2 * HOUR, BEGAN_US + 900 * HOUR, Excluded.ALL),
    Correction(NOW_US - 20 * DAY, NOW_US - 19 * DAY, Excluded.BAD),
)
"""The first ends in old times, where whole hours of the quarter's own are left out."""


@pytest.mark.parametrize(
    ("objective", "times"), [(REQUESTS, LEFT_OUT), (OBJECTIVES[1], ()), (OBJECTIVES[2], ())]
)
def test_a_quarter_is_read_back_exactly_and_drawn(facts, stored, minutes, objective, times):
    cells, period = stored(objective), QUARTER.period(NOW_US)
    assert period.from_us % HOUR == HOUR // 2
    before = Period(period.from_us, NOW_US // DAY * DAY)
    kept = corrected(between(minutes, before.from_us, before.to_us), Mask.of(times, MINUTE))
    units = units_before(cells, objective, times, before, now_us=NOW_US)
    assert units.sums() == measured(kept, objective).sums()

    judgement = counted(cells, minutes, objective, times)
    drawn = burn_down(facts, asked(NOW_US, "1h", {}), judgement, 0)
    left = [above + below for above, below in zip(drawn["left"], drawn["over"], strict=True)]
    assert 100 < len(left) <= 242
    budget_left = float(judgement.verdict(0).budget_remaining)
    assert left[-1] == pytest.approx(budget_left, abs=5e-3)  # drawn at the last traffic
