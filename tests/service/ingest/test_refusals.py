"""Every value that may not be is refused by table, column and row; what is unknown is ignored."""

from __future__ import annotations

import pyarrow as pa
import pytest

from service.ingest.decode import Ignored, decode
from telemetry.identity import Origin
from telemetry.wire import Part, WireError, join

HOUR_US = 3_600 * 1_000_000
NAN, INF = float("nan"), float("inf")


def ints(*values):
    return pa.array(values, pa.int64())


def doubles(*values):
    return pa.array(values, pa.float64())


def texts(*values):
    return pa.array(values, pa.string())


def packed(*values):
    return pa.array(values, pa.binary())


REFUSED = [
    ("requests", {"ttft_us": ints(1, None, -5)}, r"requests\.ttft_us row 2: -5 is negative"),
    ("requests", {"prompt_tokens": ints(-1, 0, 0)}, r"requests\.prompt_tokens row 0: -1 is negative"),
    ("requests", {"e2e_us": ints(1, None, 2)}, r"requests\.e2e_us row 1: is missing"),
    ("requests", {"model": texts("m", "m", None)}, r"requests\.model row 2: is missing"),
    ("requests", {"model": None}, r"requests\.model: the column is missing"),
    ("requests", {"ttft_us": doubles(1, 2, 3)}, r"requests\.ttft_us: the Arrow type is double, .* int64"),
    ("requests", {"stream": ints(1, 1, 1)}, r"requests\.stream: the Arrow type is int64, .* bool"),
    (
        "requests",
        {"tenant": packed(b"a", b"b", b"c")},
        r"requests\.tenant: the Arrow type is binary, .* string",
    ),
    (
        "requests",
        {"status": texts("ok", "ok", "fine")},
        r"requests\.status row 2: 'fine' is not one of ok, error",
    ),
    ("requests", {"tenant": texts("a", "x" * 201, "a")}, r"requests\.tenant row 1: .* longer than 200"),
    (
        "requests",
        {"error_class": texts("x" * 2001, "", "")},
        r"requests\.error_class row 0: .* longer than 2,000",
    ),
    (
        "requests",
        {"gap_buckets": packed(b"", b"1234" * 15, b"")},
        r"gap_buckets row 1: 15 buckets; there are 16",
    ),
    (
        "token_gaps",
        {"gaps_us": packed(b"", b"12345", b"")},
        r"token_gaps\.gaps_us row 1: the bytes are no list",
    ),
    ("gpu_samples", {"kernel_busy_ratio": doubles(0, 1, 1.01)}, r"kernel_busy_ratio row 2: 1\.01 .* 0\.\.1"),
    ("gpu_samples", {"kernel_busy_ratio": doubles(None, -0.1, 1)}, r"kernel_busy_ratio row 1: -0\.1 is out"),
    ("gpu_samples", {"power_watts": doubles(1, NAN, 1)}, r"gpu_samples\.power_watts row 1: nan .* finite"),
    ("gpu_samples", {"power_watts": doubles(1, 1, -INF)}, r"gpu_samples\.power_watts row 2: -inf .* finite"),
    ("engine_samples", {"state": texts("ready", "ready", "dead")}, r"engine_samples\.state row 2: 'dead'"),
]


@pytest.mark.parametrize(("table", "changed", "message"), REFUSED, ids=[case[2][:40] for case in REFUSED])
def test_a_wrong_value_is_refused_where_it_is(rows, body, table, changed, message):
    with pytest.raises(WireError, match=message):
        decode(body(**{table: rows(table, 3, **changed)}))


ACCEPTED = [
    ("requests", {"ttft_us": ints(None, 0, 2**63 - 1)}),
    ("requests", {"priority": ints(-3, None, 3)}),
    ("requests", {"error_class": texts("x" * 2000, None, "")}),
    ("requests", {"tenant": texts("ä" * 200, "日" * 200, "a")}),
    ("requests", {"gap_buckets": packed(b"", b"1234" * 16, b"")}),
    ("requests", {"ttft_us": None, "pool": None}),
    ("gpu_samples", {"kernel_busy_ratio": doubles(0, 1, 1 + 1e-9)}),
    ("gpu_samples", {"temperature_celsius": doubles(-10, 0, None)}),
    ("events", {"code": ints(-7, None, 79)}),
]


@pytest.mark.parametrize(("table", "changed"), ACCEPTED, ids=[str(list(case[1])) for case in ACCEPTED])
def test_an_unusual_value_that_may_be_is_taken(rows, body, table, changed):
    assert decode(body(**{table: rows(table, 3, **changed)})).tables[table].num_rows == 3


def test_what_lies_under_a_missing_value_does_not_matter(rows, body):
    hidden = pa.Array.from_buffers(
        pa.int64(), 3, [pa.py_buffer(b"\x05"), ints(1, -99, 2).buffers()[1]], null_count=1
    )
    decoded = decode(body(requests=rows("requests", 3, ttft_us=hidden)))
    assert decoded.tables["requests"]["ttft_us"].to_pylist() == [1, None, 2]


def test_unknown_tables_and_columns_are_ignored_and_counted(rows, body):
    known = rows("events").append_column("mood", texts("a", "b", "c"))
    decoded = decode(body(events=known, moods=pa.table({"a": ints(1)})))
    assert decoded.ignored == Ignored(tables=1, columns=1)
    assert list(decoded.tables) == ["events"]
    assert "mood" not in decoded.tables["events"].column_names


def test_a_dictionary_of_texts_is_written_out(rows, body):
    encoded = texts("a", None, "a").dictionary_encode()
    decoded = decode(
        body(requests=rows("requests", 3, tenant=texts("a", "b", "a").dictionary_encode(), pool=encoded))
    )
    assert decoded.tables["requests"]["tenant"].to_pylist() == ["a", "b", "a"]
    assert decoded.tables["requests"]["pool"].to_pylist() == ["a", None, "a"]
    assert decoded.tables["requests"]["tenant"].type == pa.string()


@pytest.mark.parametrize("index", [2, -1, 100])
def test_a_dictionary_index_out_of_range_is_refused(rows, body, index):
    indices = pa.array([0, 1, index], pa.int8())
    wild = pa.DictionaryArray.from_arrays(indices, texts("a", "b"), safe=False)
    with pytest.raises(WireError, match="requests: not a readable Arrow stream"):
        decode(body(requests=rows("requests", 3, tenant=wild)))


def test_a_dictionary_that_would_expand_without_bound_is_refused(rows, body):
    word = texts("x" * 1_000_000)
    many = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.int8()), word)
    with pytest.raises(WireError, match=r"requests\.tenant: 1,000,000,000 bytes of text"):
        decode(body(requests=rows("requests", 1_000, tenant=many)))


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_buffers_are_refused(rows, header, stream, codec):
    table = rows("requests", 2_000)
    part = Part("requests", 2_000, stream(table, compression=codec))
    with pytest.raises(WireError, match="requests: compressed Arrow buffers"):
        decode(join(header(), [part]))


def test_many_record_batches_are_one_table(rows, header, stream):
    table = pa.concat_tables([rows("events", 2)] * 3)
    decoded = decode(join(header(), [Part("events", 6, stream(table))]))
    assert decoded.tables["events"].num_rows == 6
    assert decoded.tables["events"]["kind"].num_chunks == 1


def test_many_record_batches_with_dictionaries_of_their_own_are_one_table(rows, header, stream):
    tables = [rows("events", 2, message=texts(word, word).dictionary_encode()) for word in ("a", "b")]
    decoded = decode(join(header(), [Part("events", 4, stream(pa.concat_tables(tables)))]))
    assert decoded.tables["events"]["message"].to_pylist() == ["a", "a", "b", "b"]


def test_endless_messages_are_refused(rows, header, stream):
    table = pa.concat_tables([rows("events", 1)] * 1_200)
    with pytest.raises(WireError, match=r"events: more than 1,000 Arrow messages"):
        decode(join(header(), [Part("events", 1_200, stream(table))]))


def test_a_row_count_that_is_not_the_announced_one_is_refused(rows, body):
    with pytest.raises(WireError, match="events: 5 rows announced, 3 there"):
        decode(body(announced=5, events=rows("events", 3)))


def test_a_table_named_twice_is_refused(rows, header, stream):
    part = Part("events", 1, stream(rows("events", 1)))
    with pytest.raises(WireError, match="events: 2 tables of this name"):
        decode(join(header(), [part, part]))


def test_a_column_named_twice_is_refused(rows, header, stream):
    table = rows("events", 1)
    table = table.append_column("host", table["host"])
    with pytest.raises(WireError, match=r"events\.host: 2 columns of this name"):
        decode(join(header(), [Part("events", 1, stream(table))]))


def test_a_table_without_rows_is_left_out(rows, body):
    assert decode(body(events=rows("events", 0), requests=rows("requests", 1))).tables.keys() == {"requests"}


@pytest.mark.parametrize(
    ("moved_us", "message"),
    [(-24 * HOUR_US - 1, "more than 24 h ago"), (5 * 60_000_000 + 1, "more than 5 min ahead")],
)
@pytest.mark.parametrize("origin", [Origin.LIVE, Origin.SIMULATED])
def test_event_times_far_from_now_are_refused(rows, body, now_us, origin, moved_us, message):
    times = ints(now_us, now_us, now_us + moved_us)
    with pytest.raises(WireError, match=rf"requests\.ended_at_us row 2: is {message}"):
        decode(body(origin=origin, requests=rows("requests", 3, ended_at_us=times)), now_us=now_us)


@pytest.mark.parametrize("moved_us", [-24 * HOUR_US, 5 * 60_000_000])
def test_event_times_at_the_edges_are_taken(rows, body, now_us, moved_us):
    times = ints(*[now_us + moved_us] * 3)
    assert decode(body(requests=rows("requests", 3, ended_at_us=times)), now_us=now_us).tables


def test_imported_facts_may_be_old_and_so_may_a_batch_read_again(rows, body, now_us):
    old = rows("requests", 3, ended_at_us=ints(1, 2, 3))
    assert decode(body(origin=Origin.IMPORTED, requests=old), now_us=now_us).tables
    assert decode(body(requests=old)).tables
