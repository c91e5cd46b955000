"""Reads new lines of a kernel log: `/dev/kmsg`, or a text file a log daemon writes (for containers).

Never waits, reads a bounded portion at a time, and resumes where it was: a position is of one boot
(kmsg) or of one file, so that a rotated file is read to its end and its successor from its beginning.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from collector.growing_file import GrowingFile, Position
from telemetry.units import MICROS_PER_HOUR

HISTORY_US: Final = MICROS_PER_HOUR
"""How much of what was logged before the agent's first start is read."""
MAX_RECORDS_A_READ: Final = 2_000

_RECORD_BYTES: Final = 8_192
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line, and the instants (UTC, microseconds) between which it was written."""

    text: str
    after_us: int
    at_us: int


class LogReader(Protocol):
    """Something with new lines in it. Not thread-safe."""

    def read(self, now_us: int, position: Position | None) -> tuple[list[LogLine], Position]:
        """Return lines behind `position` (None = never read) and the new position. Raises `OSError`."""
        ...

    def close(self) -> None:
        """Let go of the log."""
        ...


def open_log(path: Path, *, boot: str) -> LogReader:
    """Return a reader of a device or of a text file, opened. Raises `OSError`."""
    if stat.S_ISCHR(path.stat().st_mode):
        return Kmsg(lambda: os.open(path, os.O_RDONLY | os.O_NONBLOCK), boot=boot)
    return LogFile(path)


class Kmsg:
    """The kernel's own ring: one record a read, each with its number and its instant."""

    def __init__(self, opened: Callable[[], int], *, boot: str) -> None:
        self._file = opened()
        self._boot = boot

    def read(self, now_us: int, position: Position | None) -> tuple[list[LogLine], Position]:
        """Return records of this boot not read before; of the time before the first start, the last hour."""
        same = position is not None and position.log == self._boot
        following = position.offset if same and position else 0
        now_monotonic_us = time.monotonic_ns() // 1_000
        lines: list[LogLine] = []
        for _ in range(MAX_RECORDS_A_READ):
            record = self._record()
            if record is None:
                break
            number, since_boot_us, text = record
            at_us = now_us - max(0, now_monotonic_us - since_boot_us)
            if number >= following and (same or now_us - at_us <= HISTORY_US):
                lines.append(LogLine(text, at_us, at_us))
            following = max(following, number + 1)
        return lines, Position(self._boot, following)

    def _record(self) -> tuple[int, int, str] | None:
        """Return number, microseconds since boot and text of the next record; None = there is none now."""
        while True:
            try:
                parsed = _parsed(os.read(self._file, _RECORD_BYTES))
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno == errno.EPIPE:  # overwritten before it was read: the next one is there
                    continue
                raise
            if parsed is not None:
                return parsed

    def close(self) -> None:
        """Close the device."""
        os.close(self._file)


def _parsed(record: bytes) -> tuple[int, int, str] | None:
    """Return what a record `priority,number,microseconds,flags;text` holds; None when it is none."""
    head, found, rest = record.decode(errors="replace").partition(";")
    parts = head.split(",")
    if not found or len(parts) < 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    text = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), rest.partition("\n")[0])
    return int(parts[1]), int(parts[2]), " ".join(text.split())


class LogFile:
    """A text file of a log daemon. Its lines' instants are those of reading them."""

    def __init__(self, path: Path) -> None:
        self._file = GrowingFile(path)
        self._end = self._file.end()
        self._read_us = 0

    def read(self, now_us: int, position: Position | None) -> tuple[list[LogLine], Position]:
        """Return whole lines not read before; of a file never read before, those since it was opened."""
        after_us = self._read_us
        lines, position = self._file.read(position or self._end)
        if not self._file.behind(position):  # what is left was written before now as well
            self._read_us = now_us
        return [LogLine(line, after_us, now_us) for line in lines], position

    def close(self) -> None:
        """Close the file."""
        self._file.close()
