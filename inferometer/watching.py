"""A line that says how far a long command is, where a person is watching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape

from inferometer.saying import notes

Tell = Callable[[str], None]


@contextmanager
def progress(first: str = "opening the stores") -> Iterator[Tell]:
    """Yield what tells the step under way; nothing is shown where nobody is watching."""
    if not notes.is_terminal:
        yield lambda _step: None
        return
    with notes.status(first) as status:
        yield lambda step: status.update(escape(step))
