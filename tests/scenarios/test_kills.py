"""Kill -9 of real processes under load: short runs of the benchmarks that do it a hundred times."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.timeout(240)]


def test_the_service_killed_under_load_loses_and_repeats_no_row_and_no_count(benchmark):
    figures = benchmark("service_kills.py", "--kills", "5", seconds=200)
    assert figures["kills"] == 5
    assert (figures["rows_lost"], figures["rows_duplicated"]) == (0, 0)
    assert figures["objectives_with_a_wrong_count"] == []
    assert figures["of_them_while_in_flight"]["ttft"] > 0, "no hang was counted while it hung"


@pytest.mark.shared
def test_a_trace_replayed_while_agent_and_service_are_killed_is_stored_once(benchmark, shared):
    trace = shared / "traces/azure-llm-2023/conv.csv.gz"
    # With this seed the agent dies while the service is away: batches lie sealed in its spool.
    options = ("--seconds", "25", "--kills", "1", "--seed", "128", "--trace", str(trace))
    figures = benchmark("azure_replay.py", *options, seconds=200)
    assert figures["kills"] == {"agent": 1, "service": 1}
    assert figures["sent"] == figures["stored_once"] + figures["missing"] == 42
    assert figures["missing"] <= figures["ended_unsealed_at_a_kill_of_the_agent"]
    assert (figures["stored_more_than_once"], figures["batches_lost"]) == (0, 0)
    assert figures["cut_by_kills"] == []
    assert figures["objectives_with_a_wrong_count"] == []


def test_a_wedge_and_its_end_are_told_of_though_the_service_dies_between_decision_and_delivery(benchmark):
    figures = benchmark("wedge_kills.py", "--measure", "0", "--kills", "3", seconds=200)["killed"]
    assert figures["kills_between_decision_and_delivery"] == 3
    assert figures["wedges"] == figures["wedges"] - figures["wedges_not_told_of"] > 0
    assert (figures["lost"], figures["invented"], figures["not_resolved"], figures["nameless"]) == (
        0,
        0,
        0,
        0,
    )
