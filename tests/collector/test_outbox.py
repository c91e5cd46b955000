"""Rows become sealed batches: durable before they are offered, numbered once, dropped only aloud."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from collector.clock import HostClock
from collector.outbox import Buffer, Sealer
from journal import Journal, JournalFull, Limits, Outcome
from telemetry.events import Event, EventKind
from telemetry.identity import Origin
from telemetry.requests import TokenGaps
from telemetry.samples import GpuSample
from telemetry.wire import split


def gpu(at_us=1):
    return GpuSample(at_us=at_us, gpu_uuid="GPU-a", host="node-1")


class Refusing:
    """A spool that is full for so many appends, then a real one's face."""

    def __init__(self, times):
        self.times = times
        self.taken = []
        self.offered = []

    def append(self, batch):
        self.offered.append(batch)
        future = Future()
        if self.times:
            self.times -= 1
            future.set_exception(JournalFull("full", retry_after_seconds=0.01))
        else:
            self.taken.append(batch)
            future.set_result(Outcome.STORED)
        return future


@pytest.fixture
def seal():
    sealers = []

    def make(spool, buffer, every=0.02, origin=Origin.LIVE):
        sealer = Sealer(buffer, spool, clock=HostClock(), host="node-1", origin=origin, every_seconds=every)
        sealers.append(sealer)
        sealer.start()
        return sealer

    yield make
    for sealer in sealers:
        sealer.stop(grace_seconds=5)


def test_rows_are_in_the_journal_once_sealed(seal, tmp_path, eventually):
    journal = Journal.open(tmp_path / "spool.db", Limits(drop_oldest=True), readers=("ship",))
    buffer = Buffer(capacity_bytes=10_000, ripe_bytes=5_000)
    sealer = seal(journal, buffer, origin=Origin.SIMULATED)
    buffer.offer([gpu(), gpu()])
    (entry,) = eventually(lambda: journal.read(0))
    sealer.stop(grace_seconds=5)
    header, parts = split(entry.body)
    assert (header.boot, header.seq, header.host, header.origin) == (
        sealer.boot,
        1,
        "node-1",
        Origin.SIMULATED,
    )
    assert [(part.table, part.rows) for part in parts] == [("gpu_samples", 2)]
    journal.close()


def test_numbers_are_consecutive_and_nothing_empty_is_sealed(seal, eventually):
    spool, buffer = Refusing(0), Buffer(capacity_bytes=10_000, ripe_bytes=5_000)
    seal(spool, buffer)
    for count in (1, 2, 3):
        buffer.offer([gpu()])
        eventually(lambda count=count: len(spool.taken) == count)
    assert [batch.seq for batch in spool.taken] == [1, 2, 3]


def test_a_size_seals_before_its_time(seal, eventually):
    spool, buffer = Refusing(0), Buffer(capacity_bytes=1_000_000, ripe_bytes=4_000)
    seal(spool, buffer, every=60)
    buffer.offer([gpu() for _ in range(25)])
    eventually(lambda: len(spool.taken) == 3)
    assert [split(batch.body)[1][0].rows for batch in spool.taken] == [10, 10, 5]


@pytest.mark.parametrize(
    ("kind", "urgent"), [(EventKind.XID, True), (EventKind.GPU_LOST, True), (EventKind.DEPLOY, False)]
)
def test_what_may_wake_a_person_does_not_wait_for_a_batch_to_fill(kind, urgent):
    buffer = Buffer(capacity_bytes=1_000_000, ripe_bytes=100_000)
    buffer.offer([Event(at_us=1, kind=kind, host="h")])
    told = buffer.ripe.is_set()
    assert list(buffer.take()) == ["events"]
    assert (told, buffer.ripe.is_set()) == (urgent, False)


def test_a_batch_of_long_gap_lists_is_no_larger():
    buffer = Buffer(capacity_bytes=10_000_000, ripe_bytes=100_000)
    gaps = TokenGaps(request_id="r", ended_at_us=1, model="m", gaps_us=(5,) * 10_000)
    buffer.offer([gaps] * 10)
    assert len(buffer.take()["token_gaps"]) == 3


def test_a_full_journal_is_offered_the_very_same_batch_again(seal, eventually):
    spool, buffer = Refusing(3), Buffer(capacity_bytes=10_000, ripe_bytes=5_000)
    sealer = seal(spool, buffer)
    buffer.offer([gpu()])
    eventually(lambda: spool.taken)
    assert len(spool.offered) == 4 and len(set(map(id, spool.offered))) == 1
    assert (sealer.refused, sealer.sealed) == (3, 1)


def test_past_its_capacity_the_oldest_rows_are_dropped_counted_and_told(seal, eventually):
    spool, buffer = Refusing(0), Buffer(capacity_bytes=4_000, ripe_bytes=4_000)
    buffer.offer([gpu(at_us=at) for at in range(25)])
    assert (len(buffer), buffer.dropped) == (10, {"gpu_samples": 15})
    rows = buffer.take()["gpu_samples"]
    assert [row.at_us for row in rows] == list(range(15, 25))
    sealer = seal(spool, buffer)
    eventually(lambda: spool.taken)
    sealer.stop(grace_seconds=5)
    assert [(part.table, part.rows) for part in split(spool.taken[0].body)[1]] == [("events", 1)]
    assert len(spool.taken) == 1  # told once


def test_a_row_the_wire_cannot_hold_is_counted_and_stops_nobody(seal, eventually):
    spool, buffer = Refusing(0), Buffer(capacity_bytes=10_000, ripe_bytes=5_000)
    sealer = seal(spool, buffer)
    buffer.offer([Event(at_us=2**70, kind=EventKind.XID, host="node-1")])
    eventually(lambda: sealer.unsealable)
    buffer.offer([gpu()])
    eventually(
        lambda: any(part.table == "gpu_samples" for batch in spool.taken for part in split(batch.body)[1])
    )
    assert [batch.seq for batch in spool.taken] == list(range(1, len(spool.taken) + 1))


def test_what_is_left_is_sealed_when_it_stops(seal):
    spool, buffer = Refusing(0), Buffer(capacity_bytes=10_000, ripe_bytes=5_000)
    sealer = seal(spool, buffer, every=60)
    buffer.offer([gpu()])
    sealer.stop(grace_seconds=5)
    assert len(spool.taken) == 1
