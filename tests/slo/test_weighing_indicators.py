"""Each edge rule of the indicators that count tokens, gaps, probes, or by a rule of their own."""

from __future__ import annotations

import pytest

from slo.cells import fold
from slo.errors import ObjectiveError
from slo.indicators.cache_hits import CacheHits
from slo.indicators.dependency import DependencyLatency, Waited
from slo.indicators.determinism import Determinism
from slo.indicators.empty_output import EmptyOutput
from slo.indicators.goodput import Goodput, Semantics
from slo.indicators.itl import Itl, Unsure
from slo.indicators.retries import Retries
from slo.indicators.token_availability import TokenAvailability
from slo.indicators.token_goodput import TokenGoodput
from slo.indicators.truncation import Truncation
from slo.indicators.ttft_by_prompt import TtftByPrompt
from slo.overdue import overdue
from telemetry.gaps import bucket_counts
from telemetry.identity import Vantage
from telemetry.requests import Finish, Status

OK, ERROR, ABORTED = {}, {"status": Status.ERROR}, {"status": Status.ABORTED}
MISTAKE, PROBE = ERROR | {"http_status": 400}, {"synthetic": True}
GOOD, BAD, UNCOUNTED = (1, 1), (0, 1), (0, 0)
TOKENS = TokenAvailability(failure_tokens=50)
PACE = TokenGoodput(ttft_us=2_000_000, failure_tokens=50)
PROMPT = TtftByPrompt(base_us=1_000_000, each_us=1_000_000, per=1_000)
AIPERF = Goodput(ttft_us=2_000_000, tpot_us=100_000, semantics=Semantics.AIPERF)
AIPERF_E2E = Goodput(e2e_us=10_000_000, semantics=Semantics.AIPERF)
HUGE = 2**62


def gaps(*milliseconds, largest=True):
    """Return the gaps of a request, kept as its record keeps them."""
    each = [int(gap * 1_000) for gap in milliseconds]
    return {"gap_buckets": bucket_counts(each), "gap_max_us": max(each) if largest else None}


SAME = PROBE | {"workload": "determinism"}
OTHER = SAME | {"error_class": "other_answer"}
PACED = {"ttft_us": 1_000_000, "e2e_us": 1_000_000 + 63 * 100_000, "output_tokens": 64}


@pytest.mark.parametrize(
    ("indicator", "request_", "verdict"),
    [
        # Availability by token
        (TOKENS, {"output_tokens": 200}, (200, 200)),
        (TOKENS, {"output_tokens": 0}, (0, 0)),
        (TOKENS, {"output_tokens": None}, (0, 0)),
        (TOKENS, ERROR | {"output_tokens": None}, (0, 50)),
        (TOKENS, ERROR | {"output_tokens": 49}, (0, 50)),
        (TOKENS, ERROR | {"output_tokens": 51}, (0, 51)),
        (TOKENS, ABORTED | {"output_tokens": 200}, (0, 0)),
        (TOKENS, MISTAKE | {"output_tokens": 200}, (0, 0)),
        (TOKENS, PROBE | {"output_tokens": 200}, (0, 0)),
        (TOKENS, {"output_tokens": HUGE}, (10**8, 10**8)),
        # Token goodput
        (PACE, {"output_tokens": 200, "ttft_us": 2_000_000}, (200, 200)),
        (PACE, {"output_tokens": 200, "ttft_us": 2_000_001}, (0, 200)),
        (PACE, {"output_tokens": 200}, (0, 0)),
        (PACE, {"ttft_us": 1}, (0, 0)),
        (PACE, ERROR | {"output_tokens": 3, "ttft_us": 1}, (0, 50)),
        # TTFT by prompt length: 1s and 1s more for each 1,000 tokens
        (PROMPT, {"ttft_us": 3_500_000, "prompt_tokens": 2_500}, GOOD),
        (PROMPT, {"ttft_us": 3_500_001, "prompt_tokens": 2_500}, BAD),
        (PROMPT, {"ttft_us": 1_001_000, "prompt_tokens": 1}, GOOD),
        (PROMPT, {"ttft_us": 1_001_001, "prompt_tokens": 1}, BAD),
        (PROMPT, {"ttft_us": 1_000_000, "prompt_tokens": 0}, GOOD),
        (PROMPT, {"ttft_us": 1_000_000, "prompt_tokens": None}, GOOD),
        (PROMPT, {"ttft_us": 1_000_001, "prompt_tokens": None}, UNCOUNTED),
        (PROMPT, {"ttft_us": None, "prompt_tokens": 1}, UNCOUNTED),
        (PROMPT, ERROR, BAD),
        (PROMPT, ABORTED | {"e2e_us": 3_500_000, "prompt_tokens": 2_500}, UNCOUNTED),
        (PROMPT, ABORTED | {"e2e_us": 3_500_001, "prompt_tokens": 2_500}, BAD),
        (PROMPT, ABORTED | {"e2e_us": 3_500_001, "prompt_tokens": None}, UNCOUNTED),
        (PROMPT, {"ttft_us": HUGE, "prompt_tokens": 2_500}, BAD),
        # ITL, a limit on an edge: exact
        (Itl(64_000), gaps(1, 64, 64.001, 200), (2, 4)),
        (Itl(64_000), gaps(1, 64, 64.001, 200, largest=False), (2, 4)),
        (Itl(64_000), {"gap_buckets": ()}, UNCOUNTED),
        (Itl(64_000), ERROR | gaps(1, 2, 3), (0, 3)),
        (Itl(64_000), ERROR, BAD),
        (Itl(64_000), ABORTED | gaps(1, 100), (1, 2)),
        (Itl(64_000), PROBE | gaps(1), UNCOUNTED),
        (Itl(64_000), MISTAKE | gaps(1), UNCOUNTED),
        (Itl(16_384_000), gaps(1, 16_385), (1, 2)),
        # ITL, a limit between the edges 64 and 128 ms
        (Itl(100_000), gaps(1, 70, 99), (3, 3)),
        (Itl(100_000), gaps(1, 70, 101), (1, 2)),
        (Itl(100_000), gaps(1, 70, 130), (1, 2)),
        (Itl(100_000), gaps(1, 70, 101, largest=False), (1, 1)),
        (Itl(100_000, Unsure.GOOD), gaps(1, 70, 101), (2, 3)),
        (Itl(100_000, Unsure.BAD), gaps(1, 70, 101), (1, 3)),
        (Itl(100_000, Unsure.BAD), gaps(1, 70, 99), (3, 3)),
        (Itl(500), gaps(0.4), (1, 1)),
        (Itl(500), gaps(0.4, 0.6), (0, 1)),
        (Itl(60_000_000), gaps(20_000), (1, 1)),
        (Itl(60_000_000), gaps(20_000, 70_000), (0, 1)),
        # Goodput by AIPerf's rules: what was not measured is bad
        (AIPERF, PACED, GOOD),
        (AIPERF, PACED | {"e2e_us": PACED["e2e_us"] + 1}, BAD),
        (AIPERF, PACED | {"ttft_us": None}, BAD),
        (AIPERF, PACED | {"output_tokens": None}, BAD),
        (AIPERF, PACED | {"output_tokens": 1}, BAD),
        (AIPERF, ABORTED | PACED, BAD),
        (AIPERF, ERROR | PACED, BAD),
        (AIPERF, PROBE | PACED, UNCOUNTED),
        (AIPERF_E2E, OK, GOOD),
        (AIPERF_E2E, ABORTED, BAD),
        # Truncation
        (Truncation(), {"finish": Finish.STOP}, GOOD),
        (Truncation(), {"finish": Finish.TOOL_CALLS}, GOOD),
        (Truncation(), {"finish": Finish.CONTENT_FILTER}, GOOD),
        (Truncation(), {"finish": Finish.LENGTH}, BAD),
        (Truncation(), {"finish": None}, UNCOUNTED),
        (Truncation(), ABORTED | {"finish": Finish.LENGTH}, UNCOUNTED),
        (Truncation(), ERROR, BAD),
        # Empty output
        (EmptyOutput(), {"output_empty": False}, GOOD),
        (EmptyOutput(), {"output_empty": True}, BAD),
        (EmptyOutput(), {"output_empty": True, "tool_calls": 1}, GOOD),
        (EmptyOutput(), {"output_empty": None}, UNCOUNTED),
        (EmptyOutput(), {"output_empty": None, "output_tokens": 0}, BAD),
        (EmptyOutput(), {"output_empty": None, "output_tokens": 9}, UNCOUNTED),
        (EmptyOutput(), ABORTED | {"output_empty": True}, UNCOUNTED),
        (EmptyOutput(), ERROR, BAD),
        # Retries: however an attempt ended
        (Retries(), OK, GOOD),
        (Retries(), ERROR, GOOD),
        (Retries(), ABORTED, GOOD),
        (Retries(), {"retry": 1}, BAD),
        (Retries(), ERROR | {"retry": 2}, BAD),
        (Retries(), MISTAKE | {"retry": 1}, UNCOUNTED),
        (Retries(), PROBE, UNCOUNTED),
        # Cache hits
        (CacheHits(), {"prompt_tokens": 100, "cached_tokens": 30}, (30, 100)),
        (CacheHits(), {"prompt_tokens": 100, "cached_tokens": 0}, (0, 100)),
        (CacheHits(), {"prompt_tokens": 100, "cached_tokens": 101}, (100, 100)),
        (CacheHits(), {"prompt_tokens": 100, "cached_tokens": None}, UNCOUNTED),
        (CacheHits(), {"prompt_tokens": None, "cached_tokens": 30}, UNCOUNTED),
        (CacheHits(), ERROR | {"prompt_tokens": 100, "cached_tokens": 30}, (30, 100)),
        (CacheHits(), PROBE | {"prompt_tokens": 100, "cached_tokens": 30}, UNCOUNTED),
        # Dependencies
        (DependencyLatency(500_000), {"dependency_us": 500_000}, GOOD),
        (DependencyLatency(500_000), {"dependency_us": 500_001, "tool_call_us": 1}, BAD),
        (DependencyLatency(500_000), {"dependency_us": None}, UNCOUNTED),
        (DependencyLatency(500_000), ABORTED | {"dependency_us": 500_001}, BAD),
        (DependencyLatency(500_000), ERROR, BAD),
        (DependencyLatency(500_000, Waited.TOOL_CALL), {"dependency_us": 1, "tool_call_us": 500_001}, BAD),
        # Determinism: probes only
        (Determinism(), SAME, GOOD),
        (Determinism(), OTHER, BAD),
        (Determinism(), ERROR | OTHER, UNCOUNTED),
        (Determinism(), ABORTED | SAME, UNCOUNTED),
        (Determinism(), PROBE, UNCOUNTED),
        (Determinism(), OTHER | {"synthetic": False}, UNCOUNTED),
    ],
)
def test_edge_rule(requests_frame, indicator, request_, verdict):
    verdicts = indicator.judge(requests_frame({"vantage": Vantage.EDGE, "stream": True} | request_))
    assert (int(verdicts.good[0]), int(verdicts.total[0])) == verdict


@pytest.mark.parametrize(
    "indicator", [TOKENS, PACE, PROMPT, Itl(1_000), Truncation(), EmptyOutput(), Retries(), CacheHits(), Determinism()]
)  # fmt: skip
def test_what_its_end_must_tell_never_counts_in_flight(in_flight_frame, objective_of, indicator):
    hanging = in_flight_frame({"at_us": 10**12})
    assert overdue(hanging, objective_of(indicator=indicator), frozenset()).cells.sums() == (0, 0)


def test_aiperfs_goodput_counts_a_hang_early_as_vllms_does(in_flight_frame, objective_of):
    hanging = in_flight_frame({"at_us": 10**12})
    assert overdue(hanging, objective_of(indicator=AIPERF), frozenset()).cells.sums() == (0, 1)


def test_good_and_bad_enclose_what_is_unsure(requests_frame):
    frame = requests_frame(*(gaps(1, 70, 90 + n, 120 + n) for n in range(30)))
    sums = {each: Itl(100_000, each).judge(frame) for each in Unsure}
    shares = {each: sums[each].good.sum() / sums[each].total.sum() for each in Unsure}
    assert shares[Unsure.BAD] < 71 / 120 < shares[Unsure.GOOD]  # 1, 70 and 90..100 of each four
    assert sums[Unsure.BAD].total.sum() == sums[Unsure.GOOD].total.sum() == 120


def test_tokens_are_added_up_by_group(objective_of, requests_frame):
    frame = requests_frame(
        {"output_tokens": 70_000}, {"output_tokens": 5, "tenant": "b"}, ERROR | {"tenant": "b"}
    )
    cells = fold(frame, objective_of(indicator=TOKENS, group_by=("tenant",)))
    assert (cells.keys, cells.good.tolist(), cells.total.tolist()) == (
        (("acme",), ("b",)),
        [70_000, 5],
        [70_000, 55],
    )


@pytest.mark.parametrize(
    ("make", "subject"),
    [
        (lambda: TokenAvailability(0), "failure_tokens"),
        (lambda: TokenGoodput(ttft_us=1, failure_tokens=10**9), "failure_tokens"),
        (TokenGoodput, "indicator"),
        (lambda: TtftByPrompt(0, 1), "base"),
        (lambda: TtftByPrompt(1, 10**12), "each"),
        (lambda: TtftByPrompt(1, 1, 0), "per"),
        (lambda: TtftByPrompt(1, 1, 10**7), "per"),
        (lambda: Itl(0), "limit"),
        (lambda: DependencyLatency(0), "limit"),
    ],
)
def test_parameters_out_of_range_are_refused(make, subject):
    with pytest.raises(ObjectiveError) as refused:
        make()
    assert refused.value.subject == subject
