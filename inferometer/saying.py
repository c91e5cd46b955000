"""How the command speaks: answers to standard output, all else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 200
"""Columns of a table that goes to a file or a pipe, where nothing need be folded."""
notes = Console(stderr=True, highlight=False)
answers = Console(highlight=False)


class Failure(Exception):  # noqa: N818 - it is what the command says, not a fault of its own
    """What the command could not do: operation, subject, cause, hint. Exits with `code`."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def telling(*expected: type[Exception]) -> Iterator[None]:
    """Turn errors that a person can mend into a `Failure` with their message."""
    try:
        yield
    except expected as error:
        raise Failure(_message(error)) from error


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def say_error(message: str) -> None:
    """Print an error to standard error, its words untouched."""
    notes.print(f"error: {message}", style="bold red", markup=False, soft_wrap=True)


def say(message: str) -> None:
    """Print progress or advice to standard error."""
    notes.print(message, markup=False, soft_wrap=True)


def answer(message: str) -> None:
    """Print a line of the answer to standard output."""
    answers.print(message, markup=False, soft_wrap=True)


def answer_json(value: object) -> None:
    """Print the answer as one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def answer_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; a column whose title begins with `#` is numeric and set to the right. None = `-`."""
    table = Table(title=title or None, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix("#"), justify="right" if column.startswith("#") else "left")
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    console = answers if answers.is_terminal else Console(highlight=False, width=PIPED_WIDTH)
    console.print(table)
