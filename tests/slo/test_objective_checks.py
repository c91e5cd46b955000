"""An objective that exists can be judged; what cannot is refused with its reason."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.burn import YES, pair_fires
from slo.durations import MICROS_PER_DAY
from slo.errors import ObjectiveError
from slo.indicators.ttft import Ttft
from slo.objective import Rolling
from slo.slices import RatioTimeslices, Timeslices
from telemetry.condition import Severity


@pytest.mark.parametrize(
    ("changes", "subject", "reason"),
    [
        ({"target": Decimal(1)}, "target", "not between 0 and 1"),
        ({"target": Decimal(0)}, "target", "not between 0 and 1"),
        ({"target": Decimal("99.9")}, "target", "not between 0 and 1"),
        ({"target": Decimal("NaN")}, "target", "not between 0 and 1"),
        ({"target": Decimal("0.8")}, "target", "no page could ever fire.* 5x .* 6x"),
        ({"target": Decimal("0.1")}, "target", "no page could ever fire"),
        ({"name": "Upper Case"}, "name", "not a name"),
        ({"group_by": ("modle",)}, "group_by", "no text column 'modle'"),
        ({"group_by": ("output_tokens",)}, "group_by", "no text column"),
        ({"group_by": ("model", "model")}, "group_by", "named twice"),
        ({"selector": (("modle", "x"),)}, "selector", "no text column"),
        ({"window": Rolling(31 * MICROS_PER_DAY)}, "window", "up to 30d"),
        ({"window": Rolling(90_000_000)}, "window", "whole minutes"),
        ({"window": Rolling(MICROS_PER_DAY // 4)}, "policy", "workbook-1d looks back 6h"),
        ({"window": Rolling(MICROS_PER_DAY), "policy": "workbook"}, "policy", "looks back"),
        ({"policy": "weekly"}, "policy", "no alert policy"),
    ],
)
def test_refused_with_the_reason(objective_of, changes, subject, reason):
    with pytest.raises(ObjectiveError, match=reason) as refused:
        objective_of(**changes)
    assert refused.value.subject == subject


def test_a_low_target_is_accepted_while_each_severity_can_fire(objective_of):
    objective = objective_of(target=Decimal("0.9"))
    assert [float(pair.factor(objective.period_us)) for pair in objective.silent_pairs()] == [14.4]


def fires_in_an_outage(objective, pair):
    """Return whether a pair fires when all that its long window can hold is bad."""
    slice_us = objective.budgeting.slice_us
    most = pair.long_us // slice_us * objective.budgeting.scale if slice_us else 10**9
    all_bad = np.array([most]), np.array([most])
    return pair_fires(objective, pair, long=all_bad, short=all_bad)[0] == YES


@given(
    target=st.decimals("0.05", "0.9999", places=4),
    days=st.sampled_from([7, 28, 30]),
    slice_minutes=st.sampled_from([None, 1, 5]),
)
@settings(max_examples=200, deadline=None)
def test_a_pair_is_silent_exactly_if_a_total_outage_does_not_fire_it(
    objective_of, target, days, slice_minutes
):
    changes = {"target": target, "window": Rolling(days * MICROS_PER_DAY)}
    if slice_minutes:
        changes["budgeting"] = RatioTimeslices(slice_minutes * 60_000_000)
    with suppress(ObjectiveError):  # where all pairs of a severity are silent
        objective = objective_of(**changes)
        silent = [not fires_in_an_outage(objective, pair) for pair in objective.alerts.pairs]
        assert silent == [pair in objective.silent_pairs() for pair in objective.alerts.pairs]


def test_slices_too_few_to_prove_anything_are_refused_with_the_reason(objective_of):
    """In 6 h there are 72 slices of 5 m; 95.9 % of them bad, week's pages ask for, cannot be told from 98 %."""
    slices = Timeslices(5 * 60_000_000, Decimal("0.9"))
    week = {"window": Rolling(7 * MICROS_PER_DAY), "budgeting": slices}
    with pytest.raises(ObjectiveError, match="no page could ever fire: that all 72 slices of 6h are bad"):
        objective_of(target=Decimal("0.731"), **week)
    assert objective_of(target=Decimal("0.74"), **week).silent_pairs()


def test_a_low_target_is_accepted_without_alerts(objective_of):
    assert objective_of(target=Decimal("0.5"), policy="none").windows_us[-1] == 30 * MICROS_PER_DAY


def test_thirty_days_have_the_workbooks_factors_and_eight_windows(objective_of):
    objective = objective_of()
    factors = [pair.factor(objective.period_us) for pair in objective.alerts.pairs]
    assert factors == [Fraction("14.4"), 6, 3, 1]
    assert [window // 60_000_000 for window in objective.windows_us] == [
        5,
        30,
        60,
        120,
        360,
        1440,
        4320,
        43200,
    ]


def test_other_periods_have_the_published_factors(objective_of):
    month = objective_of(window=Rolling(28 * MICROS_PER_DAY))
    week = objective_of(window=Rolling(7 * MICROS_PER_DAY))
    assert [pair.factor(month.period_us) for pair in month.alerts.pairs] == [
        Fraction("13.44"), Fraction("5.6"), Fraction("2.8"), Fraction(14, 15),
    ]  # fmt: skip
    assert week.policy == "workbook-7d"
    assert week.alerts.pairs[0].factor(week.period_us) == Fraction("13.44")


@pytest.mark.parametrize("hours", [7, 12, 24, 72, 167, 168, 300, 671, 672, 720])
def test_any_period_from_seven_hours_on_is_alerted_on_before_its_budget_is_spent(objective_of, hours):
    objective = objective_of(window=Rolling(hours * MICROS_PER_DAY // 24))
    assert {pair.severity for pair in objective.alerts.pairs} == set(Severity)
    for pair in objective.alerts.pairs:
        assert pair.share < 1 and pair.long_us < objective.period_us
        assert pair.factor(objective.period_us) > Fraction(1, 2)


def test_version_changes_with_what_a_verdict_depends_on_and_with_nothing_else(objective_of):
    plain = objective_of()
    assert objective_of(display_name="Other", description="words", guess=True).version == plain.version
    assert objective_of(target=Decimal("0.9990")).version == plain.version
    different = [
        objective_of(name="other"),
        objective_of(target=Decimal("0.99")),
        objective_of(indicator=Ttft(1)),
        objective_of(indicator=Ttft(2)),
        objective_of(group_by=("model",)),
        objective_of(selector=(("model", "a"),)),
        objective_of(window=Rolling(28 * MICROS_PER_DAY)),
        objective_of(policy="tickets"),
    ]
    assert len({plain.version, *(objective.version for objective in different)}) == 9


def test_version_is_the_same_in_every_process(objective_of):
    assert objective_of().version == "a599f4d692701b1c"


def test_the_promise_reads_as_a_sentence(objective_of):
    objective = objective_of(indicator=Ttft(2_000_000), target=Decimal("0.990"))
    assert objective.sentence() == "99 % of requests: first token within 2s, over 30d"
