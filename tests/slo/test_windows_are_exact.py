"""A ring's windows equal a recount of every fact, whatever the order and lateness."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.cells import Cells
from slo.ring import Ring

SECOND, MINUTE = 1_000_000, 60_000_000
DAY = 1_440 * MINUTE
WINDOWS = tuple(minutes * MINUTE for minutes in (5, 30, 60, 120, 360, 1440, 4320, 43200))


def cells(*rows):
    """Return cells of (key, bucket, good, total) rows."""
    keys = [key for key, *_ in rows]
    bucket, good, total = np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, 3).T
    return Cells.of(keys, group=np.arange(len(rows)), bucket=bucket, good=good, total=total)


def recount(facts, now, span):
    """Add up (key, bucket, good, total) facts in the `span` buckets that end with `now`."""
    sums = {}
    for key, bucket, good, total in facts:
        if now - span < bucket <= now:
            before = sums.get(key, (0, 0))
            sums[key] = (before[0] + good, before[1] + total)
    return sums


def read(counts, at):
    return {
        key: (int(counts.good[at, group]), int(counts.total[at, group]))
        for group, key in enumerate(counts.keys)
        if counts.total[at, group]
    }


events = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(-50, 14),  # how late (or ahead) a fact is, in buckets
        st.integers(0, 5),
        st.integers(1, 4),
        st.integers(0, 70),  # how far time goes on afterwards
    ),
    max_size=40,
)


@given(events)
@settings(max_examples=200, deadline=None)
def test_windows_equal_a_recount_for_late_and_early_facts(steps):
    spans = (1, 3, 10, 40)
    ring, now, facts = Ring(windows_us=[span * MINUTE for span in spans], now_us=1000 * MINUTE), 1000, []
    for name, offset, good, bad, wait in steps:
        bucket = now + offset
        added = ring.add(cells(((name,), bucket, good, good + bad)))
        accepted = now - 40 < bucket <= now + 10
        assert added.outside == (0 if accepted else good + bad)
        if accepted:
            facts.append(((name,), bucket, good, good + bad))
        now += wait
        ring.advance(now * MINUTE)
        counts = ring.counts()
        for at, span in enumerate(spans):
            assert read(counts, at) == recount(facts, now, span)


@pytest.mark.parametrize("seed", range(50))
def test_eight_windows_and_the_thirty_days_equal_a_recount_of_a_random_stream(seed):
    """Facts up to 24 h late, out of order, in batches, over 33 days; looked at ten times."""
    chance = random.Random(seed)
    now, facts = 20_000 * 1440, []
    ring = Ring(windows_us=WINDOWS, now_us=now * MINUTE)
    for _ in range(10):
        batch = []
        for _ in range(chance.randrange(1, 60)):
            late = chance.choice([0, 1, chance.randrange(1440)])
            total = chance.choice([1, 3, 70_000])
            key = (chance.choice("xyz"),)
            batch.append((key, now - late, chance.randrange(total + 1), total))
        assert ring.add(cells(*batch)).outside == 0
        facts += batch
        now += chance.choice([0, 1, 4, 29, 61, 1_439, 7_200, 14_400])
        ring.advance(now * MINUTE + chance.randrange(MINUTE))
        counts = ring.counts()
        for at, window in enumerate(WINDOWS):
            assert read(counts, at) == recount(facts, now, window // MINUTE)


def test_a_fact_a_day_late_moves_every_window_that_still_holds_its_minute():
    ring = Ring(windows_us=WINDOWS, now_us=100 * DAY)
    ring.add(cells((("a",), 99 * 1440, 0, 7)))
    held = [int(total[0]) for total in ring.counts().total]
    assert held == [0, 0, 0, 0, 0, 0, 7, 7]  # a 1-day window ends with now, so it starts a minute later


def test_window_edges_are_exact_to_the_bucket():
    ring = Ring(windows_us=[5 * MINUTE], now_us=100 * MINUTE)
    ring.add(cells(((), 100, 1, 1)))
    for minute, held in ((100, 1), (104, 1), (105, 0)):
        ring.advance(minute * MINUTE + MINUTE - 1)
        assert ring.counts().total.tolist() == [[held]]


def test_a_fact_ahead_of_the_clock_waits_for_its_minute():
    ring = Ring(windows_us=[5 * MINUTE], now_us=100 * MINUTE)
    assert ring.add(cells(((), 105, 1, 1))).outside == 0
    assert ring.counts().total.tolist() == [[0]]
    ring.advance(105 * MINUTE)
    assert ring.counts().total.tolist() == [[1]]


def test_an_earlier_now_changes_nothing():
    ring = Ring(windows_us=[5 * MINUTE], now_us=100 * MINUTE)
    ring.add(cells(((), 100, 1, 1)))
    ring.advance(0)
    assert (ring.counts().at_us, ring.counts().total.tolist()) == (100 * MINUTE, [[1]])


def test_order_of_adding_does_not_matter():
    rows = [((name,), 1000 - late, 1, 2) for name in "abcd" for late in (0, 7, 33)]
    random.Random(1).shuffle(rows)
    single, whole = (Ring(windows_us=[10 * MINUTE, 40 * MINUTE], now_us=1000 * MINUTE) for _ in range(2))
    for row in rows:
        single.add(cells(row))
    whole.add(cells(*rows))
    for at in (0, 1):
        assert read(single.counts(), at) == read(whole.counts(), at)


def test_what_is_stored_is_the_cell_as_it_now_stands():
    ring = Ring(windows_us=[5 * MINUTE], now_us=100 * MINUTE)
    ring.add(cells((("a",), 100, 1, 2)))
    stored = ring.add(cells((("a",), 100, 3, 4), (("b",), 99, 0, 1))).stored
    assert stored.keys == (("a",), ("b",))
    assert (stored.good.tolist(), stored.total.tolist()) == ([4, 0], [6, 1])


def test_a_ring_restored_from_its_stored_cells_is_the_same_ring():
    before, after = (Ring(windows_us=WINDOWS, now_us=100 * DAY) for _ in range(2))
    rows = [((name,), 100 * 1440 - late, 1, 3) for name in "abc" for late in (0, 3, 1_000, 43_000)]
    after.add(before.add(cells(*rows)).stored)
    assert np.array_equal(before.counts().total, after.counts().total)


def test_counts_widen_when_a_bucket_outgrows_them():
    ring = Ring(windows_us=[5 * MINUTE], now_us=100 * MINUTE)
    for expected in (65_535, 131_070, 131_070 + 5_000_000_000):
        ring.add(cells(((), 100, expected - 1, expected - int(ring.counts().total.sum()))))
        assert ring.counts().total.tolist() == [[expected]]
    ring.advance(105 * MINUTE)
    assert ring.counts().total.tolist() == [[0]]


def test_groups_past_the_cap_are_counted_together_and_it_is_said():
    ring = Ring(windows_us=[5 * MINUTE], now_us=100 * MINUTE, group_cap=3)
    ring.add(cells(*(((f"t{n}", "m"), 100, 1, 2) for n in range(5))))
    ring.add(cells((("t9", "m"), 100, 0, 1), (("t0", "m"), 100, 1, 1)))
    counts = ring.counts()
    assert counts.keys == (("__other__", "__other__"), ("t0", "m"), ("t1", "m"), ("t2", "m"))
    assert counts.total.tolist() == [[5, 3, 2, 2]]
    assert counts.folded == 5


def test_the_cap_bounds_the_ring_whatever_comes():
    ring = Ring(windows_us=[5 * MINUTE], now_us=100 * MINUTE, group_cap=20)
    for n in range(60):
        ring.add(cells(((f"t{n}",), 100, 1, 1)))
    assert len(ring.counts().keys) == 21
    assert ring.counts().total.sum() == 60


def test_first_bad_is_the_start_of_its_bucket():
    ring = Ring(windows_us=[30 * MINUTE], now_us=100 * MINUTE)
    ring.add(cells(((), 80, 2, 2), ((), 95, 1, 2), ((), 99, 0, 2)))
    assert ring.first_bad_us((), 30 * MINUTE) == 95 * MINUTE
    assert ring.first_bad_us((), 3 * MINUTE) == 99 * MINUTE
    ring.advance(130 * MINUTE)
    assert ring.first_bad_us((), 30 * MINUTE) is None


def test_a_window_between_buckets_is_refused():
    with pytest.raises(ValueError, match="not multiples"):
        Ring(windows_us=[90 * SECOND], now_us=0)
