"""The last seconds of each replica: whose GPUs are known, all of one listed model, and not contradicted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collector.efficiency.meter import WINDOW_US, EfficiencyMeter
from collector.efficiency.ratios import ModelShape
from telemetry.samples import EngineSample, GpuSample

SECOND = 1_000_000
SHAPE = ModelShape(parameters=8_000_000_000, active_parameters=8_000_000_000)
ENGINE = EngineSample(
    at_us=0,
    replica="n:8000",
    host="n",
    engine="vllm",
    model="m",
    requests_running=10,
    prompt_tokens_total=0,
    generation_tokens_total=0,
)
GPU = GpuSample(at_us=0, gpu_uuid="GPU-a", host="n", gpu_model="NVIDIA H100 80GB HBM3")


@pytest.fixture
def measured():
    """A meter that has seen so many seconds at 1,000 tokens a second; 10 of them are kept apart by steps."""

    def make(seconds=10, gpus=("GPU-a",), models=None, samples=(GPU,), per_second=1_000):
        meter = EfficiencyMeter({"m": SHAPE} if models is None else models, lambda replica: gpus)
        meter.observe(samples)
        for at in range(seconds + 1):
            meter.observe([replace(ENGINE, at_us=at * SECOND, generation_tokens_total=at * per_second)])
        return meter

    return make


def mbu(meter):
    return {replica: share.mbu_ratio for replica, share in meter.found().items()}


def test_a_replica_on_a_listed_gpu_is_measured(measured):
    assert mbu(measured()) == {"n:8000": pytest.approx(100 * 16e9 / 3.35e12)}


@pytest.mark.parametrize(
    "given",
    [
        {"gpus": ()},
        {"gpus": ("GPU-unknown",)},
        {"gpus": ("GPU-a", "GPU-b"), "samples": (GPU, replace(GPU, gpu_uuid="GPU-b", gpu_model="NVIDIA L4"))},
        {"samples": (replace(GPU, gpu_model="NVIDIA Unheard Of"),)},
        {"models": {}},
    ],
    ids=["unplaced", "never read", "two kinds", "not listed", "unknown model"],
)
def test_what_cannot_be_known_is_left_out(measured, given):
    assert measured(**given).found() == {}


def test_only_the_last_seconds_count(measured):
    meter = measured(seconds=60, per_second=2_000)
    for at in range(61, 61 + WINDOW_US // SECOND + 1):
        meter.observe([replace(ENGINE, at_us=at * SECOND, generation_tokens_total=120_000)])
    assert mbu(meter) == {"n:8000": pytest.approx(0.0, abs=0.05)}


def test_a_replica_that_was_down_begins_anew(measured):
    meter = measured()
    meter.observe([replace(ENGINE, at_us=11 * SECOND, up=False)])
    assert meter.found() == {}


@pytest.mark.parametrize(
    ("dram", "doubt"),
    [(0.1, {"n:8000": True}), (0.47, {"n:8000": False}), (0.9, {"n:8000": False}), (None, {})],
)
def test_an_mbu_that_the_memory_did_not_see_is_doubted(measured, dram, doubt):
    meter = measured(samples=(replace(GPU, dram_activity_ratio=dram),))
    assert meter.doubts(meter.found()) == doubt


def test_replicas_are_bounded(monkeypatch):
    monkeypatch.setattr("collector.efficiency.meter.MAX_REPLICAS", 3)
    meter = EfficiencyMeter({"m": SHAPE}, lambda replica: ("GPU-a",))
    meter.observe([GPU])
    for at in range(2):
        meter.observe([replace(ENGINE, replica=f"n:{port}", at_us=at * SECOND) for port in range(9)])
    assert len(meter.found()) == 3
