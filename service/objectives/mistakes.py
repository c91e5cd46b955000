"""Where a file is wrong, why, and what to write instead; all mistakes at once."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

MOST_SHOWN: Final = 50
MOST_NOTED: Final = 1_000
LONGEST_CAUSE: Final = 300
"""Longer ones are cut: a cause quotes what was written, and that can be anything."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file, both counted from 1 as editors do."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: where, the cause, and a hint at what would be right."""

    file: str
    place: Place
    cause: str
    hint: str

    def __str__(self) -> str:
        return f"{self.file}:{self.place.line}:{self.place.column}: {self.cause}; {self.hint}"


class ObjectiveFileError(ValueError):
    """Objective files with mistakes; `mistakes` has them all, in the order of the files.

    Permanent: only a change of the files helps. The message has one line for each mistake.
    """

    permanent = True

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        lines = [str(mistake) for mistake in mistakes[:MOST_SHOWN]]
        if len(mistakes) > MOST_SHOWN:
            lines.append(f"and {len(mistakes) - MOST_SHOWN} more")
        super().__init__("\n".join(lines))
        self.mistakes = tuple(mistakes)


@dataclass(slots=True)
class Notes:
    """The mistakes found so far in one file."""

    file: str
    mistakes: list[Mistake] = field(default_factory=list)

    def wrong(self, place: Place, cause: str, hint: str) -> None:
        """Note a mistake and go on; past `MOST_NOTED` of one file no more are kept."""
        if len(self.mistakes) < MOST_NOTED:
            short = cause if len(cause) <= LONGEST_CAUSE else f"{cause[:LONGEST_CAUSE]}…"
            self.mistakes.append(Mistake(self.file, place, short, hint))


def closest(word: str, known: Sequence[str]) -> str | None:
    """Return the known word that was probably meant; None if none is close."""
    close = difflib.get_close_matches(word, known, n=1)
    return close[0] if close else None


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return a hint at the known word that was probably meant, or at all of them."""
    meant = closest(word, known)
    return f"did you mean {meant}?" if meant else f"use one of {', '.join(known)}"
