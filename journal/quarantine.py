"""What lies in the quarantine of a journal, read also beside the process that holds it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from journal.errors import JournalFault
from journal.file import OPENING_ERRORS
from journal.words import Quarantined

_NAMES: Final = tuple(field.name for field in fields(Quarantined))
NEWEST_FIRST: Final = f"SELECT {', '.join(_NAMES)} FROM quarantine ORDER BY id DESC LIMIT ?"  # noqa: S608 - our own names
_BUSY_SECONDS: Final = 5.0


def named(rows: Iterable[tuple[Any, ...]]) -> list[Quarantined]:
    """Return the rows of `NEWEST_FIRST` as what they are."""
    return [Quarantined(**dict(zip(_NAMES, row, strict=True))) for row in rows]


def quarantined_in(path: Path, limit: int = 100) -> list[Quarantined]:
    """Return what is in quarantine in the journal at `path`, newest first, at most `limit`.

    Changes nothing, and needs nobody to let go of it. Raises `JournalFault` when there is no
    journal or it cannot be read.
    """
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", _BUSY_SECONDS, uri=True)
        ) as opened:
            return named(opened.execute(NEWEST_FIRST, (limit,)).fetchall())
    except OPENING_ERRORS as error:
        raise JournalFault(f"read {path}: {error}; may we read there, and is it a journal?") from None
