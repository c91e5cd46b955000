"""The SRE workbook's rules fire and reset when its formulas say so, at any bucket width."""

from __future__ import annotations

import numpy as np
import pytest

from slo.burn import YES
from slo.evaluate import judge
from telemetry.condition import Severity


@pytest.fixture
def workbook(benchmark_named):
    return benchmark_named("slo_workbook")


@pytest.fixture
def known(workbook, shared):
    return workbook.cases(shared / "fixtures/slo/derived-workbook")


@pytest.mark.shared
def test_at_buckets_of_a_second_every_detection_and_reset_is_within_a_second(workbook, known):
    times = sorted({*range(1, 61), *workbook.instants(known, step_s=1, around_s=2, coarse_s=900)})
    worst = workbook.differences(known, workbook.played(known, times, width_s=1))
    assert worst["fires"] == 0
    assert worst["detect_s"] <= 1 and worst["reset_s"] <= 1
    assert worst["spent_percent"] <= 100 / 43_200 / 60 * 1_000 * 1.001  # a second of a total outage


@pytest.mark.shared
def test_at_buckets_of_a_minute_they_are_within_a_minute_and_an_evaluation(workbook, known):
    fine = workbook.instants(known, step_s=workbook.EVALUATION_S, around_s=65, coarse_s=900)
    times = sorted({*range(5, 200, 5), *fine})
    worst = workbook.differences(known, workbook.played(known, times, width_s=60))
    assert worst["fires"] == 0
    assert worst["detect_s"] <= 60 + workbook.EVALUATION_S
    assert worst["reset_s"] <= 60 + workbook.EVALUATION_S


def test_the_policy_in_force_is_approach_six(workbook):
    """What the six rules are tried with is what objectives alert by."""
    tried = {rule.pair for name in ("6 page", "6 ticket") for rule in workbook.APPROACHES[name]}
    assert tried == set(workbook.OBJECTIVE.alerts.pairs)


@pytest.mark.parametrize(
    ("first", "order"), [(2_000, "all ratios, then all lengths"), (1, "each ratio with its length")]
)
def test_incidents_are_drawn_in_either_order(workbook, first, order):
    chance, drawn = np.random.default_rng(42), workbook.Drawn.of(2_000, order)
    ratios = np.exp(chance.uniform(np.log(0.0002), 0, first))
    minutes = np.exp(chance.uniform(0, np.log(4_320), 1))
    assert drawn.ratio[:first] == pytest.approx(ratios)
    assert drawn.minutes[0] == round(minutes[0])
    assert drawn.minutes.min() == 1 and drawn.minutes.max() <= 4_320


def test_little_traffic_pages_for_half_the_requests_and_not_for_chance(benchmark_named):
    """An hour of 60 requests: as `benchmarks/slo_low_traffic.py`, in one month's worth of groups."""
    low = benchmark_named("slo_low_traffic")
    fleet = low.Fleet(40, seed=3)
    for _ in range(12 * 60):
        assert not (fleet.minute(low.HEALTHY)[low.RULES.index("proven")]).sum() > 1
    for _ in range(low.INCIDENT):
        fleet.minute(0.5)
    holds = judge(low.OBJECTIVE, fleet.ring.counts()).holds(Severity.PAGE)
    assert (holds == YES).all()
