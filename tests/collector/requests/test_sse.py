"""Events come out the same however the stream is cut, and no byte is lost."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.requests.sse import MAX_EVENT_BYTES, EventSplitter

LINES = st.sampled_from(
    [b"data: x", b"data:y", b": ping", b"event: error", b"id: 7", b"data", b"", b'data: {"a":"\xc3']
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=20).map(lambda parts: b"".join(a + b for a, b in parts))


def _events(parts):
    splitter = EventSplitter()
    events = [event for part in parts for event in splitter.feed(part)]
    rest = splitter.rest()
    return events, rest


def _said(events, rest):
    return [
        (event.name, event.data) for event in [*events, *([rest] if rest else [])] if event.data is not None
    ]


@given(STREAMS | st.binary(max_size=60), st.lists(st.integers(0, 200), max_size=8))
@settings(max_examples=300)
def test_every_cut_gives_the_same_events_and_every_byte(stream, cuts):
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    parts = [stream[start:end] for start, end in pairwise(places)]
    events, rest = _events(parts)
    assert b"".join(event.raw for event in events) + (rest.raw if rest else b"") == stream
    assert _said(events, rest) == _said(*_events([stream]))


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
        (b"event: error\ndata: a\ndata: b\n\n", [(b"error", b"a\nb")]),
        (b": keep-alive\n\n", []),
        (b"data:no space\n\n", [(b"", b"no space")]),
        (b"data: last one", [(b"", b"last one")]),
        (b"retry: 5\nid: 3\n\n", []),
    ],
)
def test_the_ways_servers_write_events_are_read(stream, expected):
    assert _said(*_events([stream])) == expected


def test_an_endless_event_is_handed_on_without_being_held():
    splitter = EventSplitter()
    handed = sum(len(event.raw) for _ in range(40) for event in splitter.feed(b"data: " + b"x" * 100_000))
    assert handed + len(splitter.held) == 40 * 100_006
    assert len(splitter.held) <= MAX_EVENT_BYTES
