"""Both readings of Etalon's deadlines, against its loop written out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.indicators.token_deadlines import Reading, TokenDeadlines
from telemetry.frame import Frame
from telemetry.requests import TokenGaps

FIRST_US, NEXT_US = 500_000, 50_000


def one_by_one(ttft_us, gaps_us, *, coded):
    """Return (good, total) deadlines of one request; the first token only where it is known."""
    slack = good = missed = 0
    for place, took in enumerate([ttft_us, *gaps_us]):
        due = NEXT_US if place else FIRST_US
        if took is None:
            continue
        if took <= due + slack:
            slack += due - took
            good += 1
            continue
        of_stall = (took - slack) // NEXT_US if place else 1 + (took - slack - FIRST_US) // NEXT_US
        missed += of_stall if coded else 1
        slack = 0
    return good, good + missed


def frame(*requests):
    return Frame.of(
        "token_gaps",
        [
            TokenGaps(request_id=str(at), ended_at_us=1, model="m", ttft_us=ttft, gaps_us=tuple(gaps))
            for at, (ttft, gaps) in enumerate(requests)
        ],
    )


requests = st.tuples(
    st.none() | st.integers(0, 2 * FIRST_US),
    st.lists(st.integers(0, 3 * NEXT_US) | st.just(NEXT_US) | st.integers(0, 2**32 - 1), max_size=40),
)


@given(st.lists(requests, max_size=8), st.sampled_from(Reading))
@settings(max_examples=150, deadline=None)
def test_every_request_equals_the_loop(each, reading):
    verdicts = TokenDeadlines(FIRST_US, NEXT_US, reading).judge(frame(*each))
    expected = [one_by_one(*request, coded=reading is Reading.CODED) for request in each]
    assert list(zip(verdicts.good.tolist(), verdicts.total.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("ttft_us", "gaps_us", "documented", "coded"),
    [
        (FIRST_US, [NEXT_US] * 3, (4, 4), (4, 4)),  # exactly due is in time
        (FIRST_US + 1, [NEXT_US], (1, 2), (1, 2)),
        (FIRST_US + 4 * NEXT_US, [], (0, 1), (0, 5)),  # the first, and four that would have fitted
        (FIRST_US, [5 * NEXT_US], (1, 2), (1, 6)),  # one stall, five missed
        (FIRST_US - NEXT_US, [2 * NEXT_US], (2, 2), (2, 2)),  # early, and the time left over is used
        (FIRST_US, [NEXT_US + 1, NEXT_US, NEXT_US - 1], (3, 4), (3, 4)),  # late starts anew
        (None, [NEXT_US, NEXT_US + 1], (1, 2), (1, 2)),
        (0, [], (1, 1), (1, 1)),
    ],
)
def test_edge_rule(ttft_us, gaps_us, documented, coded):
    for reading, expected in ((Reading.DOCUMENTED, documented), (Reading.CODED, coded)):
        verdicts = TokenDeadlines(FIRST_US, NEXT_US, reading).judge(frame((ttft_us, gaps_us)))
        assert (int(verdicts.good[0]), int(verdicts.total[0])) == expected


def test_no_requests_have_no_deadlines():
    assert TokenDeadlines(FIRST_US, NEXT_US).judge(frame()).total.tolist() == []
