"""What the door has just decoded need not be decoded again; what fell out is."""

from __future__ import annotations

from journal import Entry
from service.ingest.decode import decode
from service.ingest.recent import Recent


def _entry(body: bytes, seq: int = 1) -> Entry:
    return Entry(entry_id=9, agent="alice", boot="b", seq=seq, received_at_us=1, body=body)


def test_a_remembered_batch_is_not_decoded_again(rows, body):
    sent = body(events=rows("events"))
    recent, decoded = Recent(), decode(sent)
    recent.remember("alice", decoded)
    assert recent.decoded(_entry(sent)) is decoded


def test_another_agents_batch_of_the_same_number_is_its_own(rows, body):
    sent = body(events=rows("events"))
    recent, decoded = Recent(), decode(sent)
    recent.remember("bob", decoded)
    again = recent.decoded(_entry(sent))
    assert again is not decoded
    assert again.tables == decoded.tables


def test_beyond_its_bound_the_oldest_is_decoded_again(rows, body):
    sent = body(events=rows("events"))
    decoded = decode(sent)
    recent = Recent(max_bytes=decoded.tables["events"].get_total_buffer_size() - 1)
    recent.remember("alice", decoded)
    assert recent.decoded(_entry(sent)) is not decoded
