"""Burn rates are compared as exact rationals, and no data is never a kept promise."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from slo.burn import budget_remaining, burn_rate
from slo.cells import Cells
from slo.evaluate import evaluate
from slo.pairs import POLICIES
from slo.ratios import above
from slo.ring import Ring

MINUTE = 60_000_000
DAY = 1_440 * MINUTE
KEY = ((),)


def ints(*values):
    return np.array(values, dtype=np.int64)


def fixture_case(shared, name):
    return YAML(typ="safe").load((shared / "fixtures/slo" / name / "case.yaml").read_text())


@pytest.mark.shared
def test_the_boundary_cases_hold(shared):
    for case in fixture_case(shared, "derived-boundary/exact")["cases"]:
        budget = 1 - Fraction(case["objective"]) / 100
        threshold = Fraction(case["factor"]) * budget
        burn = burn_rate(case["bad"], case["total"], budget)
        fires = bool(above(ints(case["bad"]), ints(case["total"]), threshold)[0])
        if case["op"] == ">=":
            fires = fires or burn == Fraction(case["factor"])
        assert fires == case["fires"], case
        assert (burn is None) == (case.get("state") == "no-data")


@pytest.mark.parametrize(("bad", "fires"), [(144, False), (145, True)])
def test_exactly_the_threshold_does_not_fire(objective_of, counts_of, bad, fires):
    objective = objective_of(policy="workbook")
    verdict = evaluate(objective, counts_of(objective, bad * 10**3, 10**7))[0]
    quick = POLICIES["workbook"].pairs[0]
    assert (verdict.firing == quick) == fires
    assert verdict.window(quick.long_us).burn == Fraction(bad, 10)


@given(
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.fractions(min_value=0, max_value=2, max_denominator=10**12),
)
@settings(deadline=None)
def test_comparison_is_exact_at_any_size(bad, total, ratio):
    bad = min(bad, total)
    assert above(ints(bad, 0), ints(total, 0), ratio).tolist() == [bad > total * ratio, False]


@given(
    st.integers(1, 10**9),
    st.fractions(min_value=Fraction(1, 10**6), max_value=Fraction(99, 100), max_denominator=10**6),
)
@settings(deadline=None)
def test_one_more_bad_than_the_largest_allowed_crosses(total, ratio):
    allowed = math.floor(total * ratio)
    assert above(ints(allowed, allowed + 1), ints(total, total), ratio).tolist() == [False, True]


@pytest.mark.shared
def test_an_outage_at_the_trough_is_weighted_by_its_traffic(shared, objective_of):
    case = fixture_case(shared, "derived-weighting/trough-outage")
    k = np.arange(1, 43_201)
    end_us = case["end_unix"] * 1_000_000 - (43_200 - k) * MINUTE
    hours = (end_us / 3.6e9) % 24
    total = (600 * (1 + 0.818 * np.cos((hours - 14) / 24 * 2 * np.pi))).astype(np.int64)
    bad = np.where((k >= 21_661) & (k <= 21_720), total, 0)
    objective = objective_of()
    ring = Ring(windows_us=objective.windows_us, now_us=int(end_us[-1]))
    ring.add(Cells.of(KEY, group=np.zeros_like(k), bucket=end_us // MINUTE, good=total - bad, total=total))
    verdict = evaluate(objective, ring.counts())[0]
    expected = case["expected"]
    month = verdict.windows[-1]
    assert month.total == expected["total"]
    assert float(1 - Fraction(month.good, month.total)) == expected["exact_error_ratio"]
    assert round(float(1 - verdict.budget_remaining) * 100, 4) == expected["budget_spent_pct"] == 26.4456


def test_an_overspent_budget_is_negative():
    assert budget_remaining(3, 1000, Fraction(1, 1000)) == -2
    assert budget_remaining(1, 1000, Fraction(1, 1000)) == 0


def test_no_traffic_is_no_data_and_never_met(objective_of, counts_of):
    objective = objective_of()
    verdict = evaluate(objective, counts_of(objective, 0, 0))[0]
    assert (verdict.budget_remaining, verdict.kept, verdict.firing) == (None, None, None)
    assert {window.burn for window in verdict.windows} == {None}


def test_an_overspent_budget_breaks_the_promise(objective_of, counts_of):
    objective = objective_of(target=Decimal("0.99"))
    assert evaluate(objective, counts_of(objective, 2, 100))[0].kept is False
    assert evaluate(objective, counts_of(objective, 1, 100))[0].kept is True
