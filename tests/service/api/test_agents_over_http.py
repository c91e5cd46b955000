"""Agents as they were heard, and GPUs until they are retired."""

from __future__ import annotations

import time

from service.store.fleet import ExpectedGpu
from telemetry.events import Event, EventKind
from telemetry.wire import BatchHeader, encode


def agents(served):
    answer = served.call("GET", "/api/v1/agents", token=served.token("read"))
    return {agent["name"]: agent for agent in answer.json()}


def test_an_agent_is_listed_with_its_clock_as_soon_as_it_is_heard(served, batch):
    ahead_us = time.time_ns() // 1_000 + 90_000_000
    token = served.token("agent", "ahead")
    served.post(batch(header={"sealed_at_us": ahead_us, "host": "h9"}), token=token)
    told = agents(served)["ahead"]
    assert (told["host"], told["stopped"]) == ("h9", False)
    assert 80_000_000 < told["clock_offset_us"] <= 90_000_000


def test_an_agent_that_was_stopped_is_listed_as_such(served, batch):
    now_us, token = time.time_ns() // 1_000, served.token("agent", "leaving")
    served.post(batch(header={"sealed_at_us": now_us - 1}), token=token)
    assert not agents(served)["leaving"]["stopped"]
    last = Event(at_us=now_us, kind=EventKind.AGENT_STOP, host="h")
    served.post(
        encode(BatchHeader(boot="b", seq=10**6, sealed_at_us=now_us, host="h"), {"events": [last]}),
        token=token,
    )
    assert agents(served)["leaving"]["stopped"]


def test_a_gpu_is_expected_until_it_is_retired(served):
    gpu = ExpectedGpu(gpu_uuid="host/gpu-7", host="h", gpu_model=None, since_us=1)
    with served.state() as state:
        state.fleet.expect([gpu])
    read = served.token("read")
    assert gpu.gpu_uuid in [
        each["gpu_uuid"] for each in served.call("GET", "/api/v1/gpus", token=read).json()
    ]
    assert served.call("DELETE", f"/api/v1/gpus/{gpu.gpu_uuid}", token=served.admin).status_code == 204
    assert served.call("DELETE", f"/api/v1/gpus/{gpu.gpu_uuid}", token=served.admin).status_code == 404
    assert gpu.gpu_uuid not in [
        each["gpu_uuid"] for each in served.call("GET", "/api/v1/gpus", token=read).json()
    ]
