"""Follows a file of JSON lines as it grows: rotation, truncation, a last line not yet whole, restarts.

Guarantees: a line is read once while the agent runs and across an orderly restart; after a kill
the lines of the last seconds, which may not have been sealed, are read again (at least once). A
line that cannot be read is counted, told by its place, and skipped. What stood in the file before
it was first seen is not read. Memory is bounded by one line and one chunk.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from collector.requests.mapped import RecordError, RecordMaker
from telemetry.requests import RequestRecord

log = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 1024 * 1024
"""LiteLLM writes prompt and answer into its lines; a longer one is skipped."""
_CHUNK_BYTES: Final = 1024 * 1024
_ID_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file is read: which file, and the bytes up to the end of the last whole line."""

    inode: int
    offset: int


@dataclass(frozen=True, slots=True)
class Line:
    """One whole line: where it begins, and its bytes; None = too long to read."""

    offset: int
    text: bytes | None


class LogReader:
    """The bytes of one path, line by line, whatever is done to the file. Not thread-safe."""

    def __init__(self, path: Path, place: Place | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._inode = 0
        self._offset = 0
        self._rest = b""
        self._skipped = 0
        self._from = place
        self._seen = place is not None

    @property
    def place(self) -> Place:
        """Return how far whole lines are read; a line not whole yet is read again from its start."""
        return Place(self._inode, self._offset)

    def lines(self) -> list[Line]:
        """Return the whole lines there are now, at most a chunk of them; an absent file has none.

        A file that was rotated away is read to its end, an unended last line included, and left
        for the new one. Raises `OSError`.
        """
        if self._file is None:
            self._open()
        elif self._unread_bytes() < 0:  # truncated
            self._begin_at(0)
        found = list(self._chunk())
        if found or self._file is None or self._unread_bytes() or not self._is_replaced():
            return found
        return self._last_line()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        known, self._from = self._from, None
        try:
            path = self._path if known is None else self._rotated(known.inode) or self._path
            self._file = path.open("rb")
        except FileNotFoundError:
            self._seen = True  # what comes now is new, and read from its start
            return
        stat = os.fstat(self._file.fileno())
        self._inode = stat.st_ino
        if known and known.inode == stat.st_ino and known.offset <= stat.st_size:
            self._begin_at(known.offset)
        else:
            self._begin_at(0 if self._seen else stat.st_size)
        self._seen = True

    def _rotated(self, inode: int) -> Path | None:
        """Return the file that was being read when the agent ended, under its name of today."""
        with os.scandir(self._path.parent) as entries:
            return next((Path(entry.path) for entry in entries if entry.inode() == inode), None)

    def _is_replaced(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return False  # rotated away, and the new file is not there yet

    def _last_line(self) -> list[Line]:
        rest, offset = self._rest, self._offset
        self._offset, self._rest = offset + len(rest), b""
        self.close()
        log.info("%s was replaced; the new file is read from its start", self._path)
        return [Line(offset, rest)] if rest else []

    def _begin_at(self, offset: int) -> None:
        assert self._file is not None
        self._file.seek(offset)
        self._offset, self._rest, self._skipped = offset, b"", 0

    def _unread_bytes(self) -> int:
        """Return how much of the file is still to be read; negative when it was truncated."""
        assert self._file is not None
        return os.fstat(self._file.fileno()).st_size - self._offset - self._skipped - len(self._rest)

    def _chunk(self) -> Iterator[Line]:
        chunk = self._file.read(_CHUNK_BYTES) if self._file else b""
        *whole, rest = (self._rest + chunk).split(b"\n")
        for text in whole:
            length = self._skipped + len(text)
            yield Line(self._offset, None if length > MAX_LINE_BYTES else text)
            self._offset += length + 1
            self._skipped = 0
        if self._skipped + len(rest) > MAX_LINE_BYTES:  # too long already: its bytes are let go
            self._skipped += len(rest)
            rest = b""
        self._rest = rest


class LogTail:
    """A request log and what is kept about it. One thread calls `read`; any may read `counts`."""

    def __init__(self, path: Path, maker: RecordMaker, *, kept_in: Path, lag_seconds: float) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        """Lines by what became of them: `recorded`, `refused`."""
        self.trouble: str | None = None
        """What was wrong with the last line refused; None = none was."""
        self._maker = maker
        digest = hashlib.sha256(bytes(path.absolute())).hexdigest()[:16]
        self._kept = kept_in / f"request-log-{digest}.json"
        self._lag = lag_seconds
        self._reader = LogReader(path, _kept_place(self._kept))
        self._pending: deque[tuple[float, Place]] = deque()

    @property
    def folded(self) -> int:
        """How often the name of a tenant or model past the bounds became `__other__`."""
        return self._maker.folded

    def read(self, deliver: Callable[[Sequence[RequestRecord]], None], now_us: int) -> int:
        """Deliver what has been written since the last call; return how many lines that was.

        `now_us` is the UTC instant, in microseconds. Raises `OSError` when the file cannot be read.
        """
        lines = self._reader.lines()
        records = [record for line in lines if (record := self._record(line, now_us)) is not None]
        if records:
            deliver(records)
            self.counts["recorded"] += len(records)
        if lines:
            self._pending.append((time.monotonic(), self._reader.place))
        self._keep_settled()
        return len(lines)

    def close(self) -> None:
        """Keep the place reached: everything delivered has been sealed."""
        if self._pending:
            self._keep(self._pending[-1][1])
        self._reader.close()

    def _record(self, line: Line, now_us: int) -> RequestRecord | None:
        if line.text is not None and not line.text.strip():
            return None
        try:
            values = _object(line.text)
            name = hashlib.sha256(line.text or b"").hexdigest()[:_ID_LENGTH]
            return self._maker.record(values, request_id=name, now_us=now_us)
        except RecordError as error:
            self.counts["refused"] += 1
            trouble = f"{self.path} at byte {line.offset:,}: {error}"
            if self.trouble is None:
                log.warning("a line of a request log is skipped: %s (later ones are counted only)", trouble)
            self.trouble = trouble
            return None

    def _keep_settled(self) -> None:
        """Keep the last place whose records have surely been sealed."""
        settled = None
        while self._pending and time.monotonic() - self._pending[0][0] >= self._lag:
            settled = self._pending.popleft()[1]
        if settled is not None:
            self._keep(settled)

    def _keep(self, place: Place) -> None:
        written = self._kept.with_suffix(".new")
        try:
            written.write_text(json.dumps({"inode": place.inode, "offset": place.offset}))
            written.replace(self._kept)
        except OSError as error:
            log.warning("keep the place in %s: %s; a restart may read lines again", self.path, error.strerror)


def _object(text: bytes | None) -> Mapping[str, Any]:
    if text is None:
        raise RecordError(f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise RecordError("not JSON") from None
    if not isinstance(values, dict):
        raise RecordError("not a JSON object")
    return values


def _kept_place(path: Path) -> Place | None:
    try:
        kept = json.loads(path.read_text())
        return Place(int(kept["inode"]), int(kept["offset"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        log.warning("%s cannot be read; the request log is read from its end", path)
        return None
