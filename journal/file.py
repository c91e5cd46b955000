"""The SQLite file of a journal: its schema, its one writing connection, and its end when malformed."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import IO, Any, Final

from journal.errors import JournalError, JournalLocked

PAGE_BYTES: Final = 8_192
_SET_ASIDE_KEPT: Final = 2
_VACUUM_PAGES: Final = 512
_MALFORMED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_ROOM: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
OPENING_ERRORS: Final = (sqlite3.Error, UnicodeError)
"""What opening a damaged file raises; the second when SQLite quotes its damaged texts."""
_ELSEWHERE: Final = _NO_ROOM | {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
}
"""Failures to open that say nothing about the file itself."""
_VERSION: Final = 1

_PRAGMAS: Final = (
    f"page_size = {PAGE_BYTES}",
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = FULL",
    "fullfsync = ON",  # only macOS needs it: there fsync alone does not reach the disk
    "wal_autocheckpoint = 512",
    f"journal_size_limit = {8 * 1024 * 1024}",
    "cell_size_check = ON",
    "temp_store = MEMORY",
)
_TABLES: Final = (
    """CREATE TABLE entry (
         id INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL, boot TEXT NOT NULL,
         seq INTEGER NOT NULL, received_at_us INTEGER NOT NULL, crc32 INTEGER NOT NULL,
         size INTEGER NOT NULL, body BLOB NOT NULL)""",
    """CREATE TABLE received (
         agent TEXT NOT NULL, boot TEXT NOT NULL, contiguous_seq INTEGER NOT NULL,
         gaps TEXT NOT NULL, heard_at_us INTEGER NOT NULL,
         PRIMARY KEY (agent, boot)) WITHOUT ROWID""",
    """CREATE TABLE reader (
         name TEXT PRIMARY KEY, cursor INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE note (
         key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE quarantine (
         id INTEGER PRIMARY KEY AUTOINCREMENT, entry_id INTEGER NOT NULL, reader TEXT NOT NULL,
         reason TEXT NOT NULL, agent TEXT NOT NULL, boot TEXT NOT NULL, seq INTEGER NOT NULL,
         received_at_us INTEGER NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL,
         UNIQUE (entry_id, reader))""",
)
_SALVAGED: Final = ("received", "reader", "note", "quarantine")


class MalformedFile(Exception):  # noqa: N818 - a finding about the file, handled by the writer
    """The file was found malformed by us, not by SQLite."""


def is_malformed(error: Exception) -> bool:
    """Tell whether SQLite, or we, found the file itself damaged."""
    return isinstance(error, MalformedFile) or (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _MALFORMED


def is_no_room(error: Exception) -> bool:
    """Tell whether the disk (or a quota, or a file-size limit) refused to grow the file."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _NO_ROOM


def is_unusable(error: sqlite3.Error | UnicodeError, path: Path) -> bool:
    """Tell whether a failure to open means that the file itself is damaged.

    A flipped byte can also look like a read-only file, an unknown format or a missing column.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_READONLY:
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return code not in _ELSEWHERE


class JournalFile:
    """One journal on disk, held by this process. `writer` belongs to one thread at a time.

    Readers come through `reading`; they exclude `set_aside` (a file that is renamed under an
    open SQLite connection is lost) and one another, so they must be short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.generation = 0
        """How many files were set aside since this object was made."""
        self.salvaged = 0
        """How many batches were carried over from them."""
        self._lock = Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._held = _hold(path)
        try:
            self.writer = self._open()
        except BaseException:
            self._held.close()
            raise

    def _open(self) -> sqlite3.Connection:
        try:
            return _prepared(self.path)
        except OPENING_ERRORS as error:
            if not is_unusable(error, self.path):
                raise
        return self._afresh()

    def _afresh(self) -> sqlite3.Connection:
        aside = _rename(self.path)
        self.generation += 1
        fresh = _prepared(self.path)
        self.salvaged += _salvage(aside, fresh)
        return fresh

    def bytes_on_disk(self) -> int:
        """Return the size of the file and its write-ahead log."""
        wal = self.path.with_name(self.path.name + "-wal")
        return sum(part.stat().st_size for part in (self.path, wal) if part.exists())

    def bytes_used(self) -> int:
        """Return what the rows take, free pages not counted."""
        (pages,) = self.writer.execute("PRAGMA page_count").fetchone()
        (free,) = self.writer.execute("PRAGMA freelist_count").fetchone()
        if not 0 <= free < pages:
            raise MalformedFile
        return int(pages - free) * PAGE_BYTES

    def give_space_back(self) -> None:
        """Shorten the file by up to 4 MiB if more than half of it is free; little by little."""
        (pages,) = self.writer.execute("PRAGMA page_count").fetchone()
        (free,) = self.writer.execute("PRAGMA freelist_count").fetchone()
        if free > max(_VACUUM_PAGES, pages // 2):
            # execute() would stop after the first page: each is a row without columns
            self.writer.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            self.writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a read-only connection of its own; closed at the end."""
        with self._lock, closing(_connect(self.path, "mode=rw")) as connection:
            connection.execute("PRAGMA query_only = ON")
            yield connection

    def set_aside(self) -> None:
        """Rename the malformed file, open a fresh one, carry over what can still be read.

        Of files set aside the last two are kept. Ids go on growing.
        """
        with self._lock:
            self.writer.close()
            self.writer = self._afresh()

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        with suppress(sqlite3.Error):
            self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.writer.close()
        self._held.close()


def _hold(path: Path) -> IO[bytes]:
    held = path.with_name(path.name + ".lock").open("ab")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise JournalLocked(f"open {path}: another process holds it; stop that one first") from None
    return held


def _lenient(text: bytes) -> str:
    return text.decode(errors="replace")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5)
    connection.text_factory = _lenient  # a damaged text is for the checksum to find
    return connection


def _prepared(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "mode=rwc")
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        _create(connection, path)
    except BaseException:
        connection.close()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # SQLite syncs the name of its log, not that of a new database
    finally:
        os.close(folder)
    return connection


def _create(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise JournalError(f"open {path}: made by a newer version ({version}); upgrade this one")
    if version == _VERSION:
        found = {row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")}
        if not found.issuperset(_TABLES):
            raise sqlite3.DatabaseError("its tables are not those of a journal")
        return
    with transaction(connection):
        for table in _TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        first = int(time.time() * 1_000)
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entry', ?)", (first,))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one write transaction: committed at its end, rolled back if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _rename(path: Path) -> Path:
    """Move the file and its log to `*.malformed-N` and return the new path."""
    aside = path.with_name(f"{path.name}.malformed-{time.time_ns() // 1_000}")
    for suffix in ("-wal", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    old = [file for file in sorted(path.parent.glob(f"{path.name}.malformed-*")) if file.suffix[-1].isdigit()]
    for file in old[:-_SET_ASIDE_KEPT]:
        for suffix in ("", "-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
    return aside


def _salvage(aside: Path, fresh: sqlite3.Connection) -> int:
    """Copy whatever rows of a malformed file can be read; return the number of entries.

    With no room for a copy nothing is carried over: the file set aside still has it all.
    """
    try:
        with closing(_connect(aside, "mode=rw")) as old, transaction(fresh):
            for table in _SALVAGED:
                _copy(fresh, table, _readable(old, f"SELECT * FROM {table}"))  # noqa: S608 - our own names
            by_id = "SELECT * FROM entry WHERE id = ?"
            return sum(_copy(fresh, "entry", _readable(old, by_id, entry_id)) for entry_id in _ids(old))
    except sqlite3.Error as error:
        if is_no_room(error):
            return 0
        raise


def _ids(old: sqlite3.Connection) -> list[int]:
    """Return the ids that can be reached from either end of the table."""
    ascending = _readable(old, "SELECT id FROM entry ORDER BY id")
    descending = _readable(old, "SELECT id FROM entry ORDER BY id DESC")
    return sorted({int(row[0]) for row in chain(ascending, descending)})


def _readable(old: sqlite3.Connection, query: str, *values: int) -> Iterator[tuple[Any, ...]]:
    """Yield rows up to the first that cannot be read."""
    with suppress(*OPENING_ERRORS):
        yield from old.execute(query, values)


def _copy(fresh: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> int:
    """Insert rows, those left out that do not fit; return how many did."""
    copied = 0
    for row in rows:
        marks = ",".join("?" * len(row))
        try:
            copied += fresh.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row).rowcount  # noqa: S608
        except sqlite3.Error as error:
            if is_no_room(error):
                raise
    return copied
