"""From rows to sealed batches: a bounded buffer, and the thread that seals what is in it.

Guarantees: a batch is in the journal before anybody is offered it; its number is used once; the
very same bytes are appended again until the journal takes them. What the buffer cannot hold is
dropped oldest first, counted by table, and told in the next batch.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from collector.clock import HostClock
from journal import Journal, JournalError, JournalFull, Sealed
from telemetry.columns import TABLE_OF, Record
from telemetry.events import Event, EventKind
from telemetry.identity import Origin
from telemetry.requests import TokenGaps
from telemetry.wire import BatchHeader, encode

log = logging.getLogger(__name__)

_ROW_BYTES: Final = 400
_GAP_BYTES: Final = 4
_COMMIT_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 1.0


_URGENT: Final = frozenset({EventKind.XID, EventKind.GPU_LOST})
"""What may wake a person does not wait for the batch to fill; storms of it are held back before."""


class Buffer:
    """Rows that are not sealed yet, oldest first. Thread-safe."""

    def __init__(self, *, capacity_bytes: int, ripe_bytes: int) -> None:
        self.dropped: Counter[str] = Counter()
        """Rows dropped for want of room, by table."""
        self.ripe = threading.Event()
        """Set while there is enough for a batch, or something urgent in it."""
        self._capacity = capacity_bytes
        self._ripe_bytes = ripe_bytes
        self._lock = threading.Lock()
        self._rows: deque[Record] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def offer(self, records: Iterable[Record]) -> None:
        """Take rows; never blocks. Past the capacity the oldest are dropped and counted."""
        with self._lock:
            for record in records:
                self._rows.append(record)
                self._bytes += _weight(record)
                if isinstance(record, Event) and record.kind in _URGENT:
                    self.ripe.set()
            while self._bytes > self._capacity:
                self.dropped[TABLE_OF[type(self._pop())].name] += 1
            if self._bytes >= self._ripe_bytes:
                self.ripe.set()

    def take(self) -> dict[str, list[Record]]:
        """Remove the oldest rows, a batch at most, and return them by table; empty = none there."""
        taken: dict[str, list[Record]] = {}
        weight = 0
        with self._lock:
            while self._rows and weight < self._ripe_bytes:
                record = self._pop()
                weight += _weight(record)
                taken.setdefault(TABLE_OF[type(record)].name, []).append(record)
            if self._bytes < self._ripe_bytes:
                self.ripe.clear()
        return taken

    def _pop(self) -> Record:
        record = self._rows.popleft()
        self._bytes -= _weight(record)
        return record


def _weight(record: Record) -> int:
    """Return about how many bytes a row takes, uncompressed."""
    return _ROW_BYTES + (_GAP_BYTES * len(record.gaps_us) if isinstance(record, TokenGaps) else 0)


class Sealer:
    """The thread that makes a batch of the buffer every so often and puts it into the journal."""

    def __init__(
        self,
        buffer: Buffer,
        spool: Journal,
        *,
        clock: HostClock,
        host: str,
        origin: Origin,
        every_seconds: float,
    ) -> None:
        self.boot = uuid.uuid4().hex
        self.sealed = 0
        """Batches the journal took."""
        self.refused = 0
        """Times the journal took none."""
        self.unsealable: Counter[str] = Counter()
        """Rows that could not be encoded, by table."""
        self._buffer = buffer
        self._spool = spool
        self._clock = clock
        self._host = host
        self._origin = origin
        self._every = every_seconds
        self._seq = 0
        self._held: Sealed | None = None
        self._told: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="seal", daemon=True)

    def start(self) -> None:
        """Begin to seal."""
        self._thread.start()

    def stop(self, *, grace_seconds: float) -> None:
        """Seal what is left, for at most so long."""
        self._stop.set()
        self._buffer.ripe.set()
        self._thread.join(grace_seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._buffer.ripe.wait(self._every)
            self._guarded(self._seal_all)
        self._guarded(self._seal_all)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            log.exception("sealing failed; the agent goes on with the next batch")
            self._stop.wait(_RETRY_SECONDS)

    def _seal_all(self) -> None:
        """Seal until the buffer is empty or the journal takes no more."""
        while self._append_held():
            tables = self._buffer.take()
            self._tell_drops(tables)
            if not tables:
                return
            self._held = self._seal(tables)

    def _append_held(self) -> bool:
        if self._held is None:
            return True
        try:
            self._spool.append(self._held).result(_COMMIT_SECONDS)
        except (JournalError, TimeoutError) as error:
            self.refused += 1
            log.warning("the spool took no batch: %s", error or "no commit in time")
            self._stop.wait(error.retry_after_seconds if isinstance(error, JournalFull) else _RETRY_SECONDS)
            return False
        self._held = None
        self.sealed += 1
        return True

    def _seal(self, tables: Mapping[str, list[Record]]) -> Sealed | None:
        now_us = self._clock.now_us()
        header = BatchHeader(
            boot=self.boot, seq=self._seq + 1, sealed_at_us=now_us, host=self._host, origin=self._origin
        )
        try:
            body = encode(header, tables)
        except Exception:
            # One value the wire cannot hold must not stop all others for ever.
            log.exception("rows that cannot be encoded are left out")
            self.unsealable.update({table: len(rows) for table, rows in tables.items()})
            return None
        self._seq += 1
        return Sealed(agent=self._host, boot=self.boot, seq=self._seq, received_at_us=now_us, body=body)

    def _tell_drops(self, tables: dict[str, list[Record]]) -> None:
        lost = self._buffer.dropped + self.unsealable
        new = lost - self._told
        if not new:
            return
        self._told = lost
        message = ", ".join(f"{count} {table}" for table, count in sorted(new.items()))
        event = Event(
            at_us=self._clock.now_us(),
            kind=EventKind.DROP,
            host=self._host,
            code=new.total(),
            message=f"rows dropped by the agent: {message}",
        )
        tables.setdefault(TABLE_OF[Event].name, []).append(event)
