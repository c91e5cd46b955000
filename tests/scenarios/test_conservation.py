"""Money is conserved to the last nano-dollar, though the service dies in the middle of billing."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("processes")
@pytest.mark.timeout(240)
def test_the_ledger_is_gpus_times_span_times_price_although_the_biller_was_killed(benchmark):
    figures = benchmark("conservation.py", "--kills", "4", "--minutes", "6", seconds=200)
    assert figures["kills_with_intervals_to_bill"] == 4
    assert figures["ledger_nano"] == figures["gpus_times_span_times_price_nano"] > 0
    assert figures["wrong"] == 0
    assert figures["intervals_of_a_gpu"] == figures["gpus"] * figures["span_seconds"] / 10
    classes = figures["nano_by_class"]
    assert sum(classes.values()) == figures["ledger_nano"]
    assert {"useful", "slo_miss", "idle.ready"} <= classes.keys()
