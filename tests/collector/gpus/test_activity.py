"""The ladder by itself: which rung tells, what it tells, and when one is no longer believed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.gpus.activity import RUNGS, Activity, Evidence, Ladder
from telemetry.samples import ActivitySource

COUNTERS = Activity(source=ActivitySource.GPM_COUNTERS, sm_ratio=0.61, tensor_ratio=0.24, dram_ratio=0.47)
RATIOS = Activity(source=ActivitySource.GPM, sm_ratio=0.60, tensor_ratio=0.23)
FULL = Evidence(
    counters=COUNTERS,
    ratios=RATIOS,
    kernel_busy_ratio=0.9,
    sm_clock_mhz=990,
    sm_clock_max_mhz=1_980,
    watts=400.0,
    limit_watts=700.0,
)
IDLE = replace(FULL, counters=None, ratios=None, kernel_busy_ratio=0.0, watts=100.0)
NOTHING = Activity(source=ActivitySource.GPM_COUNTERS, sm_ratio=0.0, tensor_ratio=0.0, dram_ratio=0.0)


def test_the_table_is_in_the_order_of_trust():
    order = list(ActivitySource)
    assert [source for source, _ in RUNGS] == order[: len(RUNGS)]


@pytest.mark.parametrize(
    ("missing", "source", "sm_ratio"),
    [
        ({}, ActivitySource.GPM_COUNTERS, 0.61),
        ({"counters": None}, ActivitySource.GPM, 0.60),
        ({"counters": None, "ratios": None}, ActivitySource.CLOCK_WEIGHTED, 0.45),
        ({"counters": None, "ratios": None, "sm_clock_mhz": None}, ActivitySource.POWER, 0.5),
        ({"counters": None, "ratios": None, "sm_clock_max_mhz": None, "watts": None}, ActivitySource.KERNEL_BUSY, None),
    ],
)  # fmt: skip
def test_the_best_rung_that_can_tell_does(missing, source, sm_ratio):
    ladder = Ladder()
    ladder.climb(IDLE)  # its idle power is 100 W
    told = ladder.climb(replace(FULL, **missing))
    assert (told.source, told.sm_ratio) == (source, sm_ratio)


def test_a_rung_is_taken_again_as_soon_as_it_tells():
    ladder = Ladder()
    sources = [ladder.climb(seen).source for seen in (FULL, replace(FULL, counters=None), FULL)]
    assert sources == [ActivitySource.GPM_COUNTERS, ActivitySource.GPM, ActivitySource.GPM_COUNTERS]


def test_nothing_told_is_no_activity():
    assert Ladder().climb(Evidence()) is None


def test_power_tells_nothing_until_the_gpu_was_seen_idle():
    seen = Evidence(watts=400.0, limit_watts=700.0)
    ladder = Ladder()
    assert ladder.climb(seen) is None
    ladder.climb(Evidence(watts=100.0, limit_watts=700.0, idle=True))
    assert ladder.climb(seen).sm_ratio == 0.5


def test_idle_power_is_learnt_from_idle_ticks_only():
    ladder = Ladder()
    for watts in (90.0, 110.0) * 20:
        ladder.climb(Evidence(watts=watts, limit_watts=700.0, idle=True))
        ladder.climb(Evidence(watts=650.0, limit_watts=700.0, kernel_busy_ratio=1.0))
    assert ladder.climb(Evidence(watts=100.0, limit_watts=700.0)).sm_ratio == pytest.approx(0.0, abs=0.01)


def test_zero_while_the_gpu_works_withdraws_the_rung_after_three_ticks():
    ladder = Ladder()
    lying = replace(FULL, counters=NOTHING)
    sources = [ladder.climb(lying).source for _ in range(4)]
    assert sources == [ActivitySource.GPM_COUNTERS] * 2 + [ActivitySource.GPM] * 2
    assert ladder.withdrawn == {ActivitySource.GPM_COUNTERS}


def test_both_rungs_of_gpm_can_lie_at_once():
    ladder = Ladder()
    lying = replace(FULL, counters=NOTHING, ratios=replace(RATIOS, sm_ratio=0.0))
    assert [ladder.climb(lying).source for _ in range(3)][-1] is ActivitySource.CLOCK_WEIGHTED


@pytest.mark.parametrize(
    "innocent",
    [
        {"kernel_busy_ratio": 0.1},
        {"watts": 110.0},
        {"watts": None},
        {"limit_watts": None},
        {"counters": replace(NOTHING, sm_ratio=0.0076)},  # one busy SM of 132
    ],
)
def test_zero_that_may_be_true_is_believed(innocent):
    ladder = Ladder()
    seen = replace(FULL, **{"counters": NOTHING, **innocent})
    assert {ladder.climb(seen).source for _ in range(10)} == {ActivitySource.GPM_COUNTERS}


def test_a_withdrawn_rung_is_back_when_it_shows_a_value_and_not_when_the_gpu_idles():
    ladder = Ladder()
    for _ in range(3):
        ladder.climb(replace(FULL, counters=NOTHING))
    ladder.climb(replace(IDLE, counters=NOTHING))
    assert ladder.withdrawn
    assert ladder.climb(FULL).source is ActivitySource.GPM_COUNTERS
    assert not ladder.withdrawn


ratio = st.none() | st.floats(0, 1)
clock = st.none() | st.integers(0, 3_000)
watts = st.none() | st.floats(0, 1_500)


@given(st.lists(st.builds(Evidence, kernel_busy_ratio=ratio, sm_clock_mhz=clock, sm_clock_max_mhz=clock,
                          watts=watts, limit_watts=watts, idle=st.booleans()), max_size=20))  # fmt: skip
def test_an_estimate_is_a_ratio_and_idle_is_zero(ticks):
    ladder = Ladder()
    for seen in ticks:
        told = ladder.climb(seen)
        if told is None or told.sm_ratio is None:
            continue
        assert 0.0 <= told.sm_ratio <= 1.0
        if seen.kernel_busy_ratio == 0 and told.source is ActivitySource.CLOCK_WEIGHTED:
            assert told.sm_ratio == 0.0
