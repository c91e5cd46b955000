"""Readers go through the entries in order, each at its own pace; a spool in any order."""

from __future__ import annotations

import threading
import time

import pytest


def test_read_goes_on_after_an_id_and_keeps_to_its_bounds(journal, sealed, append_all, seqs):
    append_all(journal, [sealed(seq, body=b"x" * 100) for seq in range(10)])
    first = journal.read(0, 4)
    assert seqs(first) == [0, 1, 2, 3]
    assert seqs(journal.read(first[-1].entry_id, 100, 250)) == [4, 5]


def test_a_batch_larger_than_the_bound_is_still_read_alone(journal, sealed, append_all, seqs):
    append_all(journal, [sealed(seq, body=b"x" * 1_000) for seq in range(2)])
    assert seqs(journal.read(0, 10, 1)) == [0]


def test_a_batch_is_trimmed_when_every_reader_is_past_it(journal, sealed, append_all, seqs):
    append_all(journal, [sealed(seq) for seq in range(6)])
    ids = [entry.entry_id for entry in journal.read(0)]
    journal.advance("store", ids[4])
    assert len(journal.read(0)) == 6
    journal.advance("fold", ids[2])
    assert seqs(journal.read(0)) == [3, 4, 5]
    assert journal.stats().batches == 3


def test_many_batches_are_trimmed_little_by_little(journal, sealed, append_all):
    append_all(journal, [sealed(seq) for seq in range(300)])
    for reader in ("store", "fold"):
        journal.advance(reader, journal.head())
    deadline = time.monotonic() + 10
    while journal.stats().batches and time.monotonic() < deadline:
        time.sleep(0.005)
    assert journal.stats().batches == 0


def test_cursors_outlive_the_process_and_never_go_back(open_journal, sealed, append_all):
    journal = open_journal()
    append_all(journal, [sealed(seq) for seq in range(4)])
    ids = [entry.entry_id for entry in journal.read(0)]
    journal.advance("store", ids[2])
    journal.advance("store", ids[0])
    journal.close()
    journal = open_journal()
    assert journal.cursor("store") == ids[2]
    assert journal.cursor("fold") == ids[0] - 1


def test_a_new_reader_begins_at_the_oldest_batch_and_a_forgotten_one_holds_nothing(
    open_journal, sealed, append_all, seqs
):
    journal = open_journal(readers=("store",))
    append_all(journal, [sealed(seq) for seq in range(4)])
    ids = [entry.entry_id for entry in journal.read(0)]
    journal.advance("store", ids[1])
    journal.close()
    journal = open_journal(readers=("fold",))
    assert journal.cursor("fold") == ids[1]
    journal.advance("fold", ids[3])
    assert journal.read(0) == []


def test_a_cursor_past_the_head_or_of_a_stranger_is_refused(journal, sealed, append_all):
    append_all(journal, [sealed(1)])
    with pytest.raises(ValueError, match="newest batch"):
        journal.advance("store", journal.head() + 1)
    with pytest.raises(ValueError, match="does not read this journal"):
        journal.advance("stranger", 1)
    with pytest.raises(ValueError, match="use advance"):
        journal.done([1])


def test_wait_wakes_when_a_batch_arrives(journal, sealed):
    before = journal.head()
    threading.Timer(0.05, lambda: journal.append(sealed(1))).start()
    started = time.monotonic()
    assert journal.wait(before, 10) == before + 1
    assert time.monotonic() - started < 5
    assert journal.wait(before + 1, 0.01) == before + 1


def test_a_spool_is_read_newest_first_and_emptied_in_any_order(open_journal, sealed, append_all, seqs):
    spool = open_journal(readers=("ship",))
    append_all(spool, [sealed(seq) for seq in range(6)])
    newest = spool.read_newest(None, 2)
    assert seqs(newest) == [5, 4]
    assert seqs(spool.read_newest(newest[-1].entry_id, 2)) == [3, 2]
    spool.done([entry.entry_id for entry in newest])
    assert seqs(spool.read_newest()) == [3, 2, 1, 0]
    spool.done([entry.entry_id for entry in spool.read(0)])
    assert spool.cursor("ship") == spool.head()
    assert spool.stats().batches == 0


def test_what_was_not_done_is_there_after_reopening(open_journal, sealed, append_all, seqs):
    spool = open_journal(readers=("ship",))
    append_all(spool, [sealed(seq) for seq in range(4)])
    spool.done([spool.head(), 12345])
    spool.close()
    assert seqs(open_journal(readers=("ship",)).read(0)) == [0, 1, 2]


def test_notes_outlive_the_process(open_journal):
    journal = open_journal()
    assert journal.note("block") is None
    journal.set_note("block", "7 100..200 ü")
    journal.close()
    journal = open_journal()
    assert journal.note("block") == "7 100..200 ü"
    journal.set_note("block", None)
    assert journal.note("block") is None
    with pytest.raises(ValueError, match="longer than"):
        journal.set_note("block", "x" * 70_000)


def test_stats_tell_how_far_each_reader_is(journal, sealed, append_all):
    append_all(journal, [sealed(seq) for seq in range(4)])
    journal.advance("store", journal.head() - 1)
    stats = journal.stats()
    assert {(reader.name, reader.behind) for reader in stats.readers} == {("store", 1), ("fold", 4)}
    assert (stats.batches, stats.counts.stored, stats.head) == (4, 4, journal.head())
    assert 0 < stats.used_bytes < stats.bound_bytes
    assert stats.commit_p50_us is not None
    assert stats.commit_p99_us >= stats.commit_p50_us
