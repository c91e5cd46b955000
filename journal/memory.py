"""What the writing thread keeps in memory of the file, so that an append reads nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from journal.received import Received
from journal.words import Counts

Sender = tuple[str, str]
"""(agent, boot)."""

_SENDERS: Final = 1_024


@dataclass(slots=True)
class Memory:
    """A picture of the file as of the last commit. `senders` is a bounded cache of `received`."""

    head: int
    batches: int
    cursors: dict[str, int]
    senders: dict[Sender, Received] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    def draft(self) -> Memory:
        """Return a copy for a transaction to work on; it replaces this one at the commit."""
        return Memory(self.head, self.batches, dict(self.cursors), dict(self.senders), self.counts)

    def count(self, **more: int) -> None:
        """Add to the counts, by name."""
        self.counts = self.counts.plus(**more)

    def shrink(self) -> None:
        """Forget the senders cached longest ago, beyond 1,024."""
        for sender in list(self.senders)[:-_SENDERS]:
            del self.senders[sender]


def load(db: sqlite3.Connection, readers: Sequence[str]) -> Memory:
    """Read the picture from the file, and make its readers exactly `readers`.

    A new reader begins at the oldest batch there is; the cursor of one no longer named is
    removed, because nothing would ever move it and trimming waits for the slowest.
    """
    (given,) = db.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'entry'").fetchone()
    oldest, newest, batches = db.execute("SELECT min(id), max(id), count(*) FROM entry").fetchone()
    head = max(given or 0, newest or 0)
    start = head if oldest is None else oldest - 1
    known: dict[str, int] = dict(db.execute("SELECT name, cursor FROM reader").fetchall())
    for name in known.keys() - set(readers):
        db.execute("DELETE FROM reader WHERE name = ?", (name,))
    for name in [name for name in readers if name not in known]:
        db.execute("INSERT INTO reader (name, cursor) VALUES (?, ?)", (name, start))
    return Memory(head, batches, {name: known.get(name, start) for name in readers})
