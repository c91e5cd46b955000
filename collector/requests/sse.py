"""Server-sent events out of a byte stream, however it was cut into reads.

Guarantee: the `raw` of all events and what `rest` returns, joined, are exactly the bytes fed,
for every way of cutting them. At most `MAX_EVENT_BYTES` are held back; a longer event is
handed on as it is, without data. Standard library only.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_EVENT_BYTES: Final = 1024 * 1024

# Two line ends in a row; the groups are atomic so that CR LF is never taken for two of them.
_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_LONGEST_BLANK_LINE: Final = 4


class Event(NamedTuple):
    """One event as it came; a tuple, because one is made for every chunk.

    `data` is None for a comment or keep-alive; `name` empty if unnamed.
    """

    raw: bytes
    data: bytes | None
    name: bytes = b""


class EventSplitter:
    """Splits a stream into events; one per stream, not thread-safe."""

    def __init__(self) -> None:
        self.held = b""
        """The bytes of an event that is not whole yet."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes, in order; empty when it completes none."""
        searched = max(0, len(self.held) - _LONGEST_BLANK_LINE + 1)
        text = self.held + data if self.held else data
        events: list[Event] = []
        start = 0
        while found := _BLANK_LINE.search(text, max(start, searched)):
            end = found.end()
            events.append(_event(text[start:end]))
            start = end
        self.held = text[start:]
        if len(self.held) > MAX_EVENT_BYTES:
            events.append(Event(self.held, None))
            self.held = b""
        return events

    def rest(self) -> Event | None:
        """Return what is held when the stream ends, as an event; None when nothing is.

        Read leniently: some servers leave out the last blank line.
        """
        held, self.held = self.held, b""
        return _event(held) if held else None


def _event(raw: bytes) -> Event:
    if raw.startswith(b"data:"):
        body = raw[6 if raw[5:6] == b" " else 5 :].strip(b"\r\n")
        if b"\n" not in body and b"\r" not in body:
            return Event(raw, body)
    return _event_of_lines(raw)


def _event_of_lines(raw: bytes) -> Event:
    data: list[bytes] = []
    name = b""
    for line in raw.splitlines():
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return Event(raw, b"\n".join(data) if data else None, name)
