"""The false alarms that public rules raise: each must stay silent here (reference, section 1.2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anomalies.detect import detect
from telemetry.frame import Frame
from telemetry.identity import Vantage
from telemetry.samples import ReplicaState

IDLE_GPU = {
    "sm_activity_ratio": 0.0,
    "tensor_activity_ratio": 0.0,
    "kernel_busy_ratio": 0.0,
    "power_watts": 60.0,
}


def test_t1_idle_between_bursts(fleet):
    bursts = ([8] * 10 + [0] * 50) * 2
    made = fleet().replica(running=bursts, waiting=0, kv=0.1, tokens=[40 * r for r in bursts]).gpu(**IDLE_GPU)
    assert made.classes() == []


def test_t2_no_traffic_or_health_checks_only(fleet):
    nothing = fleet().replica(running=0, waiting=0, kv=0.0, tokens=0).gpu(**IDLE_GPU)
    probes = ([1] + [0] * 14) * 8
    checked = fleet().replica(running=probes, waiting=0, kv=0.0, tokens=probes).gpu(**IDLE_GPU)
    assert nothing.classes() == checked.classes() == []


@pytest.mark.parametrize("state", [ReplicaState.DRAINING, ReplicaState.PAUSED, ReplicaState.STARTING])
def test_t3_t4_draining_paused_and_loading(fleet, busy, wedged, state):
    alone = fleet().replica(**{**wedged, "state": state}).gpu(**IDLE_GPU)
    beside = fleet().replica("a", **{**busy, "waiting": 9})
    beside.replica("b", running=0, waiting=0, kv=0.0, tokens=0, state=state)
    assert alone.classes() == beside.classes() == []


def test_t5_a_profiling_counter_that_froze_at_zero(fleet, busy):
    frozen = (
        fleet().replica(**busy).gpu(sm_activity_ratio=0.0, tensor_activity_ratio=0.0, kernel_busy_ratio=1.0)
    )
    assert frozen.classes() == []


def test_t5_engine_gauges_that_froze_while_the_gpu_works(fleet):
    frozen = fleet().replica(running=8, waiting=0, kv=0.4, tokens=[300] * 30 + [0] * 90)
    frozen.gpu(sm_activity_ratio=0.9, tensor_activity_ratio=0.5, dram_activity_ratio=0.6)
    assert frozen.classes() == []


def test_t6_samples_that_stop_neither_fire_nor_clear(fleet, wedged):
    gone = fleet().replica(skip=range(63, 120), **wedged)
    detection = detect(gone.frame())
    assert detection.findings == () and ("A1", "a:8000") not in detection.cleared


def test_t6_an_engine_that_stops_answering_is_not_well(fleet, wedged):
    gone = fleet().replica(**{**wedged, "up": [True] * 80 + [False] * 40})
    assert detect(gone.frame(first=85)).cleared.get(("A1", "a:8000")) is None


def test_t10_a_deep_queue_by_design(fleet):
    batch = fleet().replica(pool="offline", running=256, waiting=500, kv=0.96, tokens=9_000)
    assert batch.classes(offline_pools={"offline"}) == [] and batch.classes() == ["capacity"]


def test_t11_a_sample_taken_between_two_steps(fleet, busy):
    running, waiting, tokens = [8] * 120, [0] * 120, [300] * 120
    for second in range(5, 120, 10):
        running[second], waiting[second], tokens[second] = 0, 6, 0
    assert (
        fleet().replica(**{**busy, "running": running, "waiting": waiting, "tokens": tokens}).classes() == []
    )


def test_t12_a_scrape_gap(fleet, busy):
    assert fleet().replica(skip=range(20, 110), **busy).classes() == []


def test_t12_two_bad_samples_with_a_long_gap_between_prove_nothing(fleet, wedged):
    assert fleet().replica(skip=[*range(61, 118)], **wedged).classes() == []


def test_t12_a_counter_that_begins_again(fleet, busy):
    made = fleet().replica(**busy)
    later = [replace(s, generation_tokens_total=at * 300) for at, s in enumerate(made.samples[60:])]
    made.samples = [*made.samples[:60], *later]
    frame = made.frame()
    assert made.classes() == [] and np.all(frame.progress.values >= 0)


def test_a_prefill_of_a_minute_and_a_half_is_not_a_hang(fleet):
    cache = np.linspace(0.1, 0.8, 120)
    vllm = fleet().replica(running=1, waiting=0, kv=cache, tokens=[9] * 10 + [0] * 110, prompts=0)
    counting = fleet().replica(running=1, waiting=3, kv=0.4, tokens=[9] * 10 + [0] * 110, prompts=4_000)
    working = fleet().replica(running=1, waiting=0, kv=0.4, tokens=[9] * 10 + [0] * 110, prompts=0)
    working.gpu(tensor_activity_ratio=0.6, dram_activity_ratio=0.3)
    assert vllm.classes() == counting.classes() == working.classes() == []


@pytest.mark.parametrize("missing", ["tokens", "running", "waiting"])
def test_progress_or_demand_that_cannot_be_known_is_never_a_stall(fleet, wedged, missing):
    blind = {**wedged, missing: None}
    assert fleet().replica(**blind).classes() == []


def test_long_answers_without_a_token_counter_are_not_a_hang(fleet):
    decoding = np.linspace(0.2, 0.3, 120)
    assert (
        fleet().replica(running=3, waiting=0, kv=decoding, tokens=None, ttfts=[1] * 5 + [0] * 115).classes()
        == []
    )


def test_without_a_token_counter_and_without_a_cache_nothing_is_known_of_a_running_batch(fleet):
    assert fleet().replica(running=3, waiting=0, tokens=None, ttfts=[1] * 5 + [0] * 115).classes() == []


def test_a_routers_view_is_never_the_replicas_own(fleet, busy, wedged):
    made = fleet().replica("a", **busy).replica("a", vantage=Vantage.EDGE, **wedged)
    made.replica("router", vantage=Vantage.EDGE, **wedged)
    assert made.classes() == [] and made.frame().replicas == ("a",)


def test_a_replica_that_holds_requests_at_the_router_is_not_empty(fleet, busy):
    made = fleet().replica("a", **{**busy, "waiting": 7})
    made.replica("b", running=0, waiting=0, kv=0.0, tokens=0)
    made.replica("b", vantage=Vantage.EDGE, running=4, waiting=0)
    assert made.classes() == []


def test_nothing_at_all_is_nothing(fleet):
    assert fleet().frame().replicas == () and fleet().classes() == []
    assert Frame.empty("engine_samples").rows == 0
