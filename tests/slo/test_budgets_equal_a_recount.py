"""Slices, calendar periods and corrections: every window equals a recount of all facts, as integers."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.burn import YES
from slo.calendars import Calendar, Unit
from slo.cells import Cells
from slo.corrections import Correction, Excluded, Mask, corrected
from slo.evaluate import evaluate, judge
from slo.objective import Rolling
from slo.ring import Ring
from slo.slices import OCCURRENCES, RATIO_SCALE, RatioTimeslices, Timeslices
from telemetry.condition import Severity

MINUTE = 60_000_000
DAY = 1_440 * MINUTE
NOW = 29_000_000 // 1_440 * 1_440
BUDGETINGS = (
    OCCURRENCES,
    Timeslices(MINUTE, Decimal("0.9")),
    Timeslices(5 * MINUTE, Decimal("0.75")),
    RatioTimeslices(5 * MINUTE),
    RatioTimeslices(15 * MINUTE),
)
KOLKATA = Calendar(unit=Unit.DAY, start=datetime.fromisoformat("2024-01-31 06:00"), zone="Asia/Kolkata")
WINDOWS = (15 * MINUTE, 60 * MINUTE, 240 * MINUTE)


def cells(rows):
    keys = [(key,) for key, *_ in rows]
    bucket, good, total = np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, 3).T
    return Cells.of(keys, group=np.arange(len(rows)), bucket=bucket, good=good, total=total)


def excluded(corrections, bucket):
    """Return what is left out of a minute, the graver of two."""
    kinds = [
        each.excluded
        for each in corrections
        if each.from_us < (bucket + 1) * MINUTE and each.to_us > bucket * MINUTE
    ]
    return max(kinds, key=[Excluded.BAD, Excluded.ALL].index, default=None)


def recount(facts, corrections, budgeting, from_us, to_us):
    """Return {group: (good, total)} in units, of the slices that begin in [from_us, to_us)."""
    slice_us, slices = budgeting.slice_us or MINUTE, defaultdict(lambda: [0, 0])
    for key, bucket, good, total in facts:
        begin_us = bucket * MINUTE // slice_us * slice_us
        if from_us <= begin_us < to_us:
            kind = excluded(corrections, bucket)
            if kind is not Excluded.ALL:
                slices[key, begin_us][0] += good
                slices[key, begin_us][1] += good if kind is Excluded.BAD else total
    sums = defaultdict(lambda: [0, 0])
    for (key, _), (good, total) in slices.items():
        for at, units in enumerate(in_units(budgeting, good, total)):
            sums[key][at] += units
    return {key: tuple(value) for key, value in sums.items() if value[1]}


def in_units(budgeting, good, total):
    if budgeting.slice_us is None or not total:
        return good, total
    if isinstance(budgeting, Timeslices):
        return int(Fraction(good, total) >= Fraction(budgeting.target)), 1
    return RATIO_SCALE - (total - good) * RATIO_SCALE // total, RATIO_SCALE


def read(counts, at):
    found = zip(counts.keys, counts.good[at].tolist(), counts.total[at].tolist(), strict=True)
    return {key[0]: (good, total) for key, good, total in found if total}


facts_of = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(-200, 9), st.integers(0, 8), st.sampled_from([0, 0, 1, 2])),
    max_size=6,
)
corrections_of = st.lists(
    st.tuples(st.integers(-1_500, 60), st.integers(1, 90), st.sampled_from(list(Excluded))), max_size=4
)
steps_of = st.lists(
    st.tuples(facts_of, st.none() | corrections_of, st.integers(0, 700 * MINUTE)), min_size=1, max_size=8
)


def apply(ring, corrections, facts, budgeting):
    """Correct a ring as the service does: what is older than the ring is recounted for it."""
    until_us, period = ring.held_from_us, ring.period
    ring.correct(corrections)
    if period is not None:
        older = recount(facts, corrections, budgeting, period.from_us, until_us)
        ring.rebase(cells([(key, 0, good, total) for key, (good, total) in older.items()]), until_us)


@given(st.sampled_from(BUDGETINGS), st.booleans(), st.integers(0, DAY), steps_of)
@settings(max_examples=150, deadline=None)
def test_every_window_equals_a_recount(budgeting, by_calendar, begin_us, steps):
    calendar = KOLKATA if by_calendar else None
    windows = (*WINDOWS, DAY) if by_calendar else WINDOWS
    now_us, facts, corrections = NOW * MINUTE + begin_us, [], []
    ring = Ring(
        windows_us=windows,
        now_us=now_us,
        budgeting=budgeting,
        calendar=calendar,
        depth_us=360 * MINUTE,
        group_cap=10,
    )
    for late, corrected_anew, wait_us in steps:
        now = now_us // MINUTE
        rows = [(key, now + offset, good, good + bad) for key, offset, good, bad in late if good + bad]
        if rows:
            assert ring.add(cells(rows)).outside == 0
            facts += rows
        if corrected_anew is not None:
            corrections = [
                Correction((now + at) * MINUTE, (now + at + length) * MINUTE, kind)
                for at, length, kind in corrected_anew
            ]
            apply(ring, corrections, facts, budgeting)
        now_us += wait_us
        ring.advance(now_us)
        compare(ring, facts, corrections, budgeting, now_us)


def compare(ring, facts, corrections, budgeting, now_us):
    counts, slice_us = ring.counts(), budgeting.slice_us
    end_us = now_us // slice_us * slice_us if slice_us else (now_us // MINUTE + 1) * MINUTE
    for at, window_us in enumerate(WINDOWS):
        assert read(counts, at) == recount(facts, corrections, budgeting, end_us - window_us, end_us)
    if ring.period is not None:
        period = KOLKATA.period(now_us)
        assert ring.period == period
        assert read(counts, -1) == recount(facts, corrections, budgeting, period.from_us, end_us)
        ahead = (period.to_us - end_us) // slice_us * budgeting.scale if slice_us else 0
        assert counts.ahead == ahead


@given(facts_of, corrections_of, corrections_of)
@settings(max_examples=60, deadline=None)
def test_a_correction_that_is_taken_back_leaves_no_trace(late, one, other):
    rows = [(key, NOW + offset, good, good + bad) for key, offset, good, bad in late if good + bad]
    rings = [Ring(windows_us=WINDOWS, now_us=NOW * MINUTE) for _ in range(2)]
    for ring in rings:
        ring.add(cells(rows))
    for asked in (one, other, []):
        times = [Correction((NOW + at) * MINUTE, (NOW + at + n) * MINUTE, kind) for at, n, kind in asked]
        rings[0].correct(times)
    for name in ("good", "total"):
        assert np.array_equal(getattr(rings[0].counts(), name), getattr(rings[1].counts(), name))


def test_bad_requests_of_a_correction_are_left_out_and_good_ones_stay():
    ring = Ring(windows_us=WINDOWS, now_us=NOW * MINUTE)
    ring.add(cells([("a", NOW - 3, 5, 9), ("a", NOW - 2, 1, 2)]))
    ring.correct([Correction((NOW - 3) * MINUTE, (NOW - 2) * MINUTE, Excluded.BAD)])
    assert read(ring.counts(), 0) == {"a": (6, 7)}
    ring.correct([Correction((NOW - 3) * MINUTE, (NOW - 2) * MINUTE, Excluded.ALL)])
    assert read(ring.counts(), 0) == {"a": (1, 2)}


def test_a_correction_acts_on_every_minute_that_it_touches():
    mask = Mask.of([Correction(NOW * MINUTE + 1, (NOW + 1) * MINUTE + 1, Excluded.ALL)], MINUTE)
    assert mask.of_buckets(np.arange(NOW - 1, NOW + 3)).tolist() == [0, 2, 2, 0]


def test_corrected_cells_keep_their_form():
    before = cells([("a", NOW, 1, 3), ("b", NOW, 2, 2)])
    after = corrected(before, Mask.of([Correction(NOW * MINUTE, NOW * MINUTE + 1, Excluded.BAD)], MINUTE))
    assert (after.keys, after.good.tolist(), after.total.tolist()) == (before.keys, [1, 2], [1, 2])


@pytest.mark.parametrize("budgeting", BUDGETINGS)
def test_facts_ahead_of_the_clock_fall_on_their_own_side_of_a_period_s_edge(budgeting):
    edge = KOLKATA.period(NOW * MINUTE).to_us // MINUTE
    ring = Ring(windows_us=(*WINDOWS, DAY), now_us=(edge - 4) * MINUTE, budgeting=budgeting, calendar=KOLKATA)
    facts = [("a", edge + offset, 1, 2) for offset in (-3, -1, 0, 5)]
    ring.add(cells(facts))
    ring.advance((edge + 40) * MINUTE)
    compare(ring, facts, [], budgeting, (edge + 40) * MINUTE)
    apply(ring, [], facts, budgeting)
    compare(ring, facts, [], budgeting, (edge + 40) * MINUTE)


def test_a_late_fact_turns_a_closed_slice_in_every_window():
    ring = Ring(windows_us=WINDOWS, now_us=NOW * MINUTE, budgeting=Timeslices(5 * MINUTE, Decimal("0.9")))
    ring.add(cells([("a", NOW - 3, 9, 10)]))
    assert [read(ring.counts(), at) for at in range(3)] == [{"a": (1, 1)}] * 3
    ring.add(cells([("a", NOW - 4, 0, 1)]))
    assert [read(ring.counts(), at) for at in range(3)] == [{"a": (0, 1)}] * 3


def test_the_running_slice_and_one_without_traffic_are_not_counted():
    ring = Ring(windows_us=WINDOWS, now_us=NOW * MINUTE, budgeting=RatioTimeslices(5 * MINUTE))
    ring.add(cells([("a", NOW, 0, 4), ("a", NOW - 7, 1, 2)]))
    assert read(ring.counts(), 0) == {"a": (RATIO_SCALE // 2, RATIO_SCALE)}
    ring.advance((NOW + 5) * MINUTE)
    assert read(ring.counts(), 0) == {"a": (RATIO_SCALE // 2, 2 * RATIO_SCALE)}


def test_the_budget_of_a_calendar_month_of_slices_is_known_from_its_start(objective_of):
    month = Calendar(unit=Unit.MONTH, start=datetime.fromisoformat("2024-01-01"))
    budgeting = Timeslices(MINUTE, Decimal(1))
    objective = objective_of(target=Decimal("0.99"), window=month, budgeting=budgeting, policy="none")
    begin = int(datetime.fromisoformat("2025-02-01 00:00+00:00").timestamp()) // 60
    ring = Ring.of(objective, now_us=(begin + 60) * MINUTE)
    ring.add(
        Cells.of(
            [()],
            group=np.zeros(60, int),
            bucket=begin + np.arange(60),
            good=np.r_[0, np.full(59, 7)],
            total=np.full(60, 7),
        )
    )
    (verdict,) = evaluate(objective, ring.counts())
    assert verdict.windows[-1].total == 60
    assert verdict.budget_remaining == 1 - Fraction(1, 28 * 1_440) / Fraction(1, 100)
    ring.advance((begin + 28 * 1_440 - 1) * MINUTE)
    assert evaluate(objective, ring.counts())[0].budget_remaining == 1 - Fraction(1, 61) / Fraction(1, 100)


def test_the_budget_of_a_calendar_month_of_requests_counts_those_since_its_start(objective_of):
    month = Calendar(unit=Unit.MONTH, start=datetime.fromisoformat("2024-01-01"))
    objective = objective_of(target=Decimal("0.99"), window=month)
    begin = int(datetime.fromisoformat("2025-03-01 00:00+00:00").timestamp()) // 60
    ring = Ring.of(objective, now_us=(begin - 1) * MINUTE)
    ring.add(
        Cells.of(
            [()],
            group=np.zeros(1, int),
            bucket=np.array([begin - 1]),
            good=np.array([0]),
            total=np.array([100]),
        )
    )
    ring.advance(begin * MINUTE)
    ring.add(
        Cells.of(
            [()],
            group=np.zeros(1, int),
            bucket=np.array([begin]),
            good=np.array([999]),
            total=np.array([1_000]),
        )
    )
    (verdict,) = evaluate(objective, ring.counts())
    assert (verdict.windows[-1].good, verdict.windows[-1].total) == (999, 1_000)
    assert verdict.budget_remaining == Fraction(9, 10)


@pytest.mark.parametrize("budgeting", BUDGETINGS[:4])
def test_an_alert_fires_no_longer_for_what_is_left_out(objective_of, budgeting):
    objective = objective_of(budgeting=budgeting)
    ring = Ring.of(objective, now_us=NOW * MINUTE)
    bucket = np.arange(NOW - 120, NOW)
    total = np.full(120, 1_000)
    ring.add(
        Cells.of([()], group=np.zeros(120, int), bucket=bucket, good=total * (bucket < NOW - 30), total=total)
    )
    assert judge(objective, ring.counts()).holds(Severity.PAGE).tolist() == [YES]
    ring.correct([Correction((NOW - 30) * MINUTE, NOW * MINUTE, Excluded.BAD)])
    assert YES not in judge(objective, ring.counts()).holds(Severity.PAGE).tolist()


@pytest.mark.parametrize("budgeting", BUDGETINGS)
def test_a_group_takes_at_most_200_kilobytes(objective_of, budgeting):
    objective = objective_of(budgeting=budgeting, policy="none", group_by=("tenant",))
    ring = Ring.of(objective, now_us=NOW * MINUTE)
    assert ring._grid._counts.nbytes / ring._grid.groups + ring._sums.nbytes / ring._grid.groups < 200_000


@pytest.mark.parametrize("budgeting", BUDGETINGS)
def test_no_traffic_is_no_data_however_it_is_counted(objective_of, budgeting):
    objective = objective_of(window=Rolling(DAY), budgeting=budgeting, policy="none")
    ring = Ring.of(objective, now_us=NOW * MINUTE)
    ring.add(
        Cells.of(
            [()],
            group=np.zeros(1, int),
            bucket=np.array([NOW - 2_000 + 600]),
            good=np.array([1]),
            total=np.array([1]),
        )
    )
    ring.advance((NOW + 3_000) * MINUTE)
    (verdict,) = evaluate(objective, ring.counts())
    assert (verdict.budget_remaining, verdict.kept) == (None, None)
