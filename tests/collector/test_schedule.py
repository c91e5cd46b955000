"""A source that is slow, wedged or broken costs its own ticks and nothing else."""

from __future__ import annotations

import statistics
import threading
import time

import pytest

from collector.clock import HostClock
from collector.schedule import Watcher
from telemetry.source import Health, Reading


class Scripted:
    """A source that does what the test says."""

    def __init__(self, act=lambda: None):
        self.name = "scripted"
        self.act = act
        self.begun = 0
        self.running = 0
        self.most_running = 0
        self.closed = False

    def read(self, now_us):
        self.begun += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            self.act()
        finally:
            self.running -= 1
        return Reading(records=(), health=Health(source=self.name, at_us=now_us, took_us=0, ok=True))

    def close(self):
        self.closed = True


@pytest.fixture
def watch():
    watchers, delivered = [], []

    def make(source, interval=0.02, deadline=0.05):
        watcher = Watcher(
            source,
            clock=HostClock(),
            interval_seconds=interval,
            deadline_seconds=deadline,
            deliver=delivered.append,
        )
        watchers.append(watcher)
        watcher.start()
        return watcher, delivered

    yield make
    for watcher in watchers:
        watcher.stop()


def test_readings_keep_to_the_grid(watch, eventually):
    _, delivered = watch(Scripted(act=lambda: time.sleep(0.005)))
    eventually(lambda: len(delivered) >= 20)
    first, *ticks = [reading.health.at_us for reading in delivered[:20]]
    offsets = [min((tick - first) % 20_000, (first - tick) % 20_000) for tick in ticks]
    # A schedule of "read, then wait" would be 5 ms further off at every tick.
    assert statistics.median(offsets) < 4_000


def test_a_wedged_reading_is_abandoned_once_and_never_doubled(watch, eventually):
    release = threading.Event()
    source = Scripted(act=release.wait)
    watcher, delivered = watch(source)
    eventually(watcher.abandon_if_late)

    assert watcher.unresponsive and watcher.abandoned == 1
    time.sleep(0.1)
    assert not watcher.abandon_if_late()
    assert (source.begun, source.most_running, delivered) == (1, 1, [])
    release.set()
    eventually(lambda: delivered)
    assert not watcher.unresponsive and source.most_running == 1


def test_a_late_result_is_not_delivered(watch, eventually):
    source = Scripted(act=lambda: time.sleep(0.08 if source.begun == 1 else 0))
    watcher, delivered = watch(source)
    eventually(lambda: delivered)
    assert watcher.abandoned == 1
    assert watcher.reads == len(delivered) + 1


def test_a_source_that_raises_loses_its_tick_and_not_its_thread(watch, eventually):
    def break_once():
        if source.begun == 1:
            raise RuntimeError("broken")

    source = Scripted(act=break_once)
    watcher, delivered = watch(source, deadline=5)
    eventually(lambda: len(delivered) > 2)
    assert "RuntimeError: broken" in delivered[0].health.error
    assert delivered[1].health.ok and watcher.failures == 1


def test_a_source_is_closed_when_its_thread_has_ended(watch, eventually):
    source = Scripted()
    watcher, delivered = watch(source)
    eventually(lambda: delivered)
    watcher.stop()
    assert watcher.join(5) and source.closed


def test_a_source_that_hangs_is_left_behind_unclosed(watch, eventually):
    release = threading.Event()
    source = Scripted(act=release.wait)
    watcher, _ = watch(source)
    eventually(lambda: source.begun)
    watcher.stop()
    assert not watcher.join(0.05) and not source.closed
    release.set()
