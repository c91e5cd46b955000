"""An outcome means durable; an identity is stored once, ever."""

from __future__ import annotations

import asyncio
import time

import pytest

from journal import JournalClosed, JournalFull, JournalLocked, Limits


def test_a_batch_comes_back_as_it_was_appended(journal, sealed):
    batch = sealed(7, body=b"\0\xff anything")
    assert journal.append(batch).result(10) == "stored"
    (entry,) = journal.read(0)
    assert (entry.agent, entry.boot, entry.seq, entry.received_at_us, entry.body) == (
        batch.agent,
        batch.boot,
        batch.seq,
        batch.received_at_us,
        batch.body,
    )


def test_ids_grow_in_the_order_of_appends(journal, sealed, append_all, seqs):
    append_all(journal, [sealed(seq) for seq in (3, 1, 2)])
    entries = journal.read(0)
    assert seqs(entries) == [3, 1, 2]
    assert [entry.entry_id for entry in entries] == sorted({entry.entry_id for entry in entries})
    assert journal.head() == entries[-1].entry_id


def test_a_repeat_in_the_same_commit_is_a_duplicate(open_journal, sealed, append_all):
    journal = open_journal(Limits(ballast_bytes=0, group_delay_seconds=0.05))
    outcomes = append_all(journal, [sealed(1), sealed(1), sealed(1)])
    assert outcomes == ["stored", "duplicate", "duplicate"]
    assert len(journal.read(0)) == 1


def test_a_repeat_after_trim_and_reopening_is_a_duplicate(open_journal, sealed, append_all):
    journal = open_journal()
    append_all(journal, [sealed(seq) for seq in range(5)])
    for reader in ("store", "fold"):
        journal.advance(reader, journal.head())
    journal.close()
    journal = open_journal()
    assert append_all(journal, [sealed(seq) for seq in range(6)]) == ["duplicate"] * 5 + ["stored"]


def test_a_boot_and_an_agent_of_their_own_are_no_repeat(journal, sealed, append_all):
    batches = [sealed(1), sealed(1, boot="boot-2"), sealed(1, agent="bob")]
    assert append_all(journal, batches) == ["stored"] * 3


def test_ids_go_on_growing_when_the_journal_was_emptied(open_journal, sealed, append_all):
    journal = open_journal()
    append_all(journal, [sealed(1)])
    head = journal.head()
    for reader in ("store", "fold"):
        journal.advance(reader, head)
    journal.close()
    journal = open_journal()
    append_all(journal, [sealed(2)])
    assert journal.head() == head + 1


def test_ids_of_a_fresh_journal_lie_above_those_of_a_lost_one(open_journal, path, sealed, append_all):
    journal = open_journal()
    append_all(journal, [sealed(seq) for seq in range(3)])
    journal.close()
    path.unlink()
    time.sleep(0.01)  # ids begin at the milliseconds of the clock
    fresh = open_journal()
    assert fresh.head() > journal.head()
    assert append_all(fresh, [sealed(0)]) == ["stored"]


def test_a_caller_that_gave_up_waiting_disturbs_nobody(journal, sealed):
    async def hasty() -> None:
        waiting = asyncio.wrap_future(journal.append(sealed(1)))
        waiting.cancel()
        await asyncio.wrap_future(journal.append(sealed(2)))

    asyncio.run(hasty())
    assert {entry.seq for entry in journal.read(0)} == {1, 2}


def test_an_append_to_a_closed_journal_says_so(journal, sealed):
    journal.close()
    journal.close()
    with pytest.raises(JournalClosed, match="closed"):
        journal.append(sealed(1)).result(10)
    with pytest.raises(JournalClosed, match="closed"):
        journal.read(0)


def test_what_was_offered_before_closing_is_kept(open_journal, sealed):
    journal = open_journal()
    futures = [journal.append(sealed(seq)) for seq in range(50)]
    journal.close()
    assert {future.result(0) for future in futures} == {"stored"}
    assert len(open_journal().read(0)) == 50


@pytest.mark.parametrize(
    "wrong",
    [{"seq": -1}, {"seq": 2**63}, {"agent": ""}, {"boot": "x" * 201}],
    ids=lambda wrong: str(wrong)[:20],
)
def test_an_identity_that_cannot_be_kept_is_refused(journal, sealed, wrong):
    seq = wrong.pop("seq", 1)
    with pytest.raises(ValueError, match="append"):
        journal.append(sealed(seq, **wrong))


def test_bodies_that_wait_for_a_commit_are_bounded(open_journal, sealed):
    journal = open_journal(Limits(ballast_bytes=0, pending_bytes=100_000, group_delay_seconds=0.2))
    futures = [journal.append(sealed(seq, body=b"x" * 40_000)) for seq in range(3)]
    assert [future.exception(10) is None for future in futures] == [True, True, False]
    refusal = futures[2].exception(10)
    assert isinstance(refusal, JournalFull)
    assert refusal.retry_after_seconds > 0
    assert journal.stats().counts.refused == 1


def test_a_second_holder_is_refused(journal, open_journal):
    with pytest.raises(JournalLocked, match="another process"):
        open_journal()
