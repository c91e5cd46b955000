"""The store thread: every batch of the journal is stored exactly once, whatever happens on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from journal import Journal, Limits, Sealed
from service.store.errors import StoreRefused, StoreUnavailable
from service.writer import READER, Writer
from telemetry.events import Event, EventKind
from telemetry.identity import Origin
from telemetry.requests import RequestRecord, Status
from telemetry.wire import BatchHeader, encode

NOW = time.time_ns() // 1_000


@pytest.fixture
def journal(tmp_path):
    opened = Journal.open(tmp_path / "journal.db", Limits(ballast_bytes=0), readers=(READER,))
    yield opened
    opened.close()


@pytest.fixture
def append(journal):
    """Append a batch of three requests and one event, durable when it returns: append(seq)."""

    def make(seq, *, body=None, **header):
        told = BatchHeader(boot="b", seq=seq, sealed_at_us=NOW, host="h", **header)
        rows = [
            RequestRecord(
                request_id=f"{seq}-{number}",
                model="m",
                status=Status.OK,
                started_at_us=NOW,
                ended_at_us=NOW + number,
                e2e_us=number,
                ttft_us=None if number else 7,
            )
            for number in range(3)
        ]
        tables = {"requests": rows, "events": [Event(at_us=NOW, kind=EventKind.DEPLOY, host="h")]}
        body = encode(told, tables) if body is None else body
        journal.append(Sealed(agent="a", boot="b", seq=seq, received_at_us=NOW + seq, body=body)).result(5)

    return make


class Clock:
    """Time that moves when it is told to."""

    now = 0.0

    def __call__(self):
        return self.now


def stored(facts, table="requests"):
    """Return (agent, boot, seq, block, received, origin, dataset) of each row."""
    rows = facts.query(
        f"SELECT agent, boot, seq, block, received_at_us, origin, dataset FROM {table} ORDER BY seq, block"
    )
    return [tuple(row.values()) for row in rows.to_pylist()]


def seqs(facts, table="requests"):
    return [row[2] for row in stored(facts, table)]


def test_a_block_waits_until_its_first_batch_is_old_enough(journal, facts, append):
    clock = Clock()
    writer = Writer(journal, facts, block_seconds=10, clock=clock)
    append(1)
    assert writer.step() is False and seqs(facts) == []
    clock.now = 9.9
    append(2)
    writer.step()
    assert seqs(facts) == []
    clock.now = 10
    writer.step()
    assert seqs(facts) == [1, 1, 1, 2, 2, 2] and seqs(facts, "events") == [1, 2]
    assert journal.cursor(READER) == journal.head()


def test_a_block_is_written_at_its_number_of_rows(journal, facts, append):
    writer = Writer(journal, facts, block_rows=8, clock=Clock())
    for seq in range(5):
        append(seq)
    assert writer.step() is True, "there is more in the journal"
    assert seqs(facts) == [0, 0, 0, 1, 1, 1] and len({row[3] for row in stored(facts)}) == 1
    assert writer.step() is True and writer.step() is False
    assert seqs(facts, "events") == [0, 1, 2, 3]


def test_every_fact_carries_where_it_came_from(journal, facts, append):
    first = journal.head() + 1
    append(1)
    append(2, origin=Origin.IMPORTED, dataset="trace")
    Writer(journal, facts).drain()
    assert stored(facts, "events") == [
        ("a", "b", 1, first, NOW + 1, "live", ""),
        ("a", "b", 2, first, NOW + 2, "imported", "trace"),
    ]


def test_what_was_not_measured_is_stored_as_such(journal, facts, append):
    append(1)
    Writer(journal, facts).drain()
    found = facts.frame("requests", from_us=0, to_us=2**62)
    assert found.numbers("ttft_us").valid.tolist() == [True, False, False]
    assert not found.numbers("prompt_tokens").valid.any()


def test_a_batch_that_cannot_be_read_is_set_aside_and_the_cursor_goes_on(journal, facts, append):
    append(1)
    append(2, body=b"not a batch")
    append(3)
    writer = Writer(journal, facts)
    writer.drain()
    assert seqs(facts, "events") == [1, 3] and writer.written.quarantined == 1
    (aside,) = journal.quarantined()
    assert (aside.seq, aside.reader) == (2, READER) and "zstd" in aside.reason
    assert journal.cursor(READER) == journal.head()


def test_a_journal_of_nothing_but_unreadable_batches_is_passed(journal, facts, append):
    append(1, body=b"not a batch")
    Writer(journal, facts).drain()
    assert journal.cursor(READER) == journal.head()


class Failing:
    """A facts store that fails as it is told to, and otherwise is the real one."""

    def __init__(self, facts, *, fail):
        self._facts, self._fail = facts, fail

    def insert_block(self, block, tables):
        for name, rows in tables.items():
            self._fail(name, rows)
            self._facts.insert_block(block, {name: rows})
        self._fail("the cursor", None)

    def __getattr__(self, name):
        return getattr(self._facts, name)


def test_a_store_that_is_away_gets_the_block_later_and_once(journal, facts, append):
    away = iter([None, StoreUnavailable("disk full"), StoreUnavailable("disk full")])
    """The first table goes in, then the disk is full twice."""

    def fail(name, rows):
        error = next(away, None)
        if error is not None:
            raise error

    append(1)
    writer = Writer(journal, Failing(facts, fail=fail), block_seconds=0)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            writer.step()
    append(2)
    writer.step()
    writer.step()
    assert seqs(facts) == [1, 1, 1, 2, 2, 2] and seqs(facts, "events") == [1, 2]
    assert writer.written.failures == 2


def test_the_one_batch_that_the_store_refuses_is_found_and_set_aside(journal, facts, append):
    def fail(name, rows):
        if name == "requests" and 3 in rows["seq"].to_pylist():
            raise StoreRefused("never")

    for seq in range(6):
        append(seq)
    writer = Writer(journal, Failing(facts, fail=fail))
    writer.drain()
    assert [aside.seq for aside in journal.quarantined()] == [3]
    assert seqs(facts, "events") == [0, 1, 2, 4, 5] == sorted(set(seqs(facts)))


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


def killed(*_):
    raise Killed


def cut_off(journal, facts, *, tables=(), rows=None):
    """Begin a block as a process that dies after `tables` (and `rows` of the next table)."""

    def fail(name, given):
        if name not in tables:
            if rows and given:
                facts.insert_block(given["block"][0].as_py(), {name: given.slice(0, rows)})
            raise Killed

    with pytest.raises(Killed):
        Writer(journal, Failing(facts, fail=fail), block_seconds=0).step()


@pytest.mark.parametrize(
    ("there", "rows", "repaired"),
    [((), 0, 0), (("events",), 0, 0), ((), 1, 1), (("events",), 2, 1)],
    ids=["nothing stored", "one table stored", "part of the first", "part of the second"],
)
def test_a_block_that_was_cut_off_is_completed(journal, facts, append, there, rows, repaired):
    append(1)
    append(2)
    cut_off(journal, facts, tables=there, rows=rows)
    append(3)
    writer = Writer(journal, facts)
    writer.recover()
    assert seqs(facts) == [1, 1, 1, 2, 2, 2] and seqs(facts, "events") == [1, 2]
    assert writer.written.repaired_tables == repaired
    writer.drain()
    assert seqs(facts, "events") == [1, 2, 3]


def test_a_block_that_was_stored_whole_is_not_stored_again(journal, facts, append):
    append(1)
    cut_off(journal, facts, tables=("events", "requests"))
    assert journal.cursor(READER) < journal.head()
    writer = Writer(journal, facts)
    writer.recover()
    assert seqs(facts) == [1, 1, 1] and journal.cursor(READER) == journal.head()


def test_a_repair_that_is_cut_off_is_repaired(journal, facts, append):
    append(1)
    append(2)
    cut_off(journal, facts, rows=1)
    again = Writer(journal, Failing(facts, fail=killed))
    with pytest.raises(Killed):
        again.recover()
    Writer(journal, facts).recover()
    assert seqs(facts) == [1, 1, 1, 2, 2, 2] and seqs(facts, "events") == [1, 2]


def test_a_start_without_a_block_in_flight_repairs_nothing(journal, facts, append):
    writer = Writer(journal, facts)
    writer.recover()
    append(1)
    writer.drain()
    Writer(journal, facts).recover()
    assert seqs(facts) == [1, 1, 1]


def test_five_kills_lose_nothing_and_store_nothing_twice(repository, tmp_path):
    script = repository / "benchmarks" / "block_repair.py"
    command = [sys.executable, script, "--kills", "5"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100, cwd=repository)
    result = json.loads(answer.stdout)
    assert (result["lost"], result["duplicated"], result["cut"]) == (0, 0, 0)
    assert result["acked_batches"] > 0
