"""The age of the oldest batch is never understated, and is bounded in memory."""

from __future__ import annotations

from journal.lag import Waiting


def test_nothing_waiting_is_no_lag():
    assert Waiting(0.0).seconds(None, 100.0) == 0


def test_an_age_is_at_most_a_second_too_high():
    waiting = Waiting(0.0)
    for entry_id in range(100):
        waiting.note(entry_id, 10 + entry_id * 0.3)
    for entry_id in range(100):
        true_age = 60 - (10 + entry_id * 0.3)
        assert true_age <= waiting.seconds(entry_id, 60.0) <= true_age + 1.01


def test_what_was_there_at_opening_waits_since_then():
    waiting = Waiting(5.0)
    waiting.note(50, 20.0)
    assert waiting.seconds(3, 25.0) == 20
    assert waiting.seconds(50, 25.0) == 5


def test_a_long_outage_takes_bounded_memory_and_never_looks_short():
    waiting = Waiting(0.0)
    for second in range(1, 50_000):
        waiting.note(second, float(second))
    assert len(waiting._marks) <= 4_096
    assert waiting.seconds(25_000, 50_000.0) >= 25_000
    assert waiting.seconds(49_990, 50_000.0) <= 12
