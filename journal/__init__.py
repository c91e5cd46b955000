"""Durable ordered queue of sealed batches in SQLite: agent's spool and service's intake.

Guarantees: a batch whose `append` gave an `Outcome` survives kill -9 and a power cut
(synchronous=FULL, the outcome is set after the fsync); the same (agent, boot, seq) is stored
once, however often it is appended and however long ago the first one was trimmed; entries are
read in the order of their ids; everything is bounded by `Limits`, and everything given up is in
`Counts`. One process holds a journal at a time. Any thread may call any method.

    journal = Journal.open(path, limits, readers=("store", "fold"))
    future = journal.append(Sealed(...))     # Future[Outcome]; await asyncio.wrap_future(future)
                                             # holds JournalFull(retry_after_seconds) when refused
    journal.wait(after, timeout_seconds)     # blocks until head() > after; returns head()
    journal.read(after, max_batches=, max_bytes=)   # list[Entry], oldest first
    journal.advance("store", upto)           # durable when it returns; all readers past = trimmed
    journal.cursor("store")                  # nothing at or below it is left for this reader
    journal.quarantine(entry_id, "fold", reason)    # a copy for a person; the reader goes on
    journal.note("block"), journal.set_note("block", text)   # small durable texts; None = absent
    journal.stats(), journal.quarantined(), journal.close()
    quarantined_in(path)                     # the same, of a journal that another process holds

A spool with one reader may be emptied in any order, newest first after an outage:

    journal = Journal.open(path, Limits(drop_oldest=True), readers=("ship",))
    journal.read_newest(before, max_batches=, max_bytes=)    # before=None: from the head down
    journal.done([entry_id, ...])            # delivered: removed, durable when it returns

A shipper that sends fresh batches first and the backlog at a bounded share keeps two edges:
`live = journal.head()` at start, `backlog = live + 1`; it sends `read(live)` as it comes, and
every so often one of `read_newest(backlog)`; after a failure it sets both edges anew. What was
sent is told by `done`; what was not is still there after a crash.
"""

from journal.errors import JournalClosed, JournalError, JournalFault, JournalFull, JournalLocked
from journal.journal import Journal
from journal.quarantine import quarantined_in
from journal.words import Counts, Entry, Limits, Outcome, Quarantined, ReaderStats, Sealed, Stats

__all__ = [
    "Counts",
    "Entry",
    "Journal",
    "JournalClosed",
    "JournalError",
    "JournalFault",
    "JournalFull",
    "JournalLocked",
    "Limits",
    "Outcome",
    "Quarantined",
    "ReaderStats",
    "Sealed",
    "Stats",
    "quarantined_in",
]
