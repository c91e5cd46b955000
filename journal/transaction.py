"""What one transaction of the writing thread can do to a journal: its verbs, in SQL."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from journal.errors import JournalFull
from journal.file import MalformedFile
from journal.memory import Memory, Sender
from journal.received import Received
from journal.words import Limits, Outcome, Sealed

RETRY_BUSY_SECONDS: Final = 5.0
RETRY_DISK_SECONDS: Final = 30.0
DAMAGED: Final = "checksum"
"""The reader named in quarantine for a batch that no reader saw: its bytes are not what was appended."""

_ROW_BYTES: Final = 200
_TRIM_BATCHES: Final = 64
_INSERT: Final = (
    "INSERT INTO entry (id, agent, boot, seq, received_at_us, crc32, size, body) VALUES (?,?,?,?,?,?,?,?)"
)
_UPDATE_RECEIVED: Final = (
    "UPDATE received SET contiguous_seq = ?, gaps = ?, heard_at_us = ? WHERE agent = ? AND boot = ?"
)
_INSERT_RECEIVED: Final = (
    "INSERT INTO received (contiguous_seq, gaps, heard_at_us, agent, boot) VALUES (?,?,?,?,?)"
)
_QUARANTINE: Final = """
    INSERT OR IGNORE INTO quarantine (entry_id, reader, reason, agent, boot, seq, received_at_us, size, body)
    SELECT id, ?, ?, agent, boot, seq, received_at_us, size, body FROM entry WHERE id = ?"""
_OVERFLOWING: Final = """
    SELECT id FROM (SELECT id, row_number() OVER newest AS n, sum(size) OVER newest AS bytes
                    FROM quarantine WINDOW newest AS (ORDER BY id DESC))
    WHERE n > ? OR bytes > ?"""


@dataclass(slots=True)
class Room:
    """What the transaction may take: bytes used, bytes allowed, how long the oldest has waited."""

    used: int
    allowed: int
    waited_seconds: float


def checksum(batch: Sealed) -> int:
    """Return the crc32 of a batch: its identity, receipt and body."""
    head = f"{batch.agent}\0{batch.boot}\0{batch.seq}\0{batch.received_at_us}\0"
    return zlib.crc32(batch.body, zlib.crc32(head.encode()))


class Transaction:
    """One transaction in progress. `draft` becomes the journal's memory when it commits.

    A verb that raises anything but `sqlite3.Error` has written nothing.
    """

    def __init__(self, db: sqlite3.Connection, draft: Memory, limits: Limits, room: Room) -> None:
        self.draft = draft
        self.db = db
        self._limits = limits
        self._room = room
        self._touched: dict[Sender, tuple[Received, int]] = {}

    def append(self, batch: Sealed) -> Outcome:
        """Store a batch, unless it was ever received. Raises `JournalFull`."""
        sender = (batch.agent, batch.boot)
        grown = self._received(sender).plus(batch.seq)
        if grown is None:
            self.draft.count(duplicates=1)
            return Outcome.DUPLICATE
        size = len(batch.body)
        self._make_room(size + _ROW_BYTES)
        entry_id = self.draft.head + 1
        identity = (entry_id, batch.agent, batch.boot, batch.seq, batch.received_at_us)
        self.db.execute(_INSERT, (*identity, checksum(batch), size, batch.body))
        self._remember(sender, grown, batch.received_at_us)
        self.draft.head = entry_id
        self.draft.batches += 1
        self._room.used += size + _ROW_BYTES
        self.draft.count(stored=1)
        return Outcome.STORED

    def _received(self, sender: Sender) -> Received:
        cached = self.draft.senders.get(sender)
        if cached is not None:
            return cached
        query = "SELECT contiguous_seq, gaps FROM received WHERE agent = ? AND boot = ?"
        row = self.db.execute(query, sender).fetchone()
        if row is None:
            return Received()
        try:
            return Received.of(*row)
        except (ValueError, TypeError, AttributeError):  # a flipped bit: better a repeat than a dead sender
            self.draft.count(damaged=1)
            return Received()

    def _remember(self, sender: Sender, received: Received, heard_at_us: int) -> None:
        bounded, given_up = received.bounded(self._limits.gaps_per_sender)
        if given_up:
            self.draft.count(gaps_given_up=given_up)
        self.draft.senders.pop(sender, None)  # to the young end of the cache
        self.draft.senders[sender] = bounded
        self._touched[sender] = (bounded, heard_at_us)

    def _make_room(self, size: int) -> None:
        room, limits = self._room, self._limits
        if limits.drop_oldest:
            while room.used + size > room.allowed and self._drop_oldest():
                pass
            if size > room.allowed:
                raise JournalFull("no room on the disk", retry_after_seconds=RETRY_DISK_SECONDS)
            return
        if limits.max_lag_seconds is not None and room.waited_seconds >= limits.max_lag_seconds:
            cause = f"the oldest batch has waited {room.waited_seconds:.0f} s to be processed"
            raise JournalFull(cause, retry_after_seconds=RETRY_BUSY_SECONDS)
        if room.used + size > room.allowed:
            cause = f"the journal is full ({room.used:,} of {room.allowed:,} bytes that appends may take)"
            raise JournalFull(cause, retry_after_seconds=RETRY_BUSY_SECONDS)

    def _drop_oldest(self) -> bool:
        row = self.db.execute("SELECT id, size FROM entry ORDER BY id LIMIT 1").fetchone()
        if row is None:
            return False
        entry_id, size = row
        self._remove((entry_id,))
        self._room.used -= size + _ROW_BYTES
        self.draft.count(dropped=1, dropped_bytes=size)
        return True

    def _remove(self, entry_ids: Collection[int]) -> None:
        for entry_id in entry_ids:
            gone = self.db.execute("DELETE FROM entry WHERE id = ?", (entry_id,)).rowcount
            self.draft.batches -= gone

    def advance(self, reader: str, upto: int) -> None:
        """Move a reader's cursor forward; a move backward changes nothing."""
        if upto > self.draft.head:
            raise ValueError(f"advance {reader} to {upto}: the newest batch is {self.draft.head}")
        if upto <= self.draft.cursors[reader]:
            return
        self.db.execute("UPDATE reader SET cursor = ? WHERE name = ?", (upto, reader))
        self.draft.cursors[reader] = upto

    def done(self, entry_ids: Collection[int]) -> None:
        """Remove batches that the only reader has processed, in whatever order."""
        self._remove(entry_ids)

    def quarantine(self, entry_id: int, reader: str, reason: str) -> None:
        """Keep a copy of a batch for a person; the oldest copies fall out of the bound."""
        added = self.db.execute(_QUARANTINE, (reader, reason, entry_id)).rowcount
        if not added:
            return
        limits = self._limits
        over = self.db.execute(_OVERFLOWING, (limits.quarantine_batches, limits.quarantine_bytes)).fetchall()
        self.db.executemany("DELETE FROM quarantine WHERE id = ?", over)
        self.draft.count(quarantined=1, quarantine_dropped=len(over))

    def condemn(self, entry_ids: Collection[int]) -> None:
        """Quarantine and remove batches whose checksum failed: no reader will meet them again.

        Raises `MalformedFile` for one that a scan meets but its id does not find.
        """
        before = self.draft.batches
        for entry_id in entry_ids:
            self.quarantine(entry_id, DAMAGED, "the stored bytes do not match their checksum")
        self._remove(entry_ids)
        for entry_id in entry_ids if self.draft.batches == before else ():
            # unary plus keeps SQLite from looking the id up
            if self.db.execute("SELECT 1 FROM entry WHERE +id = ?", (entry_id,)).fetchone():
                raise MalformedFile
        self.draft.count(damaged=before - self.draft.batches)

    def set_note(self, key: str, text: str | None) -> None:
        """Write a note; None removes it."""
        if text is None:
            self.db.execute("DELETE FROM note WHERE key = ?", (key,))
        else:
            self.db.execute("INSERT OR REPLACE INTO note (key, text) VALUES (?, ?)", (key, text))

    def trim(self) -> bool:
        """Remove up to 64 batches that every reader is past; tell whether more remain."""
        upto = min(self.draft.cursors.values())
        query = "DELETE FROM entry WHERE id IN (SELECT id FROM entry WHERE id <= ? ORDER BY id LIMIT ?)"
        gone = self.db.execute(query, (upto, _TRIM_BATCHES)).rowcount
        self.draft.batches -= gone
        return gone == _TRIM_BATCHES

    def settle(self) -> None:
        """Write what was received; call once, before the commit."""
        for (agent, boot), (received, heard_at_us) in self._touched.items():
            values = (received.contiguous, received.gaps(), heard_at_us, agent, boot)
            if not self.db.execute(_UPDATE_RECEIVED, values).rowcount:
                self._forget_boots(agent)
                self.db.execute(_INSERT_RECEIVED, values)
        self.draft.shrink()

    def _forget_boots(self, agent: str) -> None:
        (known,) = self.db.execute("SELECT count(*) FROM received WHERE agent = ?", (agent,)).fetchone()
        excess = known + 1 - self._limits.boots_per_agent
        if excess <= 0:
            return
        query = "SELECT boot FROM received WHERE agent = ? ORDER BY heard_at_us LIMIT ?"
        for (boot,) in self.db.execute(query, (agent, excess)).fetchall():
            self.db.execute("DELETE FROM received WHERE agent = ? AND boot = ?", (agent, boot))
            self.draft.senders.pop((agent, boot), None)
        self.draft.count(boots_forgotten=excess)
