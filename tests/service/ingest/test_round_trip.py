"""What was recorded is what is judged: records, bytes, Arrow and frames say the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.ingest.decode import decode, frame, to_arrow
from service.ingest.frames import STORED
from telemetry.columns import TABLE, TABLES, ColumnSpec, Kind
from telemetry.frame import Frame, Lists, Numbers, Texts
from telemetry.wire import BatchHeader, encode

HEADER = BatchHeader(boot="b", seq=1, sealed_at_us=1, host="h")
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
UINT = st.integers(0, 2**32 - 1)


def _values(column: ColumnSpec) -> st.SearchStrategy:
    match column.kind:
        case Kind.INT:
            values = st.integers(0, 2**63 - 1)
        case Kind.FLOAT:
            ratio = column.name.endswith("_ratio")
            values = st.floats(0, 1) if ratio else st.floats(allow_nan=False, allow_infinity=False)
        case Kind.TEXT:
            values = st.sampled_from(column.words) if column.words else TEXT
        case Kind.FLAG:
            values = st.booleans()
        case Kind.UINTS if column.name == "gap_buckets":
            values = st.one_of(st.just(()), st.tuples(*[UINT] * 16))
        case Kind.UINTS:
            values = st.lists(UINT, max_size=5).map(tuple)
    return st.one_of(st.none(), values) if column.nullable else values


def _records(table: str) -> st.SearchStrategy:
    spec = TABLE[table]
    record = st.builds(spec.record, **{column.name: _values(column) for column in spec.columns})
    return st.lists(record, min_size=1, max_size=6)


def same(one: Frame, other: Frame) -> bool:
    """Tell whether two frames are equal, words and masked values included."""
    return (one.table, one.rows, list(one.columns)) == (other.table, other.rows, list(other.columns)) and all(
        _same(one.columns[name], other.columns[name]) for name in one.columns
    )


def _same(one, other) -> bool:
    match one, other:
        case Numbers(), Numbers():
            pairs = [(one.values, other.values), (one.valid, other.valid)]
        case Texts(), Texts():
            pairs = [(one.codes, other.codes), (one.words, other.words)]
        case Lists(), Lists():
            pairs = [(one.offsets, other.offsets), (one.values, other.values)]
        case _:
            return False
    return all(
        getattr(a, "dtype", None) == getattr(b, "dtype", None) and np.array_equal(a, b) for a, b in pairs
    )


@pytest.mark.parametrize("table", [spec.name for spec in TABLES])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_records_come_back_as_the_frame_they_are(table, data):
    records = data.draw(_records(table))
    decoded = decode(encode(HEADER, {table: records}))
    assert same(frame(table, decoded.tables[table]), Frame.of(table, records))


@pytest.mark.parametrize("table", [spec.name for spec in TABLES])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_frame_and_its_table_are_each_other(table, data):
    original = Frame.of(table, data.draw(_records(table)))
    rows = to_arrow(original)
    rows.validate(full=True)
    assert same(frame(table, rows), original)
    assert to_arrow(frame(table, rows)).equals(rows)


@pytest.mark.parametrize("table", [spec.name for spec in TABLES])
def test_a_frame_without_rows_is_a_table_without_rows(table):
    empty = to_arrow(Frame.empty(table))
    assert empty.num_rows == 0
    assert same(frame(table, empty), Frame.empty(table))


def test_a_part_of_a_frame_is_a_table_too(rows, body):
    whole = frame("requests", decode(body(requests=rows("requests", 5))).tables["requests"])
    part = whole.take(np.array([4, 1, 1]))
    assert same(frame("requests", to_arrow(part)), part)


def test_a_slice_and_several_chunks_give_the_same_frame(rows, body):
    numbers = pa.array(range(6), pa.int64())
    table = decode(body(requests=rows("requests", 6, e2e_us=numbers))).tables["requests"]
    chunks = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    assert same(frame("requests", chunks), frame("requests", table))
    assert frame("requests", table.slice(2, 3)).numbers("e2e_us").values.tolist() == [2, 3, 4]


def test_a_decoded_table_has_every_column_in_the_stored_type(rows, body):
    table = decode(body(requests=rows("requests", 2, ttft_us=None))).tables["requests"]
    assert table.schema.equals(STORED["requests"])
    assert table["ttft_us"].null_count == 2


def test_a_frame_is_not_made_of_another_table(rows, body):
    table = decode(body(events=rows("events"))).tables["events"]
    with pytest.raises(ValueError, match="not the columns"):
        frame("requests", table)
