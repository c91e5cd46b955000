"""Where traffic is low, a threshold counts as crossed only beyond what chance explains."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from slo.evaluate import evaluate
from slo.significance import significant


def lower_bound(bad, total):
    """Return the one-sided 95 % Clopper-Pearson bound, by scipy's inverse beta."""
    return float(beta.ppf(0.05, bad, total - bad + 1)) if bad else 0.0


@given(
    st.integers(1, 10**9),
    st.floats(0, 1),
    st.fractions(min_value=Fraction(1, 10**5), max_value=Fraction(999, 1000), max_denominator=10**5),
)
@settings(max_examples=300, deadline=None)
def test_equals_scipys_bound(total, share, ratio):
    bad = round(total * share)
    bound = lower_bound(bad, total)
    if abs(bound - ratio) > 1e-9:
        mask = significant(np.array([bad]), np.array([total]), ratio)
        assert mask.tolist() == [bound > ratio]


@given(
    st.integers(1, 5_000),
    st.fractions(min_value=Fraction(1, 1000), max_value=Fraction(9, 10), max_denominator=1000),
)
@settings(max_examples=200, deadline=None)
def test_equals_scipys_bound_close_to_the_threshold(total, ratio):
    """Every count within three standard deviations of the threshold, at once."""
    mean, spread = total * float(ratio), (total * float(ratio * (1 - ratio))) ** 0.5
    bad = np.arange(max(int(mean - spread), 0), min(int(mean + 3 * spread) + 2, total) + 1)
    bounds = np.array([lower_bound(int(each), total) for each in bad])
    clear = np.abs(bounds - float(ratio)) > 1e-9
    found = significant(bad, np.full_like(bad, total), ratio)
    assert np.array_equal(found[clear], (bounds > float(ratio))[clear])


def test_nothing_bad_and_no_traffic_prove_nothing():
    assert significant(np.array([0, 0]), np.array([0, 100]), Fraction(1, 100)).tolist() == [False, False]


@pytest.mark.parametrize(
    ("bad", "total", "pages"),
    [
        (1, 2, True),  # P(at least 1 of 2 bad at 1.44 %) = 2.9 %
        (1, 4, False),  # 5.6 %: one unlucky request among four
        (2, 60, False),  # 21.7 %
        (4, 60, True),  # 1.1 %
    ],
)
def test_few_requests_page_only_beyond_chance(objective_of, counts_of, bad, total, pages):
    objective = objective_of()
    hour, minutes = 3_600_000_000, 300_000_000
    counts = counts_of(objective, 0, 10**6, **{f"w{hour}": (bad, total), f"w{minutes}": (1, 1)})
    assert (evaluate(objective, counts)[0].firing is not None) == pages


def test_heavy_traffic_needs_no_proof(objective_of, counts_of):
    """Where the threshold stands for 100 errors or more, crossing it by one fires."""
    objective = objective_of()
    hour, minutes = 3_600_000_000, 300_000_000
    counts = counts_of(objective, 0, 10**6, **{f"w{hour}": (101, 6_945), f"w{minutes}": (1, 1)})
    assert evaluate(objective, counts)[0].firing == objective.alerts.pairs[0]
