from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cost.apportion import apportion, apportion_groups, split

weights = st.lists(st.integers(0, 10**15), min_size=1, max_size=12)
totals = st.integers(0, 10**15)


def by_hand(total, weights):
    """Largest remainder in Python integers, ties to the earlier row."""
    if not any(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda row: -(total * weights[row] % whole))
    for row in order[: total - sum(parts)]:
        parts[row] += 1
    return parts


@given(totals, weights)
def test_parts_are_those_of_largest_remainder(total, weights):
    assert apportion(total, np.array(weights, dtype=np.int64)).tolist() == by_hand(total, weights)


@given(st.lists(st.tuples(totals, weights), min_size=1, max_size=5))
def test_groups_are_apportioned_as_if_alone(groups):
    numbers = np.repeat(np.arange(len(groups)), [len(each) for _, each in groups])
    flat = np.array([weight for _, each in groups for weight in each], dtype=np.int64)
    parts = apportion_groups(np.array([total for total, _ in groups], dtype=np.int64), numbers, flat)
    assert parts.tolist() == [part for total, each in groups for part in by_hand(total, each)]


@given(weights, weights)
def test_split_keeps_both_margins_and_is_never_negative(parts, holders):
    parts, holders = np.array(parts, dtype=np.int64), np.array(holders, dtype=np.int64)
    holders[0] += max(parts.sum() - holders.sum(), 0)
    parts[0] += max(holders.sum() - parts.sum(), 0)
    table = split(parts, holders)
    assert table.min() >= 0
    assert (table.sum(axis=1) == parts).all()
    assert (table.sum(axis=0) == holders).all()


def test_nobody_gets_nothing():
    assert apportion(5, np.zeros(0, dtype=np.int64)).tolist() == []
