"""The last minutes in memory: bounded in time and in rows, complete within the bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import live as module
from service.live import KEEP_US, PLACED_US, LiveWindow
from telemetry.events import Event, EventKind
from telemetry.frame import Frame
from telemetry.placement import Placement
from telemetry.requests import RequestRecord, Status

NOW_US = 1_700_000_000_000_000


def events(*at_us):
    return Frame.of("events", [Event(at_us=at, kind=EventKind.DEPLOY, host="h") for at in at_us])


def times(live, from_us=0, to_us=2**62):
    return live.frame("events", from_us, to_us).numbers("at_us").values.tolist()


@given(st.lists(st.lists(st.integers(0, 2 * KEEP_US), min_size=1, max_size=4), max_size=20), st.data())
def test_a_range_within_the_kept_time_is_complete(batches, data):
    live = LiveWindow()
    for batch in batches:
        live.add(events(*batch))
    given_ = [at for batch in batches for at in batch]
    newest = max(given_, default=0)
    start = data.draw(st.integers(max(0, newest - KEEP_US), newest + 1))
    assert sorted(times(live, start, newest + 1)) == sorted(at for at in given_ if at >= start)
    assert live.newest_us("events") == (newest if given_ else None)


def test_a_range_is_half_open():
    live = LiveWindow()
    live.add(events(1, 2, 3))
    assert times(live, 1, 3) == [1, 2]


def test_what_is_too_old_goes():
    live = LiveWindow()
    live.add(events(NOW_US))
    live.add(events(NOW_US + KEEP_US + 1))
    assert times(live) == [NOW_US + KEEP_US + 1] and live.dropped_rows == 0


def test_placements_are_kept_for_longer_because_they_are_told_seldom():
    live = LiveWindow()
    for at in (NOW_US, NOW_US + PLACED_US):
        live.add(Frame.of("placements", [Placement(at_us=at, replica="r", gpu_uuid="GPU-1", host="h")]))
    assert live.frame("placements", 0, 2**62).rows == 2


def test_rows_past_the_bound_are_dropped_oldest_first_and_counted(monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 5)
    live = LiveWindow()
    for at in range(4):
        live.add(events(at, at))
    assert (times(live), live.dropped_rows) == ([2, 2, 3, 3], 4)


def test_a_batch_larger_than_the_bound_is_kept_until_the_next(monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 2)
    live = LiveWindow()
    live.add(events(1, 2, 3))
    assert times(live) == [1, 2, 3]


def test_only_what_detectors_read_of_a_request_is_kept():
    live = LiveWindow()
    row = RequestRecord(
        request_id="r", model="m", status=Status.OK, started_at_us=1, ended_at_us=2, e2e_us=1, replica="x"
    )
    live.add(Frame.of("requests", [row]))
    found = live.frame("requests", 0, 10)
    assert found.texts("replica").listed() == ["x"]
    with pytest.raises(KeyError):
        found.texts("request_id")
