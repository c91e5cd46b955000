"""The whole Azure conversation trace through the service's own path: stored once, counted right."""

from __future__ import annotations

import pytest

REQUESTS = 19_366


@pytest.mark.shared
@pytest.mark.xdist_group("processes")
@pytest.mark.timeout(240)
def test_every_request_of_the_trace_is_stored_once_and_counted_as_a_recount_counts_it(benchmark, shared):
    trace = shared / "traces/azure-llm-2023/conv.csv.gz"
    figures = benchmark("whole_trace.py", "--trace", str(trace), seconds=200)
    assert (figures["arrivals"], figures["stored"], figures["stored_once"]) == (REQUESTS, REQUESTS, REQUESTS)
    assert figures["objectives_with_a_wrong_count"] == []
    assert figures["good"]["availability"] == REQUESTS
    assert 0 < figures["good"]["goodput"] < figures["good"]["ttft"] < REQUESTS
