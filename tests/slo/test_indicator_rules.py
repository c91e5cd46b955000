"""Each edge rule of each indicator: good, bad, or not counted."""

from __future__ import annotations

import pytest

from slo.errors import ObjectiveError
from slo.indicators import indicators
from slo.indicators.availability import Availability
from slo.indicators.e2e import EndToEnd
from slo.indicators.goodput import Goodput
from slo.indicators.queue import QueueTime
from slo.indicators.tpot import Tpot
from slo.indicators.ttft import Ttft
from telemetry.columns import TABLE
from telemetry.identity import Vantage
from telemetry.requests import Status

OK, ERROR, ABORTED = {}, {"status": Status.ERROR}, {"status": Status.ABORTED}
TTFT, TPOT = Ttft(2_000_000), Tpot(100_000)
BOTH = Goodput(ttft_us=2_000_000, tpot_us=100_000)
PATIENT = Availability(patience_us=3_000_000)
GOOD, BAD, UNCOUNTED = "good", "bad", "not counted"


def at_pace(tokens, gap_us=100_000, ttft_us=1_000_000, extra_us=0):
    """Return a request whose tokens came `gap_us` apart, and ended `extra_us` later."""
    return {
        "ttft_us": ttft_us,
        "output_tokens": tokens,
        "e2e_us": ttft_us + gap_us * max(tokens - 1, 0) + extra_us,
    }


@pytest.mark.parametrize(
    ("indicator", "request_", "verdict"),
    [
        # Availability
        (Availability(), OK, GOOD),
        (Availability(), ERROR, BAD),
        (Availability(), ABORTED, UNCOUNTED),
        (Availability(), ABORTED | {"e2e_us": 10**9}, UNCOUNTED),
        (Availability(), ERROR | {"http_status": 400}, UNCOUNTED),
        (Availability(), ERROR | {"http_status": 404}, UNCOUNTED),
        (Availability(), ERROR | {"http_status": 408}, BAD),
        (Availability(), ERROR | {"http_status": 429}, BAD),
        (Availability(), ERROR | {"http_status": 500}, BAD),
        (Availability(), {"synthetic": True}, UNCOUNTED),
        (Availability(), ERROR | {"synthetic": True}, UNCOUNTED),
        (PATIENT, ABORTED | {"e2e_us": 3_000_000}, UNCOUNTED),
        (PATIENT, ABORTED | {"e2e_us": 3_000_001}, BAD),
        (PATIENT, ABORTED | {"e2e_us": 3_000_001, "ttft_us": 1}, UNCOUNTED),
        (PATIENT, ABORTED | {"e2e_us": 3_000_001, "vantage": Vantage.ENGINE}, UNCOUNTED),
        (PATIENT, ABORTED | {"e2e_us": 3_000_001, "stream": False}, UNCOUNTED),
        # TTFT
        (TTFT, {"ttft_us": 2_000_000}, GOOD),
        (TTFT, {"ttft_us": 2_000_001}, BAD),
        (TTFT, {"ttft_us": 0}, GOOD),
        (TTFT, {"ttft_us": None}, UNCOUNTED),
        (TTFT, ERROR | {"ttft_us": 1}, BAD),
        (TTFT, ERROR, BAD),
        (TTFT, ABORTED | {"ttft_us": 2_000_000}, GOOD),
        (TTFT, ABORTED | {"ttft_us": 2_000_001}, BAD),
        (TTFT, ABORTED | {"e2e_us": 2_000_000}, UNCOUNTED),
        (TTFT, ABORTED | {"e2e_us": 2_000_001}, BAD),
        (TTFT, {"ttft_us": 1, "synthetic": True}, UNCOUNTED),
        # TPOT
        (TPOT, at_pace(64), GOOD),
        (TPOT, at_pace(64, extra_us=1), BAD),
        (TPOT, at_pace(2, extra_us=1), BAD),
        (TPOT, at_pace(1, extra_us=10**9), GOOD),
        (TPOT, at_pace(0, extra_us=10**9), GOOD),
        (TPOT, {"output_tokens": 1}, GOOD),
        (TPOT, {"output_tokens": 64}, UNCOUNTED),
        (TPOT, {"ttft_us": 1_000_000}, UNCOUNTED),
        (TPOT, ERROR | at_pace(64), BAD),
        (TPOT, ABORTED | at_pace(64), UNCOUNTED),
        (TPOT, ABORTED | at_pace(64, extra_us=100_000), UNCOUNTED),
        (TPOT, ABORTED | at_pace(64, extra_us=100_001), BAD),
        # End to end
        (EndToEnd(10_000_000), {"e2e_us": 10_000_000}, GOOD),
        (EndToEnd(10_000_000), {"e2e_us": 10_000_001}, BAD),
        (EndToEnd(10_000_000), ERROR | {"e2e_us": 1}, BAD),
        (EndToEnd(10_000_000), ABORTED | {"e2e_us": 1}, UNCOUNTED),
        (EndToEnd(10_000_000), ABORTED | {"e2e_us": 10_000_001}, BAD),
        # Queue time
        (QueueTime(500_000), {"queue_us": 500_000}, GOOD),
        (QueueTime(500_000), {"queue_us": 500_001}, BAD),
        (QueueTime(500_000), {"queue_us": None}, UNCOUNTED),
        (QueueTime(500_000), ABORTED | {"queue_us": 500_001}, BAD),
        # Joint goodput
        (BOTH, at_pace(64, ttft_us=2_000_000), GOOD),
        (BOTH, at_pace(64, ttft_us=2_000_001), BAD),
        (BOTH, at_pace(64, extra_us=1), BAD),
        (BOTH, at_pace(1), GOOD),
        (BOTH, {"ttft_us": None, "output_tokens": 1}, UNCOUNTED),
        (BOTH, {"ttft_us": 2_000_001, "output_tokens": None}, BAD),
        (BOTH, ERROR | at_pace(64), BAD),
        (BOTH, ABORTED | at_pace(64), UNCOUNTED),
        (BOTH, ABORTED | {"e2e_us": 2_000_001}, BAD),
    ],
)
def test_edge_rule(requests_frame, indicator, request_, verdict):
    verdicts = indicator.judge(requests_frame(request_))
    seen = GOOD if verdicts.good[0] else BAD if verdicts.counted[0] else UNCOUNTED
    assert seen == verdict


@pytest.mark.parametrize(
    ("indicator", "request_", "certain"),
    [
        (TTFT, {"at_us": 2_000_000}, False),
        (TTFT, {"at_us": 2_000_001}, True),
        (TTFT, {"at_us": 10**9, "ttft_us": 2_000_000}, False),
        (TTFT, {"at_us": 10**9, "ttft_us": 2_000_001}, True),
        (TPOT, {"at_us": 10**9, "ttft_us": 1, "output_tokens": 2}, False),
        (EndToEnd(2_000_000), {"at_us": 2_000_000, "ttft_us": 1}, False),
        (EndToEnd(2_000_000), {"at_us": 2_000_001, "ttft_us": 1}, True),
        (Availability(), {"at_us": 10**9}, False),
        (PATIENT, {"at_us": 3_000_001}, True),
        (PATIENT, {"at_us": 3_000_001, "ttft_us": 1}, False),
        (QueueTime(1), {"at_us": 10**9}, False),
        (BOTH, {"at_us": 2_000_001}, True),
        (BOTH, {"at_us": 2_000_000}, False),
    ],
)
def test_in_flight_is_bad_only_when_certain(in_flight_frame, indicator, request_, certain):
    assert indicator.overdue(in_flight_frame(request_)).tolist() == [certain]


@pytest.mark.parametrize("kind", sorted(indicators()))
def test_every_indicator_declares_columns_that_exist(kind):
    indicator = indicators()[kind]
    assert indicator.kind == kind
    assert {column.name for column in TABLE[indicator.table].columns} >= set(indicator.columns)


@pytest.mark.parametrize("indicator", [Availability(), PATIENT, TTFT, TPOT, EndToEnd(1), QueueTime(1), BOTH])
def test_an_indicator_reads_no_column_it_does_not_declare(requests_frame, indicator):
    whole = requests_frame(OK, ERROR, ABORTED)
    declared = {name: whole.columns[name] for name in indicator.columns}
    indicator.judge(type(whole)("requests", whole.rows, declared))


def test_no_requests_give_no_verdicts(requests_frame):
    for indicator in (PATIENT, TTFT, TPOT, BOTH):
        assert indicator.judge(requests_frame()).counted.tolist() == []


@pytest.mark.parametrize("make", [Ttft, Tpot, EndToEnd, QueueTime, lambda us: Goodput(ttft_us=us)])
def test_a_limit_of_nothing_or_of_days_is_refused(make):
    for limit_us in (0, -1, 2 * 86_400_000_000):
        with pytest.raises(ObjectiveError, match="longer than nothing and at most a day"):
            make(limit_us)


def test_goodput_without_a_limit_is_refused():
    with pytest.raises(ObjectiveError, match="without a limit"):
        Goodput()
