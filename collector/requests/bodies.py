"""Reads an answer's bytes as they pass, and says which of them go on to the client.

Three kinds of answer, one method each way: `take` for bytes read at an instant, `end` for what
is left. Pure; the bytes of one read at a time are held, an event at most
`collector.requests.sse.MAX_EVENT_BYTES`, a whole answer at most `MAX_WHOLE_BYTES`.
"""

from __future__ import annotations

from typing import Final, Protocol

from collector.requests.answers import read_chunk, read_whole
from collector.requests.sse import Event, EventSplitter
from collector.requests.stamps import AnswerMeter

MAX_WHOLE_BYTES: Final = 4 * 1024 * 1024
EVENTS: Final = "text/event-stream"


class Body(Protocol):
    """An answer on its way through."""

    streamed: bool

    @property
    def held(self) -> bytes:
        """Bytes taken in that are still to be handed on, or to be found needless."""
        ...

    def take(self, data: bytes, at_us: int) -> bytes:
        """Take in bytes read at `at_us`; return the bytes to hand on now, maybe none."""
        ...

    def end(self, at_us: int) -> bytes:
        """Take in the end of the answer; return the last bytes to hand on."""
        ...


class EventBody:
    """Server-sent events. With `strip`, the chunk that only carries usage is taken out.

    Without `strip` every read is handed on at once as it came; with it, whole events are.
    """

    streamed = True

    def __init__(self, meter: AnswerMeter, *, strip: bool) -> None:
        self._meter = meter
        self._strip = strip
        self._splitter = EventSplitter()
        self._opened_us = 0
        """When the first byte of the event that is being held was read."""

    @property
    def held(self) -> bytes:
        """See `Body.held`."""
        return self._splitter.held if self._strip else b""

    def take(self, data: bytes, at_us: int) -> bytes:
        """See `Body.take`."""
        if not self._splitter.held:
            self._opened_us = at_us
        events = self._splitter.feed(data)
        kept = [event.raw for event in events if not self._is_extra(event, at_us)]
        return b"".join(kept) if self._strip else data

    def end(self, at_us: int) -> bytes:
        """See `Body.end`."""
        event = self._splitter.rest()
        if event is None or self._is_extra(event, at_us) or not self._strip:
            return b""
        return event.raw

    def _is_extra(self, event: Event, at_us: int) -> bool:
        """Meter one event; tell whether the client did not ask for it."""
        opened_us, self._opened_us = self._opened_us, at_us
        if event.data is None:
            return False
        if self._meter.first_byte_us is None:
            self._meter.bytes_at(opened_us)
        self._meter.bytes_at(at_us)
        said = read_chunk(event.data, event.name)
        self._meter.say(said, at_us)
        return self._strip and said.only_usage


class WholeBody:
    """An answer in one piece of JSON, read once it has ended."""

    streamed = False
    held = b""

    def __init__(self, meter: AnswerMeter) -> None:
        self._meter = meter
        self._held = bytearray()
        self._whole = True

    def take(self, data: bytes, at_us: int) -> bytes:
        """See `Body.take`."""
        self._meter.bytes_at(at_us)
        if self._whole and len(self._held) + len(data) <= MAX_WHOLE_BYTES:
            self._held += data
        else:
            self._whole = False
            self._held.clear()
        return data

    def end(self, at_us: int) -> bytes:
        """See `Body.end`."""
        if self._whole and self._held:
            self._meter.say(read_whole(bytes(self._held)), at_us)
        self._held.clear()
        return b""


class OpaqueBody:
    """An answer that cannot be read (compressed, or no JSON): its bytes are timed, no more."""

    streamed = False
    held = b""

    def __init__(self, meter: AnswerMeter) -> None:
        self._meter = meter

    def take(self, data: bytes, at_us: int) -> bytes:
        """See `Body.take`."""
        self._meter.bytes_at(at_us)
        return data

    def end(self, at_us: int) -> bytes:
        """See `Body.end`."""
        del at_us
        return b""


def reader(content_type: str, meter: AnswerMeter, *, plain: bool, strip: bool) -> Body:
    """Return what reads an answer of this type, `plain` when it is not compressed.

    With `strip` the chunk that only carries usage is taken out of server-sent events.
    """
    if plain and content_type == EVENTS:
        return EventBody(meter, strip=strip)
    return WholeBody(meter) if plain and content_type.endswith("json") else OpaqueBody(meter)
