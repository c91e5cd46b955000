"""Whole new lines of a text file that grows, is rotated and is truncated; a bounded portion at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_BYTES_A_READ: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Position:
    """How far a log was read: the boot or the file it belongs to, and what comes next in it."""

    log: str
    offset: int


class GrowingFile:
    """One open file. A rotated one is read to its end, then its successor from the beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")

    def end(self, *, before: int = 0) -> Position:
        """Return the position at the file's end, or so many bytes before it."""
        size = os.fstat(self._file.fileno()).st_size
        return Position(self._name(), max(0, size - before))

    def read(self, position: Position) -> tuple[list[str], Position]:
        """Return whole lines behind a position and the new position. Raises `OSError`."""
        name, size = self._name(), os.fstat(self._file.fileno()).st_size
        known = position.log == name and position.offset <= size
        offset = position.offset if known else 0
        self._file.seek(offset)
        body = self._file.read(MAX_BYTES_A_READ)
        whole = body.rfind(b"\n") + 1
        if not whole and len(body) == MAX_BYTES_A_READ:
            whole = len(body)  # one endless line: given up
        lines = [line.decode(errors="replace") for line in body[:whole].splitlines()]
        if len(body) < MAX_BYTES_A_READ and self._rotated():
            return lines, Position(self._name(), 0)
        return lines, Position(name, offset + whole)

    def behind(self, position: Position) -> bool:
        """Tell whether there is more behind a position than was read, of this file."""
        return position.log == self._name() and position.offset < os.fstat(self._file.fileno()).st_size

    def _name(self) -> str:
        facts = os.fstat(self._file.fileno())
        return f"{facts.st_dev}:{facts.st_ino}"

    def _rotated(self) -> bool:
        """Open the file's successor if it has one; the old one is read to its end by now."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False  # between two files: the next read looks again
        if f"{there.st_dev}:{there.st_ino}" == self._name():
            return False
        self._file.close()
        self._file = self._path.open("rb")
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
