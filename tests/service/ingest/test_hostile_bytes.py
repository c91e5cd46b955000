"""Whatever the bytes: a batch or a `WireError`, never a crash, never anything else."""

from __future__ import annotations

import random
import struct

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from service.ingest.decode import decode, frame
from telemetry.events import Event, EventKind
from telemetry.requests import RequestRecord, Status, TokenGaps
from telemetry.wire import MAGIC, VERSION, BatchHeader, Part, WireError, encode, join, split

HEADER = BatchHeader(boot="b", seq=1, sealed_at_us=1, host="h")
TABLES = {
    "requests": [
        RequestRecord(
            request_id=f"r{at}",
            model="m",
            tenant="täglich",
            status=Status.OK,
            started_at_us=1,
            ended_at_us=2,
            e2e_us=1,
            ttft_us=at or None,
            gap_buckets=(at,) * 16,
        )
        for at in range(5)
    ],
    "token_gaps": [TokenGaps(request_id="r", ended_at_us=2, model="m", gaps_us=(1, 2, 3))],
    "events": [Event(at_us=1, kind=EventKind.XID, host="h", code=79)],
}
BODY = encode(HEADER, TABLES)
PARTS = tuple(Part(part.table, part.rows, bytes(part.stream)) for part in split(BODY)[1])
WIDEST = 8


def _decodes_or_says_why(body: bytes) -> None:
    decoded = None
    said = ""
    try:
        decoded = decode(body)
    except WireError as error:
        said = str(error)
    assert len(said) < 600
    assert (decoded is None) == bool(said)
    if decoded is None:
        return
    for name, table in decoded.tables.items():
        table.validate(full=True)
        assert frame(name, table).rows == table.num_rows


@given(st.binary(max_size=200))
def test_any_bytes(body):
    _decodes_or_says_why(body)


@pytest.mark.parametrize("length", range(0, len(BODY), max(1, len(BODY) // 60)))
def test_a_body_cut_anywhere(length):
    with pytest.raises(WireError):
        decode(BODY[:length])


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.table)
def test_a_stream_cut_anywhere(part):
    for length in range(0, len(part.stream), 7):
        _decodes_or_says_why(join(HEADER, [Part(part.table, part.rows, part.stream[:length])]))


@settings(max_examples=300, deadline=None)
@given(
    which=st.integers(0, len(PARTS) - 1),
    seed=st.integers(0, 2**32),
    count=st.integers(1, WIDEST),
    bits=st.integers(1, 255),
)
def test_a_stream_with_flipped_bytes(which, seed, count, bits):
    part, chosen = PARTS[which], random.Random(seed)
    stream = bytearray(part.stream)
    for _ in range(count):
        stream[chosen.randrange(len(stream))] ^= bits
    _decodes_or_says_why(join(HEADER, [Part(part.table, part.rows, bytes(stream))]))


@pytest.mark.parametrize(
    "head", [b"[" * 100_000, b'{"boot": "' + b"x" * 100_000, b"\xff" * 1_000, b"{}", b"[]"]
)
def test_a_header_that_is_none(head):
    plain = struct.pack("<4sHI", MAGIC, VERSION, len(head)) + head
    with pytest.raises(WireError, match=r"header: .{1,250}$"):
        decode(zstd.compress(plain))


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, len(BODY) - 1), bits=st.integers(1, 255))
def test_a_body_with_a_flipped_byte(at, bits):
    body = bytearray(BODY)
    body[at] ^= bits
    _decodes_or_says_why(bytes(body))
