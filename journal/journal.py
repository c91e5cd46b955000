"""The journal: one durable ordered queue, whole. See the package for what it guarantees."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from journal.disk import Ballast, bound_bytes, free_bytes
from journal.errors import JournalClosed, JournalFault
from journal.file import JournalFile, MalformedFile, is_malformed, is_no_room
from journal.quarantine import NEWEST_FIRST, named
from journal.transaction import Transaction, checksum
from journal.words import MIB, Entry, Limits, Outcome, Quarantined, ReaderStats, Sealed, Stats
from journal.writer import Writer

Row = tuple[Any, ...]

_ENTRY: Final = "SELECT id, agent, boot, seq, received_at_us, body, crc32 FROM entry"
_OLDEST_FIRST: Final = f"{_ENTRY} WHERE id > ? ORDER BY id LIMIT ?"
_NEWEST_FIRST: Final = f"{_ENTRY} WHERE id < ? ORDER BY id DESC LIMIT ?"
_BODY, _CRC = 5, 6
_NAME_LENGTH: Final = 200
_NOTE_BYTES: Final = 64 * 1024
_LARGEST: Final = 2**63 - 1


class Journal:
    """A journal in use; make one with `Journal.open`. Any thread may call any method.

    Methods that change something return when the change is durable (a commit, 3 ms); `append`
    gives a future instead. Methods that read open a connection of their own and close it
    (0.2 ms and the bodies). All raise `JournalClosed` after `close` and `JournalFault` when
    SQLite refuses.
    """

    def __init__(self, file: JournalFile, readers: Sequence[str], limits: Limits, ballast: Ballast) -> None:
        self._file = file
        self._limits = limits
        self._readers = tuple(readers)
        self._ballast = ballast
        self._closed = False
        self._writer = Writer(file, readers, limits, ballast)

    @classmethod
    def open(cls, path: Path, limits: Limits | None = None, *, readers: Sequence[str]) -> Self:
        """Open the journal at `path`, or make it, and its folder.

        `readers` are all that there are: a new one begins at the oldest batch, one no longer
        named is forgotten. A malformed file is set aside (`Counts.set_aside`). Raises
        `JournalLocked` when another process holds it, `JournalFault` when it cannot be opened.
        """
        if not readers or len(set(readers)) != len(readers):
            raise ValueError(f"open {path}: needs distinct readers, got {list(readers)}")
        limits = limits or Limits()
        ballast = Ballast(path.with_name(path.name + ".ballast"), limits.ballast_bytes)
        try:
            return cls._opened(path, readers, limits, ballast)
        except sqlite3.Error as error:
            if not (is_no_room(error) and ballast.present):
                raise _cannot_open(path, error) from error
        ballast.give_up()
        try:
            return cls._opened(path, readers, limits, ballast)
        except sqlite3.Error as error:
            raise _cannot_open(path, error) from error

    @classmethod
    def _opened(cls, path: Path, readers: Sequence[str], limits: Limits, ballast: Ballast) -> Self:
        file = JournalFile(path)
        try:
            journal = cls(file, readers, limits, ballast)
        except BaseException:
            file.close()
            raise
        ballast.hold()
        return journal

    def append(self, batch: Sealed) -> Future[Outcome]:
        """Offer a batch. The future holds the outcome once it is durable.

        It holds `JournalFull` when the batch was refused (a repeat never is: it is a
        `DUPLICATE`). Raises `ValueError` for an identity that cannot be kept.
        """
        _check(batch)
        return self._writer.ask(lambda transaction: transaction.append(batch), size=max(1, len(batch.body)))

    def read(self, after: int, max_batches: int = 256, max_bytes: int = 64 * MIB) -> list[Entry]:
        """Return the oldest entries with an id above `after`, in order; empty = none.

        At least one if there is one, however large, then as many as fit both bounds. A batch
        whose checksum fails is quarantined, counted and left out.
        """
        return self._entries(_OLDEST_FIRST, after, max_batches, max_bytes)

    def read_newest(
        self, before: int | None = None, max_batches: int = 256, max_bytes: int = 64 * MIB
    ) -> list[Entry]:
        """Return the newest entries with an id below `before` (None = all), newest first; else as `read`."""
        return self._entries(_NEWEST_FIRST, _LARGEST if before is None else before, max_batches, max_bytes)

    def cursor(self, reader: str) -> int:
        """Return the highest id at or below which nothing is left for this reader.

        It stands at `head()` when the reader has caught up, also where the last batches were
        damaged or dropped.
        """
        head, cursor = self.head(), self._cursor(reader)
        rows = self._rows("SELECT min(id) FROM entry WHERE id > ?", (cursor,))
        following = rows[0][0] if rows else None
        return max(cursor, head if following is None else following - 1)

    def advance(self, reader: str, upto: int) -> None:
        """Move a reader's cursor to `upto`; never backward. Batches that all readers are past go.

        Raises `ValueError` for an unknown reader and for an id above the head.
        """
        self._cursor(reader)
        self._do(lambda transaction: transaction.advance(reader, upto))

    def done(self, entry_ids: Iterable[int]) -> None:
        """Remove batches out of order; for a journal with one reader. Unknown ids are ignored.

        Raises `ValueError` when there are several readers: the others would miss them.
        """
        if len(self._readers) != 1:
            raise ValueError(f"done: {', '.join(self._readers)} read this journal; use advance")
        chosen = tuple(entry_ids)
        self._do(lambda transaction: transaction.done(chosen))

    def head(self) -> int:
        """Return the id of the newest durable batch. Costs nothing."""
        return self._writer.memory.head

    def wait(self, after: int, timeout_seconds: float) -> int:
        """Block until `head()` is above `after`, the time is up or the journal closes; return the head."""
        return self._writer.wait(after, timeout_seconds)

    def quarantine(self, entry_id: int, reader: str, reason: str) -> None:
        """Keep a copy of a batch that `reader` cannot process; the reader then goes on as usual."""
        text = reason[:_NOTE_BYTES]
        self._do(lambda transaction: transaction.quarantine(entry_id, reader, text))

    def quarantined(self, limit: int = 100) -> list[Quarantined]:
        """Return what is in quarantine, newest first, at most `limit`."""
        return named(self._rows(NEWEST_FIRST, (limit,)))

    def note(self, key: str) -> str | None:
        """Return a note; None = there is none."""
        rows = self._rows("SELECT text FROM note WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def set_note(self, key: str, text: str | None) -> None:
        """Keep a small text; None removes it. Raises `ValueError` above 64 KiB."""
        if len(key) > _NAME_LENGTH or (text is not None and len(text.encode()) > _NOTE_BYTES):
            raise ValueError(f"note {key[:_NAME_LENGTH]}: longer than {_NOTE_BYTES:,} bytes")
        self._do(lambda transaction: transaction.set_note(key, text))

    def stats(self) -> Stats:
        """Return how the journal is doing. Costs one small read."""
        writer = self._writer
        memory, room = writer.memory, writer.room
        commits = sorted(writer.commits_us.copy())
        return Stats(
            head=memory.head,
            batches=memory.batches,
            used_bytes=room.used,
            bound_bytes=bound_bytes(
                self._limits.max_bytes,
                free=free_bytes(self._file.path.parent),
                own=self._file.bytes_on_disk(),
            ),
            lag_seconds=room.waited_seconds,
            readers=tuple(
                ReaderStats(name=name, cursor=cursor, behind=min(memory.batches, memory.head - cursor))
                for name, cursor in memory.cursors.items()
            ),
            quarantined=self._rows("SELECT count(*) FROM quarantine", ())[0][0],
            ballast=self._ballast.present,
            commit_p50_us=_quantile(commits, 50),
            commit_p99_us=_quantile(commits, 99),
            counts=memory.counts.plus(refused=writer.refused_at_door),
        )

    def close(self) -> None:
        """Commit what was offered and close; a second call changes nothing."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        self._file.close()

    def _cursor(self, reader: str) -> int:
        try:
            return self._writer.memory.cursors[reader]
        except KeyError:
            raise ValueError(
                f"{reader!r} does not read this journal; {', '.join(self._readers)} do"
            ) from None

    def _do(self, work: Callable[[Transaction], None]) -> None:
        self._writer.ask(work).result()

    def _entries(self, query: str, edge: int, max_batches: int, max_bytes: int) -> list[Entry]:
        while True:
            rows = self._rows(query, (edge, max_batches), lambda found: _within(found, max_bytes))
            damaged = tuple(row[0] for row in rows if not _is_whole(row))
            if not damaged:
                return [_entry(row) for row in rows]
            self._do(partial(Transaction.condemn, entry_ids=damaged))

    def _rows(
        self, query: str, values: tuple[int | str, ...], take: Callable[[Iterable[Row]], list[Row]] = list
    ) -> list[Row]:
        """Run a query on a connection of its own. A malformed file is set aside and read anew, once."""
        for _ in range(2):
            if self._closed:
                raise JournalClosed("the journal is closed; open it again")
            seen = self._file.generation
            try:
                with self._file.reading() as connection:
                    return take(connection.execute(query, values))
            except sqlite3.Error as error:
                if not is_malformed(error):
                    raise JournalFault(f"read {self._file.path}: {error}") from error
            self._report_malformed(seen)
        raise JournalFault(f"read {self._file.path}: malformed again after it was set aside; check the disk")

    def _report_malformed(self, generation: int) -> None:
        def work(_: Transaction) -> None:
            if self._file.generation == generation:
                raise MalformedFile

        self._do(work)


def _cannot_open(path: Path, error: sqlite3.Error) -> JournalFault:
    return JournalFault(f"open {path}: {error}; is there room, and may we write there?")


def _entry(row: Row) -> Entry:
    entry_id, agent, boot, seq, received_at_us, body = row[:_CRC]
    return Entry(entry_id=entry_id, agent=agent, boot=boot, seq=seq, received_at_us=received_at_us, body=body)


def _is_whole(row: Row) -> bool:
    """Tell whether a row is what was appended; a flipped bit may even have changed a type."""
    return isinstance(row[_BODY], bytes) and checksum(_entry(row)) == row[_CRC]


def _within(rows: Iterable[Row], max_bytes: int) -> list[Row]:
    """Take rows while their bodies fit `max_bytes`, one at least."""
    taken: list[Row] = []
    size = 0
    for row in rows:
        size += len(row[_BODY]) if isinstance(row[_BODY], bytes) else 0
        if taken and size > max_bytes:
            break
        taken.append(row)
    return taken


def _check(batch: Sealed) -> None:
    for name, text in (("agent", batch.agent), ("boot", batch.boot)):
        if not 0 < len(text) <= _NAME_LENGTH:
            raise ValueError(f"append: {name} must be a text of 1 to {_NAME_LENGTH} characters")
    for name, number in (("seq", batch.seq), ("received_at_us", batch.received_at_us)):
        if not 0 <= number <= _LARGEST:
            raise ValueError(f"append: {name} must be 0 .. 2^63-1, got {number}")


def _quantile(ordered: Sequence[int], percent: int) -> int | None:
    return ordered[(len(ordered) - 1) * percent // 100] if ordered else None
