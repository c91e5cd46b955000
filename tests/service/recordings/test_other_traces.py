from __future__ import annotations

import pytest

from service.recordings.read import read
from telemetry.requests import Status

pytestmark = pytest.mark.shared


def test_rows_without_instants_are_read_and_said_so(shared):
    recording = read(shared / "traces/llmperf/requests.jsonl.gz")
    failed = [record for record in recording.requests if record.status is Status.ERROR]
    assert (len(recording.requests), len(failed)) == (1_800, 391)
    assert sum(record.http_status == 429 for record in failed) == 390
    assert (recording.timed, recording.window_us) == (False, None)
    assert any("no instants" in note for note in recording.notes)


def test_rows_of_failures_without_timings_measure_nothing(shared):
    recording = read(shared / "traces/llmperf")
    assert all(r.ttft_us is None for r in recording.requests if r.status is Status.ERROR and r.e2e_us == 0)
    assert all(r.ttft_us > 0 for r in recording.requests if r.status is Status.OK)


def test_azure_trace_is_arrivals_without_an_outcome(shared):
    recording = read(shared / "traces/azure-llm-2023/conv.csv.gz")
    first = recording.arrivals[0]
    assert (len(recording.arrivals), len(recording.requests)) == (19_366, 0)
    assert (first.at_us, first.prompt_tokens, first.output_tokens) == (1_700_158_546_680_590, 374, 44)
    assert any("no latency" in note for note in recording.notes)


def test_mooncake_trace_is_arrivals_from_its_start(shared):
    recording = read(shared / "traces/mooncake")
    assert len(recording.arrivals) == 12_031
    assert recording.arrivals[-1].at_us // 1_000_000 == 3_536
