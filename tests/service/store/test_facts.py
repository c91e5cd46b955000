"""What goes into the facts store comes out: integers to the last digit, None as None."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pyarrow as pa
import pytest

from service.ingest.frames import STORED
from service.store.clickhouse import ReadLimits, Warehouse
from service.store.errors import StoreBusy, StoreError, StoreRefused, StoreUnavailable, StoreUnsafe
from service.store.facts import Facts
from telemetry.columns import TABLE, TABLES
from telemetry.frame import Frame
from telemetry.requests import RequestRecord, Status
from telemetry.samples import GpuSample

NOW = time.time_ns() // 1_000
"""Old facts would be swept away by their time to live in the middle of a test."""


def request(number=1, **changes):
    return RequestRecord(
        **{
            "request_id": f"r{number}",
            "model": "llama",
            "status": Status.OK,
            "started_at_us": NOW,
            "ended_at_us": NOW + number,
            "e2e_us": 1,
            **changes,
        }
    )


def rows_of(table, records, *, block=1, seq=1, dataset=""):
    """Make a block's Arrow rows of plain records."""
    spec = TABLE[table]
    columns = {
        column.name: pa.array(
            [getattr(record, column.name) for record in records], STORED[table].field(column.name).type
        )
        for column in spec.columns
    }
    count = len(records)
    envelope = {
        "agent": ["a"] * count,
        "boot": ["b"] * count,
        "seq": [seq] * count,
        "block": [block] * count,
        "received_at_us": [NOW] * count,
        "origin": ["live"] * count,
        "dataset": [dataset] * count,
    }
    return pa.table({**columns, **envelope})


def put(facts, table, records, **envelope):
    rows = rows_of(table, records, **envelope)
    facts.insert_block(envelope.get("block", 1), {table: rows})


def everything(facts, table, **how):
    return facts.frame(table, from_us=0, to_us=2**62, **how)


def same(left: Frame, right: Frame) -> bool:
    def plain(frame):
        return {
            name: column.listed()
            if hasattr(column, "listed")
            else [column.offsets.tolist(), column.values.tolist()]
            if hasattr(column, "offsets")
            else [
                value if valid else None
                for value, valid in zip(column.values.tolist(), column.valid, strict=True)
            ]
            for name, column in frame.columns.items()
        }

    return plain(left) == plain(right)


def test_a_request_comes_back_field_by_field(facts):
    full = request(
        1, tenant="t", pool="p", http_status=200, ttft_us=2**62 - 1, prompt_tokens=0, gap_buckets=(0, 2**32 - 1),
        output_empty=False, retry_of="r0", gap_max_us=7,
    )  # fmt: skip
    sparse = request(2)
    put(facts, "requests", [full, sparse])
    assert same(everything(facts, "requests"), Frame.of("requests", [full, sparse]))


def test_none_is_not_zero_and_false_is_not_none(facts):
    put(facts, "requests", [request(1, ttft_us=0, output_empty=False), request(2)])
    found = everything(facts, "requests")
    assert found.numbers("ttft_us").valid.tolist() == [True, False]
    assert found.numbers("output_empty").valid.tolist() == [True, False]


@pytest.mark.parametrize("value", [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_an_integer_is_kept_to_the_last_digit(facts, value):
    put(facts, "requests", [request(1, e2e_us=value)])
    assert everything(facts, "requests").numbers("e2e_us").values.tolist() == [value]


@pytest.mark.parametrize("value", [0.1, 1e-300, 1.7976931348623157e308, -0.0])
def test_a_ratio_is_kept_to_the_last_bit(facts, value):
    put(facts, "gpu_samples", [GpuSample(at_us=NOW, gpu_uuid="GPU-1", host="h", power_watts=value)])
    kept = everything(facts, "gpu_samples").numbers("power_watts").values
    assert kept.tobytes() == np.array([value]).tobytes()


@pytest.mark.parametrize("text", ["", "naïve \N{SNOWMAN}", "a'b\\c\n\t", "x" * 200])
def test_a_text_is_kept_as_it_is(facts, text):
    put(facts, "requests", [request(1, tenant=text, request_id=text)])
    found = everything(facts, "requests")
    assert (found.texts("tenant").listed(), found.texts("request_id").listed()) == ([text], [text])


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_every_kind_of_fact_has_a_table_with_its_columns(facts, spec):
    assert everything(facts, spec.name).rows == 0
    assert facts.span(spec.name) is None


def test_a_frame_holds_its_range_and_dataset_oldest_first(facts):
    put(facts, "requests", [request(3), request(1), request(2)])
    put(facts, "requests", [request(9)], block=2, dataset="trace")
    found = facts.frame("requests", from_us=NOW + 1, to_us=NOW + 3)
    assert found.texts("request_id").listed() == ["r1", "r2"]
    assert everything(facts, "requests", dataset="trace").texts("request_id").listed() == ["r9"]


def test_columns_that_were_not_asked_for_are_unknown(facts):
    put(facts, "requests", [request(1, ttft_us=5, tenant="t", gap_buckets=(1,))])
    found = everything(facts, "requests", columns=("ttft_us",))
    assert found.numbers("ttft_us").values.tolist() == [5]
    assert found.texts("tenant").listed() == [None]
    assert not found.numbers("e2e_us").valid.any() and found.lists("gap_buckets").offsets.tolist() == [0, 0]


def test_a_condition_has_parameters_not_text(facts):
    put(facts, "requests", [request(1, tenant="a'b"), request(2, tenant="c")])
    found = everything(facts, "requests", where="tenant = {tenant:String}", params={"tenant": "a'b"})
    assert found.texts("request_id").listed() == ["r1"]


def test_a_block_is_counted_table_by_table(facts):
    put(facts, "requests", [request(1), request(2)], block=7)
    assert facts.count_block(7)["requests"] == 2
    assert facts.count_block(7)["events"] == 0 and facts.count_block(8)["requests"] == 0


def test_a_deleted_block_is_gone_when_the_call_returns_and_no_other_is(facts):
    put(facts, "requests", [request(1)], block=1)
    put(facts, "requests", [request(2)], block=2)
    facts.delete_block(1, "requests")
    assert everything(facts, "requests").texts("request_id").listed() == ["r2"]


def test_rows_of_another_block_are_refused(facts):
    with pytest.raises(StoreRefused, match="another block"):
        facts.insert_block(2, {"requests": rows_of("requests", [request(1)], block=1)})


def test_a_table_that_agents_do_not_fill_takes_no_block(facts):
    with pytest.raises(StoreRefused, match="no table of measured facts"):
        facts.insert_block(1, {"ledger": rows_of("requests", [request(1)])})


def test_more_than_fifty_days_in_one_block_are_all_kept(facts):
    day = 86_400_000_000
    put(facts, "requests", [request(1, ended_at_us=NOW - day * back) for back in range(51)])
    assert facts.count_block(1)["requests"] == 51


def received(rows, at_us):
    place = rows.column_names.index("received_at_us")
    return rows.set_column(place, "received_at_us", pa.array([at_us] * rows.num_rows, pa.int64()))


@pytest.mark.parametrize(("dataset", "left"), [("", 0), ("trace", 1)])
def test_live_facts_go_by_their_receipt_and_imports_stay(facts, dataset, left):
    rows = received(rows_of("requests", [request(1)], dataset=dataset), NOW - 63 * 86_400_000_000)
    facts.insert_block(1, {"requests": rows})
    facts._warehouse.command("OPTIMIZE TABLE requests FINAL")
    assert everything(facts, "requests", dataset=dataset).rows == left


def test_an_old_event_received_today_stays(facts):
    put(facts, "requests", [request(1, ended_at_us=1_690_000_000_000_000)])
    facts._warehouse.command("OPTIMIZE TABLE requests FINAL")
    assert everything(facts, "requests").rows == 1


def test_an_import_is_deleted_whole_and_the_live_facts_never(facts):
    put(facts, "requests", [request(1)], dataset="trace")
    put(facts, "requests", [request(2)], block=2)
    facts.delete_dataset("trace")
    assert everything(facts, "requests", dataset="trace").rows == 0
    with pytest.raises(StoreRefused, match="never deleted"):
        facts.delete_dataset("")
    assert everything(facts, "requests").rows == 1


MINUTE = 60_000_000


@pytest.mark.parametrize(
    ("most", "spans"),
    [
        (10, [(0, 7)]),
        (4, [(0, 2), (5, 7)]),
        (3, [(0, 1), (1, 7)]),
        (1, [(0, 1), (1, 2), (5, 6), (6, 7)]),
    ],
)
def test_a_long_range_is_read_in_strides_of_at_most_so_many_facts(facts, most, spans):
    start = NOW // MINUTE * MINUTE
    minutes = [0, 0, 0, 1, 5, 6]  # a minute is never parted, and between 2 and 5 there is nothing
    put(
        facts,
        "requests",
        [request(at, ended_at_us=start + minute * MINUTE) for at, minute in enumerate(minutes)],
    )
    told = facts.strides("requests", from_us=start, to_us=start + 7 * MINUTE, most_rows=most)
    assert [((low - start) // MINUTE, (high - start) // MINUTE) for low, high in told] == spans


def test_a_question_cannot_change_anything(facts):
    with pytest.raises(StoreRefused, match="readonly"):
        facts.query("INSERT INTO evidence (finding_id) VALUES ('x')")


def test_a_wrong_statement_says_what_is_wrong_without_a_traceback_of_the_driver(facts):
    with pytest.raises(StoreRefused, match="no_such_column"):
        facts.query("SELECT no_such_column FROM requests")


def test_a_question_past_its_memory_fails_alone(facts_url, facts):
    small = Facts.open(facts_url, reading=ReadLimits(memory_bytes=8 * 1024 * 1024))
    with pytest.raises(StoreUnavailable, match="memory"):
        small.query("SELECT groupArray(number) FROM numbers(100000000)")
    small.close()


def test_an_answer_that_fails_halfway_leaves_nothing_in_the_next_one(facts):
    for _ in range(3):
        with pytest.raises(StoreError, match="throwIf"):
            facts.query("SELECT number, throwIf(number = 70000) AS x FROM numbers(1000000)")
        assert facts.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]


def test_a_question_past_its_time_fails_alone(facts_url, facts):
    hasty = Facts.open(facts_url, reading=ReadLimits(seconds=0.2))
    with pytest.raises(StoreUnavailable, match=r"(?i)timeout"):
        hasty.query("SELECT max(sipHash64(number)) FROM numbers(100000000000)")
    hasty.close()


def test_more_questions_than_connections_wait_and_then_are_told(facts_url, facts):
    warehouse = Warehouse(facts_url, reading=ReadLimits(connections=1, wait_seconds=0.05))
    with warehouse._reader.connect(), pytest.raises(StoreBusy, match="in use"):
        warehouse.query("SELECT 1", {})
    warehouse.close()


def test_a_store_that_would_lose_facts_is_not_opened(facts_url, facts):
    facts._warehouse.command("ALTER TABLE requests MODIFY SETTING fsync_after_insert = 0")
    with pytest.raises(StoreUnsafe, match="requests has fsync_after_insert = 0"):
        Facts.open(facts_url)


def test_a_store_that_was_not_migrated_is_not_opened(facts_url):
    with pytest.raises(StoreUnsafe, match="no table requests; run the migrations"):
        Facts.open(facts_url)


@pytest.mark.parametrize("url", ["", "sqlite:///x", "clickhouse://x"])
def test_a_url_of_another_store_is_refused(url):
    with pytest.raises(StoreRefused, match="clickhousedb://"):
        Facts.open(url)


def test_a_password_is_in_no_message():
    with pytest.raises(StoreUnavailable) as caught:
        Facts.open("clickhousedb://user:hunter2@127.0.0.1:1/db")
    assert "hunter2" not in str(caught.value)


def test_an_hour_is_found_without_reading_the_others(facts):
    hour = 3_600_000_000
    put(facts, "requests", [request(n, ended_at_us=NOW // hour * hour + n * 360_000) for n in range(50_000)])
    plan = facts.query(
        "EXPLAIN indexes = 1 SELECT count() FROM requests WHERE ended_at_us >= {at:Int64}",
        {"at": NOW // hour * hour + 4 * hour},
    )
    granules = [line for line in plan["explain"].to_pylist() if "Granules:" in line]
    read, there = granules[-1].split(":")[1].split("/") if granules else ("0", "7")
    assert int(read) < int(there)


def test_a_record_has_no_field_the_store_does_not_know():
    assert {f.name for f in dataclasses.fields(RequestRecord)} == {c.name for c in TABLE["requests"].columns}
