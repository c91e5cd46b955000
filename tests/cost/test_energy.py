"""Joules into money and into joules a token."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cost.energy import electricity, joules_per_token, kilowatt_hours
from telemetry.units import nano


def test_a_kilowatt_hour_costs_its_price_to_the_last_nano():
    assert electricity(3_600_000_000, nano("0.081234567")) == nano("0.081234567")
    assert kilowatt_hours(1_800_000_000) == 0.5


@given(st.integers(0, 10**15), st.integers(0, 10**12))
def test_the_cost_of_an_energy_is_the_exact_product_rounded_once(millijoules, price):
    cost = electricity(millijoules, price)
    assert abs(cost * 3_600_000_000 - millijoules * price) * 2 <= 3_600_000_000


def test_joules_a_token_are_not_known_without_tokens_or_joules():
    assert joules_per_token(5_000, 10) == 0.5
    assert joules_per_token(5_000, 0) is None
    assert joules_per_token(5_000, None) is None
    assert joules_per_token(None, 10) is None
