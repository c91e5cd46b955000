"""Slices are told as slices, and groups past the cap are said to be counted together."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from service.views import objectives, promises
from service.views.asking import asked
from slo.cells import Cells
from slo.corrections import Correction, Excluded
from slo.evaluate import judge
from slo.indicators.availability import Availability
from slo.objective import Objective
from slo.ring import Ring
from slo.slices import RatioTimeslices, Timeslices

MINUTE = 60_000_000
NOW = 29_000_000


@pytest.fixture
def judged():
    def make(tenants, *, cap=100, **changes):
        objective = Objective(
            name="up",
            display_name="Up",
            indicator=Availability(),
            target=Decimal("0.9"),
            group_by=("tenant",),
            **changes,
        )
        ring = Ring.of(objective, now_us=NOW * MINUTE, group_cap=cap)
        each = np.ones(tenants, dtype=np.int64)
        keys = [(f"t{n:02}",) for n in range(tenants)]
        ring.add(
            Cells.of(keys, group=np.arange(tenants), bucket=each * NOW - 7, good=each * 3, total=each * 4)
        )
        return judge(objective, ring.counts())

    return make


def test_a_part_of_a_slice_is_told_as_such(judged):
    (row,) = promises.rows([judged(1, budgeting=RatioTimeslices(5 * MINUTE))])
    assert (row["good"], row["total"], row["unit"]) == (0.75, 1.0, "slices")


def test_the_share_of_requests_is_drawn_beside_what_a_slice_promises_of_them(judged, facts):
    judgement = judged(1, budgeting=Timeslices(5 * MINUTE, Decimal("0.95")))
    one = objectives.Chosen(judgement=judgement, group=0)
    drawn = objectives.charts(facts, asked(NOW * MINUTE, "1h", {}), one)["good_share"]
    assert set(drawn["target"]) == {0.95}


def test_requests_are_told_as_they_were_counted(judged):
    (row,) = promises.rows([judged(1)])
    assert (row["good"], row["total"], row["unit"]) == (3, 4, "requests")


def test_an_objective_that_has_seen_nothing_is_told_as_having_no_data_and_after_the_others(judged):
    rows = promises.rows([judged(0), judged(2)])
    assert [(row["group"], row["state"], row["budget_left"]) for row in rows][-1] == ("", "no data", None)
    assert len(rows) == 3 and set(rows[-1]["burn"].values()) == {None}
    assert len(promises.rows([judged(0), judged(2)], 2)) == 2
    told = promises.tally([judged(0), judged(2)])
    assert (told.promises, told.unknown) == (3, 1)


def test_groups_past_the_cap_are_said_to_be_together(judged):
    assert promises.folded([judged(3)]) == []
    assert promises.folded([judged(12, cap=10)]) == [
        "Up has more groups than are told apart: 8 requests of its period are counted together as __other__."
    ]


def test_a_page_says_how_much_corrections_leave_out(judged):
    now_us, hour_us = NOW * MINUTE, 60 * MINUTE
    times = [(-100, -99), (-90, -80), (-85, -79), (-1, 9)]  # hours; before, overlapping, not over yet
    corrections = tuple(
        Correction(now_us + a * hour_us, now_us + b * hour_us, Excluded.ALL) for a, b in times
    )
    (said,) = promises.left_out(replace(judged(1), corrections=corrections))
    assert said.text == "Corrections leave requests of 13 h of its period out of counting."
    assert promises.left_out(judged(1)) == []
