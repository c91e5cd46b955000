"""A fleet written down by hand, second by second, and the recorded runs read minimally."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from anomalies.detect import detect
from anomalies.frame import ReplicaFrame, build
from telemetry.frame import Frame
from telemetry.identity import Vantage
from telemetry.placement import Placement
from telemetry.samples import EngineSample, GpuSample, ReplicaState

START_US = 1_700_000_000_000_000
SECOND = 1_000_000


@dataclass
class Fleet:
    """Replicas and GPUs over `steps` seconds. A value may be one number or one for each second."""

    steps: int = 120
    step_us: int = SECOND
    samples: list[EngineSample] = field(default_factory=list)
    gpus: list[GpuSample] = field(default_factory=list)
    placed: list[Placement] = field(default_factory=list)

    def at(self, second: int) -> int:
        return START_US + second * self.step_us

    def replica(self, name="a:8000", *, pool="chat", vantage=Vantage.ENGINE, skip=(), **signals):
        """Add a replica. `tokens` is growth per second; None = the engine does not count them."""
        series = {key: self._series(value) for key, value in signals.items()}
        counters = {"tokens": "generation_tokens_total", "preempted": "preemptions_total", "ttfts": "ttft_count_total",
                    "prompts": "prompt_tokens_total"}  # fmt: skip
        plain = {"running": "requests_running", "waiting": "requests_waiting", "kv": "kv_usage_ratio",
                 "capacity": "requests_waiting_capacity", "state": "state", "up": "up"}  # fmt: skip
        totals = dict.fromkeys(counters, 1_000)
        for second in range(self.steps):
            columns = {plain[key]: values[second] for key, values in series.items() if key in plain}
            for key in counters.keys() & series.keys():
                grown = series[key][second]
                totals[key] += grown or 0
                columns[counters[key]] = None if grown is None else totals[key]
            if second not in skip:
                self.samples.append(
                    EngineSample(at_us=self.at(second), replica=name, host="h", engine="vllm", model="m", pool=pool,
                                 vantage=vantage, **{k: v for k, v in columns.items() if v is not None})
                )  # fmt: skip
        return self

    def gpu(self, name="GPU-1", replica="a:8000", **ratios):
        """Add a GPU held by a replica, with constant or per-second readings."""
        self.placed.append(Placement(at_us=START_US, replica=replica, gpu_uuid=name, host="h"))
        series = {key: self._series(value) for key, value in ratios.items()}
        for second in range(self.steps):
            columns = {key: values[second] for key, values in series.items()}
            self.gpus.append(GpuSample(at_us=self.at(second), gpu_uuid=name, host="h", **columns))
        return self

    def _series(self, value):
        return list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value] * self.steps

    def frame(self, *, first=0, last=None, **options) -> ReplicaFrame:
        return build(
            Frame.of("engine_samples", self.samples),
            Frame.of("gpu_samples", self.gpus),
            Frame.of("placements", self.placed),
            from_us=self.at(first),
            to_us=self.at(self.steps if last is None else last),
            step_us=self.step_us,
            **options,
        )

    def classes(self, **options) -> list[str]:
        return [finding.class_id for finding in detect(self.frame(**options)).findings]

    def found(self, **options):
        (finding,) = detect(self.frame(**options)).findings
        return finding


@pytest.fixture
def fleet():
    """Make a fleet: fleet(steps=120)."""
    return Fleet


@pytest.fixture
def busy():
    """Signals of a replica that serves well."""
    return {"running": 8, "waiting": 0, "kv": 0.4, "tokens": 300, "prompts": 100, "state": ReplicaState.READY}


@pytest.fixture
def wedged():
    """Signals of a replica that admits nothing from second 60 on (vllm#45414)."""
    return {
        "running": [8] * 60 + [0] * 60,
        "waiting": [0] * 60 + [6] * 60,
        "kv": [0.4] * 60 + [0.0] * 60,
        "tokens": [300] * 60 + [0] * 60,
        "prompts": [100] * 60 + [0] * 60,
        "state": ReplicaState.READY,
    }


COLUMNS = {
    "vllm_num_requests_running": "requests_running",
    "vllm_num_requests_waiting": "requests_waiting",
    "vllm_kv_cache_usage_perc": "kv_usage_ratio",
    "vllm_num_preemptions_total": "preemptions_total",
    "vllm_time_to_first_token_seconds_count": "ttft_count_total",
    "vllm_request_prefill_time_seconds_count": "finished_total",
}


@pytest.fixture
def recorded(shared):
    """Read the engine rows of a recorded run: recorded("roundrobin") -> (frame, from_us, to_us)."""

    def read(name):
        (folder,) = (shared / "traces/nolicence").glob(f"vllm-2xA10-*-{name}")
        window = json.loads((folder / "run.json").read_text())["window"]
        with gzip.open(folder / "prometheus_query_range.json.gz") as file:
            dump = json.load(file)
        rows: dict[tuple, dict] = {}
        for series, column in COLUMNS.items():
            for each in dump[series]["data"]["result"]:
                labels = each["metric"]
                router = labels["job"] == "router"
                replica = labels["server"].removeprefix("http://") if router else labels["instance"]
                for at, value in each["values"]:
                    key = (replica, Vantage.EDGE if router else Vantage.ENGINE, int(at) * SECOND)
                    number = float(value) if column.endswith("ratio") else int(float(value))
                    rows.setdefault(key, {})[column] = number
        samples = [
            EngineSample(
                at_us=at,
                replica=replica,
                host=replica,
                engine="vllm",
                model="Qwen2.5-3B",
                vantage=vantage,
                **row,
            )
            for (replica, vantage, at), row in rows.items()
        ]
        to_us = int(window["end_ts"] + 5) * SECOND
        return Frame.of("engine_samples", samples), int(window["start_ts"]) * SECOND, to_us

    return read
