"""What comes to the door is taken whole or refused whole, with a located sentence; nothing else suffers."""

from __future__ import annotations

import io
import socket
import struct
import time
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from backports import zstd

from service.ingest.frames import PLAIN
from telemetry.columns import TABLE
from telemetry.identity import Origin
from telemetry.wire import MAX_BODY_BYTES, BatchHeader, Part, join

HOUR_US = 3_600_000_000


def now_us() -> int:
    return time.time_ns() // 1_000


def arrow(**changed) -> bytes:
    """Return a batch of two requests made by another Arrow writer, with columns changed or (None) left out."""
    at_us = now_us()
    values = {
        spec.name: ["x", "y"] for spec in TABLE["requests"].columns if spec.name in ("request_id", "model")
    }
    values |= {"status": ["ok", "ok"], "vantage": ["edge"] * 2, "tenant": ["t"] * 2}
    columns = {}
    for spec in TABLE["requests"].columns:
        if spec.name in values:
            columns[spec.name] = pa.array(values[spec.name])
        elif not spec.nullable:
            value = (
                at_us
                if spec.name.endswith("_at_us")
                else {"binary": b"", "bool": False}.get(str(PLAIN[spec.kind]), 0)
            )
            columns[spec.name] = pa.array([value] * 2, PLAIN[spec.kind])
    columns |= changed
    rows = pa.table({name: column for name, column in columns.items() if column is not None})
    out = io.BytesIO()
    with pa.ipc.new_stream(out, rows.schema) as writer:
        writer.write_table(rows)
    header = BatchHeader(boot="arrow", seq=time.time_ns(), sealed_at_us=at_us, host="h")
    return join(header, [Part("requests", 2, out.getvalue())])


def beyond_the_dictionary() -> pa.Array:
    indices = pa.array([0, 7], pa.int8())
    return pa.DictionaryArray.from_arrays(indices, pa.array(["m"]), safe=False)


def bomb() -> bytes:
    return zstd.compress(b"\0" * (200 * 1024 * 1024), level=1)


def other_version(body: bytes) -> bytes:
    plain = bytearray(zstd.decompress(body))
    struct.pack_into("<H", plain, 4, 9)
    return zstd.compress(bytes(plain))


REFUSED = {
    "nothing at all": (lambda good: b"", 422, "zstd"),
    "not ours": (lambda good: b"GET / HTTP/1.1", 422, "not a zstd frame"),
    "truncated": (lambda good: good()[:-9], 422, "cut short"),
    "bytes behind it": (lambda good: good() + b"more", 422, "follow the zstd frame"),
    "a zip bomb": (lambda good: bomb(), 422, "larger than 134,217,728 bytes when decompressed"),
    "another program's": (lambda good: zstd.compress(b"x" * 99), 422, "batch mark"),
    "a later version": (lambda good: other_version(good()), 426, "upgrade the service first"),
    "from the future": (
        lambda good: good(ended_at_us=now_us() + 360_000_000),
        422,
        "requests.ended_at_us row 0",
    ),
    "from long ago": (
        lambda good: good(ended_at_us=now_us() - 25 * HOUR_US),
        422,
        "requests.ended_at_us row 0",
    ),
    "a negative duration": (lambda good: good(e2e_us=-1), 422, "requests.e2e_us row 0"),
    "an import": (lambda good: good(header={"origin": Origin.IMPORTED}), 422, "inferometer import"),
    "a dataset": (lambda good: good(header={"dataset": "d"}), 422, "inferometer import"),
    "a column missing": (lambda good: arrow(model=None), 422, "requests.model"),
    "a column of another type": (lambda good: arrow(e2e_us=pa.array(["a", "b"])), 422, "requests.e2e_us"),
    "a word that is none": (
        lambda good: arrow(status=pa.array(["ok", "fine"])),
        422,
        "requests.status row 1",
    ),
    "an index beyond its dictionary": (lambda good: arrow(model=beyond_the_dictionary()), 422, "requests"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_batch_is_refused_with_its_place_and_the_next_one_is_taken(served, batch, kind):
    make, status, words = REFUSED[kind]
    before = served.metric("batches_total", outcome="refused")
    answer = served.post(make(batch))
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert served.metric("batches_total", outcome="refused") == before + 1
    assert served.post(batch()).json()["outcome"] == "stored"
    assert "Traceback" not in served.log()


def test_another_arrow_writer_is_welcome(served):
    assert served.post(arrow()).status_code == 202


@pytest.mark.parametrize("pieces", [False, True], ids=["announced", "in chunks"])
def test_an_oversized_body_is_not_read_to_its_end(served, batch, pieces):
    chunk = b"x" * 1_048_576
    count = MAX_BODY_BYTES // len(chunk) + 1
    body = (chunk for _ in range(count)) if pieces else chunk * count
    answer = served.post(body)
    assert answer.status_code == 413 and "at most 16,777,216" in answer.json()["detail"]
    assert served.post(batch()).status_code == 202


def test_a_sender_that_goes_away_in_the_middle_leaves_nothing_behind(served, batch):
    place = urlsplit(served.url)
    head = (
        f"POST /api/v1/batches HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 5000\r\n"
        f"Authorization: Bearer {served.token('agent')}\r\n\r\n"
    )
    before = served.metric("batches_total", outcome="refused")
    with socket.create_connection((place.hostname, place.port)) as line:
        line.sendall(head.encode() + batch()[:50])
    served.until(lambda: served.metric("batches_total", outcome="refused") == before + 1)
    assert served.post(batch()).status_code == 202


def test_a_repeated_batch_changes_nothing(served, batch):
    body = batch(rows=5)
    assert served.post(body).json()["outcome"] == "stored"
    rows = served.metric("rows_total", table="requests")
    again = served.post(body)
    assert (again.status_code, again.json()["outcome"]) == (202, "duplicate")
    assert served.metric("rows_total", table="requests") == rows
    served.until(served.everything_is_stored)


def test_the_same_numbers_of_another_agent_are_another_batch(served, batch):
    body = batch(boot="shared", seq=1)
    answers = [served.post(body, token=served.token("agent", name)) for name in ("one", "two")]
    assert [answer.json()["outcome"] for answer in answers] == ["stored", "stored"]


def test_only_an_agents_token_delivers(served, batch):
    revoked = served.token("agent", "revoked")
    with served.state() as state:
        state.tokens.revoke("revoked", now_us=now_us())
    tokens = {"": 401, "inf_unknown": 401, revoked: 401, served.token("read"): 403, served.admin: 202}
    for token, status in tokens.items():
        answer = served.post(batch(), token=token)
        assert answer.status_code == status, answer.text
        assert status == 202 or "token" in answer.json()["detail"]
    assert served.metric("unauthorized_total") >= 4


def test_everything_that_was_acknowledged_is_stored_and_counted_once(served, batch):
    for _ in range(5):
        assert served.post(batch(rows=7)).status_code == 202
    served.until(served.everything_is_stored)
    served.until(lambda: served.metric("fold_behind_batches") == 0)
    assert served.metric("journal_quarantined_batches") == 0
