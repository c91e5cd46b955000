"""The store thread: batches of the journal become blocks of facts, each fact stored once.

Guarantee: after kill -9 at any instant, and after any failure of the facts store, every batch
of the journal is stored exactly once. Before a block is inserted its number, boundary and row
counts are committed to the journal; a block that may have been cut off is counted table by
table, and what is partial is deleted and inserted again. 100 kills: `benchmarks/block_repair.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from journal import Entry, Journal
from service.blocks import Batch, Plan, assembled
from service.ingest.decode import Decoded
from service.ingest.recent import Recent
from service.store.errors import StoreError, StoreRefused
from service.store.facts import Facts
from telemetry.wire import WireError

READER: Final = "store"
NOTE: Final = "block"
MAX_BLOCK_BYTES: Final = 512 * 1024 * 1024
"""A block's rows in memory; beyond it a block is written before it has its number of rows."""
_READ_BATCHES: Final = 64
_READ_BYTES: Final = 16 * 1024 * 1024
_LOG = logging.getLogger(__name__)
Tables = dict[str, pa.Table]


@dataclass(slots=True)
class Written:
    """What the writer has done since it was made: numbers for the service's own metrics."""

    blocks: int = 0
    rows: int = 0
    repaired_tables: int = 0
    """Tables of which a partial block was deleted and inserted again."""
    quarantined: int = 0
    failures: int = 0


class Writer:
    """Moves batches from the journal into the facts store. For one thread at a time."""

    def __init__(
        self,
        journal: Journal,
        facts: Facts,
        *,
        block_rows: int = 300_000,
        block_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        recent: Recent | None = None,
    ) -> None:
        """A block is written at `block_rows` rows or when its first batch is `block_seconds` old.

        `recent` holds batches that were decoded at the door, so as not to decode them again.
        """
        self._journal, self._facts = journal, facts
        self._block_rows, self._block_seconds, self._clock = block_rows, block_seconds, clock
        self._recent = recent or Recent()
        self._batches: list[Batch] = []
        self._rows = self._bytes = 0
        self._since = 0.0
        self._taken = journal.cursor(READER)
        self._plan: Plan | None = None
        self.written = Written()

    def recover(self) -> None:
        """Settle the block that was in flight when the last process ended; none = nothing.

        Raises `StoreError`; then it is tried again by the next `step`.
        """
        text = self._journal.note(NOTE)
        plan = None if text is None else Plan.from_text(text)
        if plan is None or plan.last <= self._journal.cursor(READER):
            return
        self._plan = plan
        self._take(upto=plan.last)
        self._write()

    def step(self) -> bool:
        """Take what has arrived and write a block when one is due; true = there is more at once.

        Raises `StoreError` when the store cannot take the block now; it is kept, and settled
        by the next call.
        """
        if self._plan is None:
            more = self._take()
            if not self._due():
                return more
        self._write()
        return self._journal.head() > self._taken

    def drain(self) -> None:
        """Store everything that is in the journal now, whether or not a block is due."""
        head = self._journal.head()
        while self._journal.cursor(READER) < head:
            if self._plan is not None or (not self._take() and self._batches) or self._full():
                self._write()

    def _due(self) -> bool:
        waited = bool(self._batches) and self._clock() - self._since >= self._block_seconds
        return waited or self._full()

    def _full(self) -> bool:
        return self._rows >= self._block_rows or self._bytes >= MAX_BLOCK_BYTES

    def _take(self, upto: int | None = None) -> bool:
        """Read on until there is nothing more, a block is full, or entry `upto` was read.

        Returns true when there may be more.
        """
        while True:
            entries = self._journal.read(self._taken, max_batches=_READ_BATCHES, max_bytes=_READ_BYTES)
            if not entries:
                return False
            for entry in entries:
                if entry.entry_id > (entry.entry_id if upto is None else upto):
                    return True
                self._keep(entry)
                if upto is None and self._full():
                    return True

    def _keep(self, entry: Entry) -> None:
        if not self._batches:
            self._since = self._clock()
        batch = Batch(entry, self._decoded(entry))
        self._batches.append(batch)
        self._rows += batch.rows
        self._bytes += batch.size_bytes
        self._taken = entry.entry_id

    def _decoded(self, entry: Entry) -> Decoded | None:
        try:
            return self._recent.decoded(entry)
        except WireError as error:
            self._set_aside(entry, str(error))
            return None

    def _set_aside(self, entry: Entry, reason: str) -> None:
        _LOG.warning("store: batch %s/%s/%d set aside: %s", entry.agent, entry.boot, entry.seq, reason)
        self._journal.quarantine(entry.entry_id, READER, reason)
        self.written.quarantined += 1

    def _write(self) -> None:
        """Write the block in flight, or make one of what was taken and write it."""
        try:
            plan, rows = self._announced() if self._plan is None else self._missing(self._plan)
            self._facts.insert_block(plan.block, rows)
        except StoreRefused as error:
            self._divide(error)
        except StoreError:
            self.written.failures += 1
            raise
        else:
            self._finish(plan)

    def _announced(self) -> tuple[Plan, Tables]:
        """Commit what is about to be inserted; nothing of it is in the facts store yet."""
        first, last = (self._batches[at].entry.entry_id for at in (0, -1))
        tables = assembled(self._batches, first)
        plan = Plan(first=first, last=last, rows={name: rows.num_rows for name, rows in tables.items()})
        self._journal.set_note(NOTE, plan.to_text())
        self._plan = plan
        return plan, tables

    def _missing(self, plan: Plan) -> tuple[Plan, Tables]:
        """Return what is still to be inserted of a block that was cut off; delete what is partial."""
        stored = self._facts.count_block(plan.block)
        missing = {}
        for name, rows in assembled(self._batches, plan.block).items():
            if stored[name] == plan.rows.get(name):
                continue
            if stored[name]:
                self._facts.delete_block(plan.block, name)
                self.written.repaired_tables += 1
            missing[name] = rows
        return plan, missing

    def _finish(self, plan: Plan) -> None:
        self._journal.advance(READER, plan.last)
        self.written.blocks += 1
        self.written.rows += sum(plan.rows.values())
        self._forget()

    def _divide(self, error: StoreRefused) -> None:
        """Find the batch that the store will never take: a block of half as many, down to one.

        Whatever of the refused block was stored is deleted first.
        """
        block = self._batches[0].entry.entry_id if self._plan is None else self._plan.block
        for name, rows in self._facts.count_block(block).items():
            if rows:
                self._facts.delete_block(block, name)
        half = self._batches[: len(self._batches) // 2]
        if half:
            self._forget()
            self._taken = half[0].entry.entry_id - 1
            self._take(upto=half[-1].entry.entry_id)
            self._write()
            return
        alone = self._batches[0].entry
        self._set_aside(alone, str(error))
        self._journal.advance(READER, alone.entry_id)
        self._forget()

    def _forget(self) -> None:
        self._batches, self._rows, self._bytes, self._plan = [], 0, 0, None
