"""A worker repeats its step, goes on after a failure, and says what it is stuck on."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from service.own_metrics import Tally
from service.store.errors import StoreUnavailable
from service.threads import Worker


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("service.threads._AFTER_FAILURE_SECONDS", 0.0)


@pytest.fixture
def run():
    """Start a worker with a step; stopped at the end: run(step) -> (worker, tally)."""
    workers = []

    def make(step, every_seconds=0.0):
        tally = Tally()
        worker = Worker("job", step, every_seconds=every_seconds, tally=tally)
        workers.append(worker)
        worker.start()
        return worker, tally

    yield make
    assert all(worker.stop(5) for worker in workers)


def until(holds):
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def failures(tally):
    return sum(reading.value for reading in tally.read() if reading.name == "job_failures")


def test_a_step_with_more_to_do_is_repeated_at_once(run):
    left = iter(range(100))
    worker, _ = run(lambda: next(left, None) is not None, every_seconds=60)
    until(lambda: next(left, None) is None)
    assert worker.alive


def test_a_failing_step_is_counted_tried_again_and_told(run, caplog):
    away = threading.Event()
    away.set()

    def step():
        if away.is_set():
            raise StoreUnavailable("insert: disk full; free some room")
        return False

    with caplog.at_level(logging.WARNING):
        worker, tally = run(step)
        until(lambda: failures(tally) >= 3)
        assert worker.trouble == "insert: disk full; free some room"
        away.clear()
        until(lambda: worker.trouble is None)
    said = [record for record in caplog.records if record.name == "service.threads"]
    assert len(said) == 2 and not any(record.exc_info for record in said)
    assert "disk full" in said[0].message and "goes on after" in said[1].message


def test_what_nobody_foresaw_is_logged_with_its_traceback_once(run, caplog):
    def step():
        raise ZeroDivisionError

    with caplog.at_level(logging.WARNING):
        worker, tally = run(step)
        until(lambda: failures(tally) >= 3)
    assert "ZeroDivisionError" in (worker.trouble or "")
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_one_failed_round_is_no_trouble(run):
    steps = iter([True])

    def step():
        if next(steps, False):
            raise StoreUnavailable("busy")
        return False

    worker, tally = run(step, every_seconds=0.01)
    until(lambda: failures(tally) == 1)
    assert worker.trouble is None


def test_a_worker_that_hangs_is_told_by_stop():
    hanging = threading.Event()
    worker = Worker("job", hanging.wait, every_seconds=0, tally=Tally())
    worker.start()
    assert worker.stop(0.05) is False
    hanging.set()
    assert worker.stop(5) is True and not worker.alive
