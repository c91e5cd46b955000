"""The local socket: what goes in comes out, what is wrong is counted, nobody is held up."""

import json
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.requests.socket import (
    MAX_DATAGRAM_BYTES,
    MAX_GAPS,
    DatagramError,
    Reason,
    RecordReceiver,
    RecordSender,
    SocketPathError,
    decode,
    encode,
)
from telemetry.identity import Vantage
from telemetry.requests import Finish, InFlightRequest, RequestRecord, Status, TokenGaps

NAMES = st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=200)
WHOLE = st.integers(0, 2**63 - 1)
RECORDS = st.builds(
    RequestRecord,
    request_id=NAMES,
    tenant=NAMES,
    model=NAMES,
    priority=st.none() | st.integers(-(2**63), 2**63 - 1),
    vantage=st.sampled_from(Vantage),
    status=st.sampled_from(Status),
    finish=st.none() | st.sampled_from(Finish),
    started_at_us=WHOLE,
    ended_at_us=WHOLE,
    e2e_us=WHOLE,
    ttft_us=st.none() | WHOLE,
    output_empty=st.none() | st.booleans(),
    gap_buckets=st.just(()) | st.lists(st.integers(0, 2**32 - 1), min_size=16, max_size=16).map(tuple),
)


def _record(**changes) -> RequestRecord:
    plain = {"request_id": "r1", "model": "m", "status": Status.OK}
    return RequestRecord(**{**plain, "started_at_us": 1, "ended_at_us": 3, "e2e_us": 2, **changes})


def _datagram(**changes) -> bytes:
    row = json.loads(encode(_record()))["row"]
    return json.dumps({"table": "requests", "row": {**row, **changes}}).encode()


def _in_flight() -> InFlightRequest:
    return InFlightRequest(request_id="r1", at_us=5, started_at_us=1, model="m")


def _receive_until(receiver, count, seconds=5.0):
    deadline, records = time.monotonic() + seconds, []
    while len(records) < count and time.monotonic() < deadline:
        records += receiver.receive(timeout_seconds=0.05)
    return records


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.sock"


@given(RECORDS)
@settings(max_examples=50)
def test_a_record_survives_the_datagram(record):
    again = decode(encode(record))
    assert again == record
    assert isinstance(again.status, Status)


def test_the_longest_list_of_gaps_fits_a_datagram():
    gaps = TokenGaps(
        request_id="r" * 200, ended_at_us=2**62, model="m" * 200, gaps_us=(2**32 - 1,) * MAX_GAPS
    )
    assert decode(encode(gaps)) == gaps


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", Reason.NOT_JSON),
        (b"\xff\xfe", Reason.NOT_JSON),
        (b"[" * 100_000, Reason.NOT_JSON),
        (b'{"table":"requests","row":{"e2e_us":' + b"9" * 5000 + b"}}", Reason.NOT_JSON),
        (b"[]", Reason.UNKNOWN_TABLE),
        (b'{"table":["requests"]}', Reason.UNKNOWN_TABLE),
        (b'{"table":"gpu_samples","row":{}}', Reason.UNKNOWN_TABLE),
        (b'{"table":"requests","row":[]}', Reason.BAD_COLUMN),
        (b'{"table":"requests","row":{"model":"m"}}', Reason.BAD_COLUMN),
        (_datagram(e2e_us=-1), Reason.BAD_COLUMN),
        (_datagram(e2e_us=True), Reason.BAD_COLUMN),
        (_datagram(e2e_us=2**63), Reason.BAD_COLUMN),
        (_datagram(e2e_us=1.5), Reason.BAD_COLUMN),
        (_datagram(model="x" * 201), Reason.BAD_COLUMN),
        (_datagram(model="a\nb"), Reason.BAD_COLUMN),
        (_datagram(model="\ud800"), Reason.BAD_COLUMN),
        (_datagram(model=None), Reason.BAD_COLUMN),
        (_datagram(status="fine"), Reason.BAD_COLUMN),
        (_datagram(synthetic=1), Reason.BAD_COLUMN),
        (_datagram(gap_buckets=[1, 2]), Reason.BAD_COLUMN),
        (_datagram(gap_buckets=[2**32] * 16), Reason.BAD_COLUMN),
        (b" " * (MAX_DATAGRAM_BYTES + 1), Reason.OVERSIZED),
    ],
)
def test_a_datagram_that_is_no_record_is_refused_with_its_reason(datagram, reason):
    with pytest.raises(DatagramError) as caught:
        decode(datagram)
    assert caught.value.reason is reason


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
@settings(max_examples=50)
def test_whatever_arrives_only_the_typed_error_leaves(datagram):
    with pytest.raises(DatagramError):
        decode(datagram)


def test_a_column_of_a_newer_sender_is_ignored():
    assert decode(_datagram(colour="blue")) == _record()


def test_what_is_sent_is_received_and_the_rest_is_counted(path):
    receiver = RecordReceiver.open(path)
    sender = RecordSender(path)
    for number in range(100):
        sender.send(_record(request_id=f"r{number}"))
    records = _receive_until(receiver, 100)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"hello", str(path))
    assert receiver.receive() == []
    sender.close()
    receiver.close()
    assert [record.request_id for record in records] == [f"r{number}" for number in range(100)]
    assert (receiver.received, receiver.refused) == (100, {Reason.NOT_JSON: 1})
    assert (sender.sent, sender.lost.total()) == (100, 0)
    assert not path.exists()


def test_with_no_agent_records_wait_to_a_bound_and_the_overflow_is_counted(path):
    sender = RecordSender(path, capacity=10)
    started = time.monotonic()
    for number in range(50):
        sender.send(_record(request_id=f"r{number}"))
    assert time.monotonic() - started < 0.5
    assert 39 <= sender.lost["overflow"] <= 40  # one may be in the thread's hand
    receiver = RecordReceiver.open(path)
    kept = _receive_until(receiver, 50 - sender.lost["overflow"])
    sender.close()
    receiver.close()
    assert [record.request_id for record in kept] == [f"r{number}" for number in range(len(kept))]


def test_a_returning_agent_gets_what_waited_but_no_stale_snapshot(path):
    first = RecordReceiver.open(path)
    sender = RecordSender(path)
    sender.send(_record(request_id="before"))
    assert _receive_until(first, 1)
    first._socket.close()  # as kill -9 leaves it: the file stays, nobody listens
    sender.send(_record(request_id="while away"))
    deadline = time.monotonic() + 5
    while sender.connected and time.monotonic() < deadline:
        time.sleep(0.01)
    sender.send(_in_flight())
    second = RecordReceiver.open(path)
    records = _receive_until(second, 1)
    sender.close()
    second.close()
    assert [record.request_id for record in records] == ["while away"]
    assert sender.lost == {"stale": 1, "closed": 0}


def test_closing_without_an_agent_ends_soon_and_counts_what_was_lost(path):
    sender = RecordSender(path)
    for _ in range(5):
        sender.send(_record())
    started = time.monotonic()
    sender.close(grace_seconds=0.1)
    assert time.monotonic() - started < 2
    assert sender.lost["closed"] == 5


def test_a_path_in_use_is_refused_with_a_hint(path):
    receiver = RecordReceiver.open(path)
    with pytest.raises(SocketPathError, match="another agent"):
        RecordReceiver.open(path)
    receiver.close()
    path.write_text("precious")
    with pytest.raises(SocketPathError, match="no socket"):
        RecordReceiver.open(path)
    with pytest.raises(SocketPathError, match="directory"):
        RecordReceiver.open(path.parent / "none" / "x")
    with pytest.raises(SocketPathError, match="107"):
        RecordReceiver.open(path.parent / ("x" * 107))
    assert path.read_text() == "precious"
