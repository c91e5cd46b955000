"""The three recorded real runs, against recounts of their files (acceptance B and E)."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from cost.attribution import Window, attribute
from cost.classes import InstanceState, Scope
from cost.fleet import Gpu, Holding, Instance, StateSpan
from cost.ledger import by_gpu
from cost.prices import PriceBook, parse
from cost.requests import Requests
from service.recordings.read import read
from telemetry.frame import Frame
from telemetry.identity import Vantage
from telemetry.requests import Status

pytestmark = pytest.mark.shared

RUNS = ("roundrobin", "kvaware", "loadaware-b0.5")


def met_both_limits(record):
    """TTFT within 2 s and TPOT within 100 ms, in integers, inclusive."""
    return (
        record.status is Status.OK
        and record.ttft_us <= 2_000_000
        and record.e2e_us - record.ttft_us <= 100_000 * (record.output_tokens - 1)
    )


@pytest.mark.parametrize(("run", "failures"), list(zip(RUNS, (5, 54, 35), strict=True)))
def test_failures_are_as_recorded(runs, run, failures):
    failed = [record for record in runs[run].requests if record.status is not Status.OK]
    assert (len(runs[run].requests), len(failed)) == (10_000, failures)
    assert {(record.http_status, record.error_class, record.ttft_us) for record in failed} == {
        (500, "http_500", None)
    }


@pytest.mark.parametrize(("run", "good"), list(zip(RUNS, (1_710, 8_186, 9_542), strict=True)))
def test_joint_goodput_is_exact(runs, run, good):
    assert sum(map(met_both_limits, runs[run].requests)) == good


def test_time_to_first_token_is_as_recorded(runs):
    ttft = np.array([record.ttft_us for record in runs["roundrobin"].requests if record.ttft_us is not None])
    assert np.percentile(ttft / 1e6, [50, 95, 99]) == pytest.approx([0.97, 11.8, 14.8], rel=0.01)


def test_queue_and_cache_pressure_are_as_recorded(runs):
    own = [sample for sample in runs["roundrobin"].engine_samples if sample.vantage is Vantage.ENGINE]
    replicas = sorted({sample.replica for sample in own})
    waited = [sum(s.replica == name and s.requests_waiting > 0 for s in own) for name in replicas]
    peaks = [max(s.kv_usage_ratio for s in own if s.replica == name) for name in replicas]
    assert sorted(waited) == [26, 136]
    assert sorted(peaks) == pytest.approx([0.978, 0.998], abs=0.001)


def test_routers_view_is_never_the_replicas_own(runs):
    samples = runs["kvaware"].engine_samples
    seen = {(sample.vantage, sample.replica) for sample in samples}
    assert {vantage for vantage, _ in seen} == {Vantage.ENGINE, Vantage.EDGE}
    assert len({replica for _, replica in seen}) == 2  # both views name the same two replicas
    last = {s.vantage: s.requests_running for s in samples if s.replica == "10.130.0.169:8000"}
    assert last == {Vantage.ENGINE: 0, Vantage.EDGE: 12}


def test_token_counters_that_were_not_recorded_stay_unknown(runs):
    for sample in runs["roundrobin"].engine_samples:
        assert sample.generation_tokens_total is None
        assert (sample.ttft_count_total is None) == (sample.vantage is Vantage.EDGE)


def test_gpus_without_uuids_are_marked(runs):
    gpus = {sample.gpu_uuid for sample in runs["roundrobin"].gpu_samples}
    assert gpus == {"gapu-2-worker0/gpu-0", "gapu-2-worker1/gpu-0"}
    assert any("no UUIDs" in note for note in runs["roundrobin"].notes)


def test_gpu_means_are_as_recorded(runs):
    busy, power = (
        sorted(
            np.mean([getattr(s, column) for s in runs["roundrobin"].gpu_samples if s.gpu_uuid == gpu])
            for gpu in ("gapu-2-worker0/gpu-0", "gapu-2-worker1/gpu-0")
        )
        for column in ("kernel_busy_ratio", "power_watts")
    )
    assert busy == pytest.approx([0.70, 0.94], abs=0.01)
    assert power == pytest.approx([107, 115], abs=1)


def test_only_model_of_the_engines_is_the_requests_model(runs):
    assert {record.model for record in runs["roundrobin"].requests} == {"Qwen/Qwen2.5-3B-Instruct"}


def test_reading_twice_gives_the_same_records(runs, shared):
    (path,) = (shared / "traces/nolicence").glob("*-roundrobin")
    began = time.process_time()
    again = read(path)
    took = time.process_time() - began
    assert again == runs["roundrobin"]
    assert len({record.request_id for record in again.requests}) == 10_000
    assert took < 2, f"{took:.1f} s"


@pytest.mark.parametrize("run", RUNS)
def test_ledger_sums_to_gpus_times_span_times_price(runs, run):
    recording = runs[run]
    start, end = recording.window_us
    gpus = [Gpu(uuid) for uuid in sorted({sample.gpu_uuid for sample in recording.gpu_samples})]
    pool = Instance(
        name="pool",
        holdings=tuple(Holding(gpu) for gpu in gpus),
        states=(StateSpan(start, end, InstanceState.READY),),
        scope=Scope.POOL,
    )
    frame = Frame.of("requests", recording.requests)
    missed = np.array([not met_both_limits(record) for record in recording.requests])
    began = time.process_time()
    ledger = attribute(
        [pool], Requests.of(frame, missed), prices=PriceBook((parse("A10=1.10"),)), window=Window(start, end)
    )
    took = time.process_time() - began
    each = math.floor((end - start) * 1_100_000_000 / 3_600_000_000)
    assert by_gpu(ledger.rows) == {gpu.uuid: each for gpu in gpus}
    assert sum("the only price given" in sentence for sentence in ledger.assumptions) == 2
    assert took < 1, f"{took:.2f} s"
    if run == "roundrobin":
        assert ledger.total() == 597_055_554
