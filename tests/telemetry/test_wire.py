"""A batch travels whole or is refused with the place named."""

from __future__ import annotations

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from telemetry.columns import TABLES
from telemetry.events import Event, EventKind
from telemetry.identity import Origin
from telemetry.requests import RequestRecord, Status
from telemetry.wire import BatchHeader, Part, WireError, WireVersionError, encode, join, split

HEADER = BatchHeader(
    boot="boot-1", seq=7, sealed_at_us=1_700_000_000_000_000, host="gpu-1", origin=Origin.SIMULATED
)


def _event(at_us: int = 5) -> Event:
    return Event(at_us=at_us, kind=EventKind.XID, host="gpu-1", code=79, message="fallen off the bus")


def _body() -> bytes:
    return encode(HEADER, {"events": [_event()]})


def test_the_header_comes_back_as_it_was_sent():
    header, parts = split(_body())
    assert header == HEADER
    assert [(part.table, part.rows) for part in parts] == [("events", 1)]


def test_a_table_without_rows_is_left_out():
    _, parts = split(encode(HEADER, {"events": [], "placements": []}))
    assert parts == []


def test_a_column_that_nobody_measured_does_not_travel():
    record = RequestRecord(
        request_id="r", model="m", status=Status.OK, started_at_us=1, ended_at_us=2, e2e_us=1
    )
    _, (part,) = split(encode(HEADER, {"requests": [record]}))
    assert b"e2e_us" in bytes(part.stream)
    assert b"ttft_us" not in bytes(part.stream)


def test_joining_the_parts_of_a_split_gives_the_same_batch():
    header, parts = split(_body())
    assert split(join(header, parts)) == (header, parts)


@pytest.mark.parametrize("length", [0, 1, 3, 9, 40, 100])
def test_a_body_cut_short_says_so(length):
    with pytest.raises(WireError, match="body"):
        split(_body()[:length])


def test_a_zip_bomb_stops_at_the_limit():
    bomb = zstd.compress(bytes(50_000_000))
    with pytest.raises(WireError, match="larger than 1,000,000 bytes"):
        split(bomb, max_plain_bytes=1_000_000)


def test_a_body_that_is_not_zstd_names_the_sender_to_use():
    with pytest.raises(WireError, match=r"not a zstd frame.*inferometer agent"):
        split(b"GET / HTTP/1.1")


def test_bytes_after_the_frame_are_refused():
    with pytest.raises(WireError, match="follow the zstd frame"):
        split(_body() + b"x")


def test_a_foreign_body_is_told_apart():
    with pytest.raises(WireError, match="batch mark"):
        split(zstd.compress(b"XXXX" + bytes(20)))


@pytest.mark.parametrize(("version", "hint"), [(0, "upgrade the agent"), (9, "upgrade the service")])
def test_another_version_says_which_side_to_upgrade(version, hint):
    plain = bytearray(zstd.decompress(_body()))
    plain[4:6] = version.to_bytes(2, "little")
    with pytest.raises(WireVersionError, match=hint):
        split(zstd.compress(bytes(plain)))


@pytest.mark.parametrize("tables", ["[['events', 1, 10**9]]", "[['events', -1, 4]]", "'x'"])
def test_a_header_that_lies_about_its_tables_is_refused(tables):
    body = join(HEADER, [Part("events", 1, b"1234")])
    plain = zstd.decompress(body).replace(
        b'[["events",1,4]]', tables.replace("'", '"').replace("10**9", "999999999").encode()
    )
    length = len(plain) - 10 - 4
    with pytest.raises(WireError):
        split(zstd.compress(plain[:6] + length.to_bytes(4, "little") + plain[10:]))


@given(st.binary(max_size=400))
def test_no_bytes_whatever_raise_anything_but_a_wire_error(body):
    with pytest.raises(WireError):
        split(body)


@given(st.data())
def test_a_batch_with_a_flipped_byte_inside_never_raises_anything_but_a_wire_error(data):
    plain = bytearray(zstd.decompress(_body()))
    at = data.draw(st.integers(0, len(plain) - 1))
    plain[at] ^= data.draw(st.integers(1, 255))
    try:
        split(zstd.compress(bytes(plain)))
    except WireError:
        return


def test_every_table_has_its_event_time_among_its_required_columns():
    for table in TABLES:
        assert not table.column(table.time_column).nullable
