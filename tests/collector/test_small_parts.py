"""The clock, the pauses between attempts, what a column can hold, and configured placements."""

from __future__ import annotations

import time

import pytest

from collector.backoff import Backoff
from collector.clock import HostClock
from collector.fit import fitting
from collector.placement.placements import configured
from collector.settings import EngineTarget, Settings


def test_the_clock_does_not_follow_a_wall_clock_that_was_set_until_it_is_settled(monkeypatch):
    clock = HostClock()
    before = clock.now_us()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600 * 10**9)
    assert clock.now_us() - before < 10_000_000
    assert clock.settle() == pytest.approx(3_600_000_000, abs=100_000)
    assert clock.now_us() - before >= 3_600_000_000
    assert clock.settle() == 0


def test_drift_is_followed_in_silence(monkeypatch):
    clock = HostClock()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 100 * 10**6)
    assert clock.settle() == 0
    assert abs(clock.now_us() - time.time_ns() // 1_000) < 50_000


def test_pauses_double_up_to_their_limit_and_begin_again():
    backoff = Backoff(1.0, 5.0, jitter=False)
    assert [backoff.next() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next() == 1.0


def test_jitter_stays_within_the_limit():
    backoff = Backoff(1.0, 4.0)
    assert all(0.5 <= backoff.next() <= 4.0 for _ in range(100))


@pytest.mark.parametrize(
    ("column", "value", "fits"),
    [
        ("event_reasons", 2**63 - 1, True),
        ("event_reasons", 2**63, False),
        ("finished_total", -1, False),
        ("kv_usage_ratio", 1.0, True),
        ("kv_usage_ratio", 1.01, False),
        ("kv_usage_ratio", float("nan"), False),
        ("power_watts", 700.5, True),
        ("power_watts", float("inf"), False),
        ("remap_pending", False, True),
        ("power_watts", None, True),
        ("model", "x" * 200, True),
        ("model", "x" * 201, False),
        ("model", "a\nb", False),
    ],
)
def test_a_value_that_cannot_be_is_left_out(column, value, fits):
    assert (column in fitting({column: value})) is fits


def test_configured_gpus_are_placed_on_the_ranks_in_order():
    engine = EngineTarget(
        url="http://localhost:8000/metrics",
        pool="chat",
        model="m",
        gpus=("GPU-a", "GPU-b", "GPU-c", "GPU-d"),
        ranks=2,
    )
    placements = configured(Settings(host="node-1", region="eu", engines=(engine,)), 5)
    assert [(one.replica, one.gpu_uuid) for one in placements] == [
        ("node-1:8000", "GPU-a"),
        ("node-1:8000", "GPU-b"),
        ("node-1:8000#1", "GPU-c"),
        ("node-1:8000#1", "GPU-d"),
    ]
    assert {(one.pool, one.model, one.region, one.at_us) for one in placements} == {("chat", "m", "eu", 5)}


def test_an_engine_without_configured_gpus_is_placed_nowhere():
    assert configured(Settings(engines=(EngineTarget(url="http://localhost:8000/metrics"),)), 5) == []
