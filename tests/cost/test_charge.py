from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cost.charge import charge, charges
from cost.prices import Segment

segments = st.lists(
    st.tuples(st.integers(0, 10**16), st.integers(0, 10**12)), max_size=4, unique_by=lambda each: each[0]
).map(lambda each: [Segment(*one) for one in sorted(each)])
instants = st.lists(st.integers(0, 2 * 10**16), min_size=2, max_size=20, unique=True).map(sorted)


def counted(book, at):
    """Return C(t) by the book's own definition, in Python integers."""
    total = 0
    for this, following in pairwise([*book, Segment(10**18, 0)]):
        total += this.nano_per_hour * max(0, min(at, following.from_us) - this.from_us)
    return total // 3_600_000_000


@given(segments, instants)
def test_any_slicing_sums_to_the_same_charge(book, edges):
    pieces = charges(book, np.array(edges, dtype=np.int64))
    assert int(pieces.sum()) == counted(book, edges[-1]) - counted(book, edges[0])
    assert pieces.min() >= 0


def test_time_before_the_first_price_costs_nothing():
    assert charge([Segment(10, 3_600_000_000)], 0, 10) == 0


def test_no_price_is_no_charge():
    assert charge([], 0, 10**12) == 0


def test_recorded_round_robin_run_costs_what_the_bill_says():
    start, end = 1_786_153_824_000_000, 1_786_154_801_000_000
    assert 2 * charge([Segment(start, 1_100_000_000)], start, end) == 597_055_554
    assert 2 * charge([Segment(0, 1_100_000_000)], start, end) == 597_055_554
