"""Facts as columns: masks instead of zeros, codes instead of texts, growth instead of counters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.counters import increase
from telemetry.frame import Frame, Lists, Texts, combined, concat, increases
from telemetry.requests import RequestRecord, Status

WORDS = tuple(map(str, range(60_000)))


def _record(at: int, **more) -> RequestRecord:
    return RequestRecord(
        request_id=f"r{at}",
        model="m",
        status=Status.OK,
        started_at_us=at,
        ended_at_us=at + 9,
        e2e_us=9,
        **more,
    )


def test_not_measured_is_a_false_mask_and_not_a_zero():
    frame = Frame.of("requests", [_record(1), _record(2, ttft_us=0)])
    assert frame.numbers("ttft_us").valid.tolist() == [False, True]


def test_a_text_that_is_not_known_has_code_minus_one():
    frame = Frame.of("requests", [_record(1, pool="a"), _record(2)])
    assert frame.texts("pool").codes.tolist() == [0, -1]
    assert frame.texts("pool").listed() == ["a", None]


def test_a_word_that_nobody_said_matches_no_row():
    frame = Frame.of("requests", [_record(1, pool="a"), _record(2)])
    assert not frame.texts("pool").equals("b").any()


def test_taking_by_mask_and_by_index_agree():
    frame = Frame.of(
        "requests", [_record(at, gap_buckets=tuple(range(16)) if at % 2 else ()) for at in range(6)]
    )
    mask = np.array([True, False, True, True, False, True])
    by_mask, by_index = frame.take(mask), frame.take(np.flatnonzero(mask))
    assert by_mask.rows == by_index.rows == 4
    assert (
        by_mask.lists("gap_buckets").offsets.tolist()
        == by_index.lists("gap_buckets").offsets.tolist()
        == [0, 0, 0, 16, 32]
    )


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=5), min_size=1, max_size=4))
def test_frames_end_to_end_hold_the_same_texts(parts):
    frames = [
        Frame.of("requests", [_record(at, pool=pool) for at, pool in enumerate(part)]) for part in parts
    ]
    assert concat(frames).texts("pool").listed() == [pool for part in parts for pool in part]


def test_frames_of_two_tables_are_not_joined():
    with pytest.raises(ValueError, match="one table"):
        concat([Frame.empty("requests"), Frame.empty("events")])


def test_the_wrong_kind_of_column_is_named():
    with pytest.raises(KeyError, match=r"requests\.tenant is not a numeric column"):
        Frame.empty("requests").numbers("tenant")


def test_combined_numbers_each_distinct_row_once():
    columns = [
        Texts(np.array([0, 1, 0, -1], dtype=np.int32), ("x", "y")),
        Texts(np.array([0, 0, 0, 0], dtype=np.int32), ("m",)),
    ]
    codes, keys = combined(columns, None)
    assert [keys[code] for code in codes] == [("x", "m"), ("y", "m"), ("x", "m"), (None, "m")]
    assert len(keys) == 3


@given(
    st.lists(st.tuples(*[st.integers(-1, 3)] * 4), max_size=60),
    st.lists(st.sampled_from([4, 100, 60_000]), min_size=4, max_size=4),  # 60,000^4 > 2^63
)
def test_combined_tells_rows_apart_whatever_the_number_of_words(rows, sizes):
    words = [WORDS[:size] for size in sizes]
    columns = [
        Texts(np.array([row[at] for row in rows], dtype=np.int32), each) for at, each in enumerate(words)
    ]
    codes, keys = combined(columns, None)
    told = [tuple(None if code < 0 else words[at][code] for at, code in enumerate(row)) for row in rows]
    assert [keys[code] for code in codes] == told
    assert len(keys) == len(set(keys)) == len(set(told))


def test_lists_keep_their_rows_when_taken_in_another_order():
    lists = Lists(np.array([0, 2, 2, 5]), np.array([1, 2, 3, 4, 5], dtype=np.uint32)).take(np.array([2, 0]))
    assert lists.offsets.tolist() == [0, 3, 5]
    assert lists.values.tolist() == [3, 4, 5, 1, 2]


POINTS = st.lists(st.one_of(st.none(), st.integers(0, 10**6)), max_size=30)


@given(POINTS)
def test_growth_of_columns_follows_the_rule_of_single_counters(points):
    values = np.array([[0 if point is None else point for point in points]], dtype=float)
    valid = np.array([[point is not None for point in points]], dtype=bool)
    grown, known = increases(values, valid)
    last = None
    for at, point in enumerate(points):
        expected = increase(last, point)
        assert (grown[0, at] if known[0, at] else None) == expected
        last = last if point is None else point


@given(POINTS)
def test_a_counter_never_shrinks(points):
    values = np.array([0 if point is None else point for point in points], dtype=float)
    grown, _ = increases(values, np.array([point is not None for point in points], dtype=bool))
    assert (grown >= 0).all()
