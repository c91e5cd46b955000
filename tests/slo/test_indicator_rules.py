"""Each edge rule of each indicator: good, bad, or not counted."""

from __future__ import annotations

import random
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.cells import fold, merge
from slo.errors import ObjectiveError
from slo.indicators import indicators
from slo.indicators.availability import Availability
from slo.indicators.cache_hits import CacheHits
from slo.indicators.dependency import DependencyLatency
from slo.indicators.determinism import Determinism
from slo.indicators.e2e import EndToEnd
from slo.indicators.empty_output import EmptyOutput
from slo.indicators.engine_absence import EngineAbsence
from slo.indicators.engine_predicate import EnginePredicate
from slo.indicators.engine_threshold import EngineThreshold
from slo.indicators.goodput import Goodput
from slo.indicators.gpu_absence import GpuAbsence
from slo.indicators.gpu_predicate import GpuPredicate
from slo.indicators.gpu_threshold import GpuThreshold
from slo.indicators.itl import Itl
from slo.indicators.predicate import Predicate
from slo.indicators.queue import QueueTime
from slo.indicators.retries import Retries
from slo.indicators.token_availability import TokenAvailability
from slo.indicators.token_deadlines import TokenDeadlines
from slo.indicators.token_goodput import TokenGoodput
from slo.indicators.tpot import Tpot
from slo.indicators.truncation import Truncation
from slo.indicators.ttft import Ttft
from slo.indicators.ttft_by_prompt import TtftByPrompt
from telemetry.columns import TABLE
from telemetry.frame import Frame
from telemetry.identity import Vantage
from telemetry.requests import Status

OK, ERROR, ABORTED = {}, {"status": Status.ERROR}, {"status": Status.ABORTED}
TTFT, TPOT = Ttft(2_000_000), Tpot(100_000)
BOTH = Goodput(ttft_us=2_000_000, tpot_us=100_000)
PATIENT = Availability(patience_us=3_000_000)
GOOD, BAD, UNCOUNTED = "good", "bad", "not counted"
EACH = (
    PATIENT, BOTH, TTFT, TPOT, EndToEnd(2_000_000), QueueTime(500_000), TokenAvailability(), Truncation(),
    TokenGoodput(ttft_us=2_000_000), TtftByPrompt(1_000_000, 1_000), EmptyOutput(), Retries(), CacheHits(),
    DependencyLatency(300_000), Determinism(), Itl(100_000), TokenDeadlines(1_000_000, 50_000),
    GpuThreshold("power_watts", Decimal(250)), GpuAbsence(), EngineAbsence(),
    EngineThreshold("requests_waiting", Decimal(3)), Predicate("ttft_us < 2000000", "stream"),
    GpuPredicate("power_watts < 0.9 * power_limit_watts"), EnginePredicate("requests_waiting <= requests_running"),
)  # fmt: skip
"""One of every indicator."""


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
        (PATIENT, {"ttft_us": 3_000_000}, GOOD),
        (PATIENT, {"ttft_us": 3_000_001}, BAD),
        (PATIENT, {"ttft_us": 3_000_001, "stream": False}, GOOD),
        (PATIENT, ABORTED | {"ttft_us": 3_000_001}, BAD),
        (Availability(), {"ttft_us": 10**9}, GOOD),
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
        (PATIENT, {"at_us": 9_000_000, "ttft_us": 3_000_001}, True),
        (QueueTime(1), {"at_us": 10**9}, False),
        (BOTH, {"at_us": 2_000_001}, True),
        (BOTH, {"at_us": 2_000_000}, False),
    ],
)
def test_in_flight_is_bad_only_when_certain(in_flight_frame, indicator, request_, certain):
    assert indicator.overdue(in_flight_frame(request_)).tolist() == [certain]


@pytest.mark.parametrize("indicator", EACH, ids=lambda each: each.kind)
def test_every_indicator_declares_columns_that_exist(indicator):
    assert {column.name for column in TABLE[indicator.table].columns} >= set(indicator.reads())
    assert indicator.promise()


def test_each_is_every_indicator():
    assert {each.kind: type(each) for each in EACH} == dict(indicators())


@pytest.mark.parametrize("indicator", EACH, ids=lambda each: each.kind)
def test_an_indicator_reads_no_column_it_does_not_declare(frame_of, indicator):
    whole = frame_of(indicator.table, random.Random(1), 50)
    indicator.judge(whole.select(indicator.reads()))


@pytest.mark.parametrize("indicator", EACH, ids=lambda each: each.kind)
@given(seed=st.integers(0, 10**6), rows=st.integers(0, 40))
@settings(max_examples=8, deadline=None)
def test_good_is_at_most_all_and_a_row_is_judged_by_itself(frame_of, indicator, seed, rows):
    frame = frame_of(indicator.table, random.Random(seed), rows)
    verdicts = indicator.judge(frame)
    assert np.all((verdicts.good >= 0) & (verdicts.good <= verdicts.total))
    assert verdicts.good.dtype == verdicts.total.dtype == np.int64
    turned = np.arange(rows)[::-1]
    again = indicator.judge(frame.take(turned))
    assert np.array_equal(again.good, verdicts.good[turned])
    assert np.array_equal(again.total, verdicts.total[turned])


@pytest.mark.parametrize("indicator", EACH, ids=lambda each: each.kind)
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 40))
@settings(max_examples=8, deadline=None)
def test_merging_what_was_counted_is_addition(frame_of, objective_of, indicator, seed, cut):
    objective = objective_of(indicator=indicator)
    frame = frame_of(indicator.table, random.Random(seed), 40)
    parts = [fold(frame.take(rows), objective) for rows in (np.arange(cut), np.arange(cut, 40))]
    whole, merged = fold(frame, objective), merge(parts)
    assert whole.keys == merged.keys
    for name in ("group", "bucket", "good", "total"):
        assert np.array_equal(getattr(whole, name), getattr(merged, name))


def test_no_facts_give_no_verdicts():
    for indicator in EACH:
        assert indicator.judge(Frame.empty(indicator.table)).total.tolist() == []


@pytest.mark.parametrize("make", [Ttft, Tpot, EndToEnd, QueueTime, lambda us: Goodput(ttft_us=us)])
def test_a_limit_of_nothing_or_of_days_is_refused(make):
    for limit_us in (0, -1, 2 * 86_400_000_000):
        with pytest.raises(ObjectiveError, match="longer than nothing and at most a day"):
            make(limit_us)


def test_goodput_without_a_limit_is_refused():
    with pytest.raises(ObjectiveError, match="without a limit"):
        Goodput()


@pytest.mark.parametrize("indicator", EACH, ids=lambda each: each.kind)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_bad_in_flight_is_bad_at_its_end(requests_frame, in_flight_frame, indicator, data):
    """No later event may mend what was counted early: the end of any such request is bad."""
    if indicator.table != "requests":
        return
    e2e_us = data.draw(st.integers(0, 9_000_000))
    status, stream = data.draw(st.sampled_from(Status)), data.draw(st.booleans())
    known = st.integers(0, e2e_us)
    ttft_us = data.draw(known if status is Status.OK and stream else st.none() | known)
    at_us = data.draw(st.integers(0, e2e_us))
    seen = ttft_us if ttft_us is not None and ttft_us <= at_us else None
    hanging = in_flight_frame({"at_us": at_us, "ttft_us": seen, "stream": stream})
    if indicator.overdue(hanging)[0]:
        ended = {"status": status, "stream": stream, "ttft_us": ttft_us, "e2e_us": e2e_us, "output_tokens": 9}
        verdicts = indicator.judge(requests_frame(ended))
        assert (verdicts.good[0], verdicts.total[0]) == (0, 1)
