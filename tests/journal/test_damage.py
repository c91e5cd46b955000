"""A damaged journal starts, keeps what is whole, counts the rest and never loops."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from journal import Journal, JournalError, Limits, Sealed

SMALL = Limits(ballast_bytes=0, group_delay_seconds=0.0)


def _flip(path, at, bit=0x10):
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes((byte ^ bit,)))


def test_a_flipped_bit_in_a_body_costs_that_batch_only(open_journal, path, sealed, append_all, seqs):
    journal = open_journal()
    append_all(journal, [sealed(seq) for seq in range(5)])
    journal.close()
    _flip(path, path.read_bytes().index(b"body-000002-") + 5)
    journal = open_journal()
    assert seqs(journal.read(0)) == [0, 1, 3, 4]
    assert [(one.seq, one.reader) for one in journal.quarantined()] == [(2, "checksum")]
    assert journal.stats().counts.damaged == 1
    assert seqs(journal.read_newest()) == [4, 3, 1, 0]


def test_a_flipped_bit_in_an_identity_costs_that_batch_only(open_journal, path, sealed, append_all, seqs):
    journal = open_journal()
    append_all(journal, [sealed(seq, boot=f"boot-{seq}") for seq in range(3)])
    journal.close()
    _flip(path, path.read_bytes().index(b"aliceboot-1") + 2, 0x80)
    journal = open_journal()
    assert seqs(journal.read(0)) == [0, 2]


def test_readers_catch_up_where_the_last_batches_are_damaged(open_journal, path, sealed, append_all, seqs):
    journal = open_journal()
    append_all(journal, [sealed(seq) for seq in range(3)])
    journal.close()
    for seq in (1, 2):
        _flip(path, path.read_bytes().index(b"body-%06d-" % seq) + 1)
    journal = open_journal()
    (entry,) = journal.read(0)
    assert journal.read(entry.entry_id) == []
    journal.advance("store", entry.entry_id)
    assert journal.cursor("store") == journal.head()


def test_a_file_that_is_no_database_is_set_aside_whole(open_journal, path, sealed, append_all):
    path.write_bytes(b"this was a journal once " * 1_000)
    journal = open_journal()
    assert append_all(journal, [sealed(1)]) == ["stored"]
    assert journal.stats().counts.set_aside == 1
    (aside,) = path.parent.glob("journal.db.malformed-*")
    assert aside.read_bytes().startswith(b"this was a journal once")


def test_files_set_aside_are_bounded(open_journal, path):
    for attempt in range(4):
        path.write_bytes(b"garbage %d " % attempt * 1_000)
        open_journal().close()
    kept = sorted(path.parent.glob("journal.db.malformed-*"))
    assert [file.read_bytes()[:9] for file in kept] == [b"garbage 2", b"garbage 3"]


@pytest.fixture
def torn(open_journal, path, sealed, append_all):
    """A journal of 40 batches, closed, with one page in the middle of the entries overwritten."""
    journal = open_journal()
    append_all(journal, [sealed(seq, body=b"%03d" % seq * 900) for seq in range(40)])
    journal.advance("store", journal.head() - 30)
    journal.set_note("block", "mine")
    journal.close()
    page = path.read_bytes().index(b"020" * 100) // 8192
    with path.open("r+b") as file:
        file.seek(page * 8192)
        file.write(b"\xff" * 8192)
    return path


def test_what_can_be_read_of_a_malformed_file_is_carried_over(torn, open_journal, sealed, append_all, seqs):
    journal = open_journal()
    before = journal.head()
    kept = seqs(journal.read(0))
    counts = journal.stats().counts
    assert counts.set_aside == 1
    assert 30 <= len(kept) < 40
    assert counts.salvaged == len(kept)
    assert append_all(journal, [sealed(40)]) == ["stored"]
    assert journal.head() > before


def test_a_malformed_file_does_not_make_a_repeat_a_first(torn, open_journal, sealed, append_all):
    journal = open_journal()
    journal.read(0)
    assert append_all(journal, [sealed(seq) for seq in range(40)]) == ["duplicate"] * 40
    assert journal.note("block") == "mine"
    assert len(journal.read(journal.cursor("store"))) <= 30


def test_a_writer_that_meets_a_malformed_page_goes_on_in_a_fresh_file(torn, open_journal, sealed, append_all):
    journal = open_journal()
    for reader in ("store", "fold"):
        journal.advance(reader, journal.head())  # trimming walks into the torn page
    assert append_all(journal, [sealed(100)]) == ["stored"]
    assert journal.stats().counts.set_aside == 1
    assert 100 in {entry.seq for entry in journal.read(0)}


def _body(seq):
    return b"%02d" % seq * (100 if seq % 3 else 9_000)


def _appended(seq):
    return Sealed(agent="a", boot="b", seq=seq, received_at_us=seq, body=_body(seq))


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A closed journal of 30 batches, of a part of a page and of several pages."""
    path = tmp_path_factory.mktemp("whole") / "journal.db"
    journal = Journal.open(path, SMALL, readers=("store",))
    for future in [journal.append(_appended(seq)) for seq in range(30)]:
        future.result(10)
    journal.close()
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 10**9), bit=st.integers(1, 255))
def test_any_flipped_byte_leaves_a_journal_that_opens_reads_truth_and_takes_more(
    closed, tmp_path, where, bit
):
    path = tmp_path / "copy.db"
    for old in tmp_path.glob("copy.db*"):
        old.unlink()
    shutil.copy(closed, path)
    _flip(path, where % path.stat().st_size, bit)
    journal = _opened_or_newer(path)
    if journal is None:
        return
    try:
        entries = journal.read(0)
        counts = journal.stats().counts
        assert all(_body(entry.seq) == entry.body for entry in entries)
        assert len(entries) == 30 or counts.damaged or counts.set_aside
        assert journal.append(_appended(1_000)).result(10) == "stored"
        assert journal.read_newest(None, 1)[0].seq == 1_000
    finally:
        journal.close()


def _opened_or_newer(path):
    """Open it; None when the flipped byte is the version's, which refuses to be opened."""
    try:
        return Journal.open(path, SMALL, readers=("store",))
    except JournalError as error:
        if "newer version" in str(error):
            return None
        raise


@pytest.mark.parametrize("share", [0.0, 0.1, 0.33, 0.5, 0.77, 0.999, 1.0])
def test_a_log_cut_anywhere_keeps_a_beginning_of_what_was_appended(
    open_journal, path, tmp_path, sealed, append_all, seqs, share
):
    journal = open_journal()
    for seq in range(30):
        append_all(journal, [sealed(seq)])
    wal = path.with_name("journal.db-wal").read_bytes()
    copy = tmp_path / "copy" / "journal.db"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    copy.with_name("journal.db-wal").write_bytes(wal[: int(len(wal) * share)])
    kept = seqs(open_journal(at=copy).read(0))
    assert kept == list(range(len(kept)))
    assert len(kept) == 30 or share < 1


def test_a_journal_of_a_newer_version_is_not_touched(open_journal, path):
    open_journal().close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="newer version"):
        open_journal()
