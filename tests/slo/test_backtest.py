"""What would have alerted: the same as the live engine would have said, bucket by bucket."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.recordings.read import read
from slo.backtest import would_have_alerted
from slo.burn import UNKNOWN, YES
from slo.cells import Cells, fold
from slo.evaluate import judge
from slo.indicators.availability import Availability
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from slo.ring import Ring
from telemetry.condition import Severity
from telemetry.frame import Frame

MINUTE = 60_000_000
OBJECTIVE = Objective(
    name="availability", indicator=Availability(), target=Decimal("0.99"), group_by=("model",)
)


def cells_of(counts):
    """Return cells from (model, minute) -> (good, total)."""
    keys = sorted({(model,) for model, _ in counts})
    place = {key: at for at, key in enumerate(keys)}
    rows = sorted((place[model,], minute, *each) for (model, minute), each in counts.items())
    group, bucket, good, total = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return Cells.of(keys, group=group, bucket=bucket, good=good, total=total)


def live(cells, start, end):
    """Return (model, severity, from, to) as a ring that sees each minute come would have it."""
    ring = Ring.of(OBJECTIVE, now_us=0)
    standing, told = {}, []
    for minute in range(end):
        ring.advance(minute * MINUTE)
        ring.add(cells.take(cells.bucket == minute))
        if minute < start:
            continue
        judgement = judge(OBJECTIVE, ring.counts())
        for severity in Severity:
            for (model,), answer in zip(judgement.counts.keys, judgement.holds(severity), strict=True):
                begun = standing.get((model, severity))
                if answer == YES and begun is None:
                    standing[model, severity] = minute + 1
                elif answer not in (YES, UNKNOWN) and begun is not None:
                    told.append((model, severity, standing.pop((model, severity)), minute + 1))
    return {*told, *((model, severity, begun, None) for (model, severity), begun in standing.items())}


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("ab"), st.integers(0, 89)),
        st.integers(0, 60).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 60),
)
@settings(max_examples=25, deadline=None)
def test_equals_the_live_engine(counts, start):
    cells = cells_of(counts)
    found = would_have_alerted(OBJECTIVE, cells, from_us=start * MINUTE, to_us=90 * MINUTE)
    told = {
        (each.group[0], each.severity, each.from_us // MINUTE, each.to_us and each.to_us // MINUTE)
        for each in found
    }
    assert told == live(cells, start, 90)


def test_tells_when_an_outage_would_have_paged_and_for_how_long():
    """Ten minutes fail: above 6 % of all seen after 4, and of the last half hour until 2 are left in it."""
    counts = {("a", minute): (0 if 60 <= minute < 70 else 100, 100) for minute in range(120)}
    found = would_have_alerted(OBJECTIVE, cells_of(counts), from_us=0, to_us=120 * MINUTE)
    page = next(each for each in found if each.severity is Severity.PAGE)
    assert (page.from_us // MINUTE, page.to_us // MINUTE) == (64, 99)
    assert page.pair == OBJECTIVE.alerts.pairs[1]  # six hours hold no more than the one that was seen
    assert page.burn == Fraction(400, 64)
    assert page.worst == Fraction(1_000, 70)


def test_no_pair_and_no_time_would_never_have_alerted(objective_of):
    silent = objective_of(policy="none")
    cells = cells_of({("a", 1): (0, 100)})
    assert would_have_alerted(silent, cells, from_us=0, to_us=9 * MINUTE) == []
    assert would_have_alerted(OBJECTIVE, cells, from_us=9 * MINUTE, to_us=9 * MINUTE) == []


@pytest.mark.shared
@pytest.mark.parametrize(
    ("run", "pages"),
    [
        ("vllm-2xA10-20260808-044202-roundrobin", True),
        ("vllm-2xA10-20260808-025932-loadaware-b0.5", False),
        ("vllm-2xA10-20260808-023919-kvaware", False),
    ],
)
def test_two_seconds_to_the_first_token_page_for_round_robin_alone(shared, run, pages):
    """99 % TTFT <= 2 s over 30 days with the workbook's pairs, over the recorded runs."""
    recording = read(shared / "traces/nolicence" / run)
    objective = Objective(name="ttft", indicator=Ttft(2_000_000), target=Decimal("0.99"))
    cells = fold(Frame.of("requests", recording.requests), objective)
    from_us, to_us = recording.window_us
    found = would_have_alerted(objective, cells, from_us=from_us, to_us=to_us)
    assert any(each.severity is Severity.PAGE for each in found) == pages
