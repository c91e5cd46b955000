"""Every bound of a journal, and the counter that says it was hit."""

from __future__ import annotations

import time

import pytest

from journal import JournalFull, Limits

KIB = 1024


def test_at_half_of_its_bound_appends_are_refused_until_readers_go_on(open_journal, sealed, append_all):
    journal = open_journal(Limits(ballast_bytes=0, max_bytes=800 * KIB))
    futures = [journal.append(sealed(seq, body=b"x" * 10_000)) for seq in range(100)]
    refusals = [future.exception(10) for future in futures if future.exception(10)]
    assert 60 <= len(refusals) <= 80
    assert all(isinstance(refusal, JournalFull) and refusal.retry_after_seconds > 0 for refusal in refusals)
    assert append_all(journal, [sealed(0)]) == ["duplicate"]
    for reader in ("store", "fold"):
        journal.advance(reader, journal.head())
    assert append_all(journal, [sealed(100)]) == ["stored"]
    assert journal.stats().counts.refused == len(refusals)


def test_when_the_oldest_batch_has_waited_too_long_appends_are_refused(open_journal, sealed, append_all):
    journal = open_journal(Limits(ballast_bytes=0, max_lag_seconds=0.1))
    append_all(journal, [sealed(0)])
    time.sleep(0.15)
    with pytest.raises(JournalFull, match="waited"):
        append_all(journal, [sealed(1)])
    for reader in ("store", "fold"):
        journal.advance(reader, journal.head())
    assert append_all(journal, [sealed(1)]) == ["stored"]


def test_a_spool_at_its_bound_drops_the_oldest_and_counts_them(open_journal, sealed, append_all, seqs):
    spool = open_journal(Limits(ballast_bytes=0, max_bytes=400 * KIB, drop_oldest=True), readers=("ship",))
    append_all(spool, [sealed(seq, body=b"x" * 10_000) for seq in range(100)])
    kept = seqs(spool.read(0))
    counts = spool.stats().counts
    assert kept == list(range(100 - len(kept), 100))
    assert 20 <= len(kept) < 60
    assert counts.dropped == 100 - len(kept)
    assert counts.dropped_bytes == counts.dropped * 10_000
    assert counts.refused == 0


def test_quarantine_keeps_the_newest(open_journal, sealed, append_all):
    journal = open_journal(Limits(ballast_bytes=0, quarantine_batches=3))
    append_all(journal, [sealed(seq) for seq in range(5)])
    entries = journal.read(0)
    for entry in entries:
        journal.quarantine(entry.entry_id, "fold", f"reason {entry.seq}")
    kept = journal.quarantined()
    assert [(one.seq, one.reason) for one in kept] == [(4, "reason 4"), (3, "reason 3"), (2, "reason 2")]
    stats = journal.stats()
    assert (stats.quarantined, stats.counts.quarantined, stats.counts.quarantine_dropped) == (3, 5, 2)
    assert len(journal.read(0)) == 5


def test_quarantine_is_bounded_in_bytes(open_journal, sealed, append_all):
    journal = open_journal(Limits(ballast_bytes=0, quarantine_bytes=2_500))
    append_all(journal, [sealed(seq, body=b"x" * 1_000) for seq in range(4)])
    for entry in journal.read(0):
        journal.quarantine(entry.entry_id, "store", "why")
    assert [one.seq for one in journal.quarantined()] == [3, 2]


def test_quarantining_twice_for_one_reader_keeps_one(journal, sealed, append_all):
    append_all(journal, [sealed(1)])
    for reader in ("store", "store", "fold"):
        journal.quarantine(journal.head(), reader, "why")
    assert sorted(one.reader for one in journal.quarantined()) == ["fold", "store"]


def test_gaps_of_a_sender_are_bounded_and_what_is_given_up_is_counted(open_journal, sealed, append_all):
    journal = open_journal(Limits(ballast_bytes=0, gaps_per_sender=3))
    append_all(journal, [sealed(seq) for seq in range(0, 20, 2)])
    assert journal.stats().counts.gaps_given_up == 6
    assert append_all(journal, [sealed(seq) for seq in range(0, 20, 2)]) == ["duplicate"] * 10
    assert append_all(journal, [sealed(1), sealed(17)]) == ["duplicate", "stored"]


def test_boots_of_an_agent_are_bounded_and_others_are_not_touched(open_journal, sealed, append_all):
    journal = open_journal(Limits(ballast_bytes=0, boots_per_agent=2))
    append_all(journal, [sealed(0, agent="bob")])
    append_all(journal, [sealed(seq, boot=f"boot-{seq}") for seq in range(5)])
    assert journal.stats().counts.boots_forgotten == 3
    repeats = [sealed(4, boot="boot-4"), sealed(3, boot="boot-3"), sealed(0, agent="bob")]
    assert append_all(journal, repeats) == ["duplicate"] * 3


def test_space_goes_back_to_the_disk_after_trimming(open_journal, path, sealed, append_all):
    journal = open_journal(readers=("store",))
    append_all(journal, [sealed(seq, body=b"x" * 200_000) for seq in range(60)])
    large = path.stat().st_size
    journal.advance("store", journal.head())
    deadline = time.monotonic() + 15
    while path.stat().st_size > large // 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert path.stat().st_size <= large // 2
