"""What each fault of the catalogue looks like from outside."""

from __future__ import annotations

import pytest

from simulator.errors import FaultError
from simulator.faults import Fault, FaultKind
from simulator.world import World, simulate
from telemetry.events import EventKind
from telemetry.requests import Status
from telemetry.units import MICROS_PER_SECOND as S


@pytest.fixture
def steady(arrival):
    """Return 30 s of arrivals, one each 20 ms."""
    return [arrival(number, at_us=number * 20_000, prompt=20, output=20) for number in range(1500)]


def _fault(kind, start=10, end=20, **target):
    return Fault(kind=kind, start_us=start * S, end_us=end * S, **target)


def _during(rows, start, end, replica="sim-host:9000"):
    return [row for row in rows if start * S <= row.at_us <= end * S and row.replica == replica]


def test_a_wedge_shows_waiting_without_running_without_tokens_on_an_idle_gpu(make_fleet, steady):
    run = simulate(make_fleet(), steady, until_us=40 * S, faults=[_fault(FaultKind.WEDGE, replica="only-0")])
    rows = _during(run.engines, 12, 20)
    assert all(row.up and row.requests_running == 0 and row.requests_waiting > 0 for row in rows[:-1])
    assert len({(row.generation_tokens_total, row.prompt_tokens_total) for row in rows[:-1]}) == 1
    assert all(row.kv_usage_ratio == 0 for row in rows[:-1])
    gpu = [row for row in run.gpus if 12 * S <= row.at_us < 20 * S]
    assert {row.kernel_busy_ratio for row in gpu} == {0.0}


def test_after_a_wedge_everything_that_waited_is_served(make_fleet, steady):
    run = simulate(make_fleet(), steady, until_us=90 * S, faults=[_fault(FaultKind.WEDGE, replica="only-0")])
    assert [record.status for record in run.requests] == [Status.OK] * len(steady)


def test_a_hang_freezes_running_requests_and_their_tokens(make_fleet, steady):
    run = simulate(make_fleet(), steady, until_us=40 * S, faults=[_fault(FaultKind.HANG, replica="only-0")])
    rows = _during(run.engines, 10, 19)
    assert all(row.requests_running > 0 for row in rows)
    frozen = {(row.requests_running, row.generation_tokens_total, row.kv_usage_ratio) for row in rows}
    assert len(frozen) == 1
    waiting = [row.requests_waiting for row in rows]
    assert waiting == sorted(waiting)
    assert waiting[-1] > waiting[0]
    assert {row.kernel_busy_ratio for row in run.gpus if 11 * S <= row.at_us <= 19 * S} == {0.0}


def test_a_leak_fills_the_cache_until_nothing_is_admitted_and_ends_with_the_fault(make_fleet, steady):
    run = simulate(
        make_fleet(), steady, until_us=40 * S, faults=[_fault(FaultKind.KV_LEAK, replica="only-0")]
    )
    rows = _during(run.engines, 13, 19)
    assert all(
        row.kv_usage_ratio >= 0.85 and row.requests_waiting > 0 and row.requests_running == 0 for row in rows
    )
    assert len({row.generation_tokens_total for row in rows}) == 1
    assert _during(run.engines, 40, 40)[0].kv_usage_ratio == 0


def test_an_imbalance_leaves_one_replica_idle_while_the_other_queues(make_fleet, steady):
    fault = _fault(FaultKind.IMBALANCE, pool="only", replica="only-1")
    run = simulate(make_fleet(2, max_sequences=1), steady, until_us=20 * S, faults=[fault])
    assert all(row.requests_waiting > 0 for row in _during(run.engines, 12, 19, "sim-host:9001"))
    idle = _during(run.engines, 12, 19)
    assert {row.requests_running + row.requests_waiting for row in idle} == {0}


def test_a_lost_gpu_keeps_its_identity_and_nothing_else(make_fleet, steady):
    run = simulate(
        make_fleet(), steady, until_us=30 * S, faults=[_fault(FaultKind.GPU_LOST, replica="only-0")]
    )
    lost = [row for row in run.gpus if 10 * S <= row.at_us < 20 * S]
    assert all(
        not row.up and row.gpu_uuid and row.power_watts is None and row.kernel_busy_ratio is None
        for row in lost
    )
    assert [(event.kind, event.at_us // S) for event in run.events] == [
        (EventKind.GPU_LOST, 10),
        (EventKind.GPU_BACK, 20),
    ]


def test_a_restart_fails_what_was_held_and_resets_the_counters(make_fleet, steady):
    run = simulate(
        make_fleet(), steady, until_us=40 * S, faults=[_fault(FaultKind.RESTART, replica="only-0")]
    )
    failed = [record for record in run.requests if record.status is Status.ERROR]
    assert {record.error_class for record in failed} == {"engine_restart", "unavailable"}
    assert [row.up for row in _during(run.engines, 10, 19)] == [False] * 10
    before, after = _during(run.engines, 9, 9)[0], _during(run.engines, 21, 21)[0]
    assert after.generation_tokens_total < before.generation_tokens_total
    assert after.epoch_us == 20 * S
    assert {event.kind for event in run.events} == {EventKind.ENGINE_RESTART, EventKind.ENGINE_START}


def test_two_faults_on_one_replica_hold_until_both_have_ended(make_fleet, steady):
    faults = [
        _fault(FaultKind.HANG, 10, 14, replica="only-0"),
        _fault(FaultKind.GPU_LOST, 12, 18, replica="only-0"),
    ]
    run = simulate(make_fleet(), steady, until_us=20 * S, faults=faults)
    assert len({row.generation_tokens_total for row in _during(run.engines, 11, 17)}) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": FaultKind.WEDGE, "replica": "nobody"},
        {"kind": FaultKind.IMBALANCE, "pool": "nowhere"},
        {"kind": FaultKind.GPU_LOST, "replica": "only-0", "gpu": 7},
    ],
)
def test_a_fault_without_a_target_is_refused_before_the_run(make_fleet, fault):
    with pytest.raises(FaultError, match=r"none of that name|no pool|has 1 GPUs"):
        World(make_fleet(), faults=[Fault(start_us=0, end_us=1, **fault)])


@pytest.mark.parametrize(
    "fault", [{"kind": FaultKind.WEDGE}, {"kind": FaultKind.OVERLOAD, "replica": "only-0"}]
)
def test_a_fault_on_nothing_is_refused(fault):
    with pytest.raises(FaultError, match="needs a"):
        Fault(start_us=0, end_us=1, **fault)
