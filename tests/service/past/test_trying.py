"""A tried objective says what a recount of the same facts by the moved objective says."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.past.backtesting import History
from service.past.trying import FRESH_SECONDS, Move, TrialError, Trying, movable, moved, numbers
from slo.cells import fold
from slo.corrections import Correction, Excluded
from slo.indicators.availability import Availability
from slo.indicators.goodput import Goodput
from slo.indicators.gpu_threshold import GpuThreshold
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from telemetry.frame import Frame
from telemetry.requests import RequestRecord, Status

S = 1_000_000
MINUTE, HOUR = 60 * S, 3_600 * S
START = 1_700_000_000 * S // HOUR * HOUR
TTFT = Objective(name="ttft", indicator=Ttft(2 * S), target=Decimal("0.99"), group_by=("tenant",))
GOODPUT = Objective(name="good", indicator=Goodput(ttft_us=2 * S, e2e_us=9 * S), target=Decimal("0.99"))


def request(number, ttft_us):
    return RequestRecord(
        request_id=f"r{number}",
        tenant=f"t{number % 3}",
        model="m",
        status=Status.ERROR if number % 17 == 0 else Status.OK,
        started_at_us=START,
        ended_at_us=START + number * 97 * S,
        e2e_us=10 * S - ttft_us % S,
        ttft_us=ttft_us,
        output_tokens=5,
    )


class Facts:
    """The facts of one table in memory, counting how often they are read."""

    def __init__(self, requests) -> None:
        self.frames, self.reads = Frame.of("requests", requests), 0

    def strides(self, _table, *, from_us, to_us, dataset):
        return [(at, min(at + HOUR, to_us)) for at in range(from_us, to_us, HOUR)]

    def frame(self, _table, *, from_us, to_us, dataset, columns):
        self.reads += 1
        at = self.frames.numbers("ended_at_us").values
        return self.frames.take((at >= from_us) & (at < to_us)).select(columns)


def history(requests):
    return History(Facts(requests), lambda rows: rows)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 4 * S), max_size=120), st.integers(1, 4 * S), st.sampled_from([TTFT, GOODPUT]))
def test_a_trial_equals_a_recount(first_tokens, limit_us, objective):
    past = history([request(number, at) for number, at in enumerate(first_tokens)])
    name = next(iter(movable(objective)))
    tried, _ = moved(objective, Move(limits_us={name: limit_us}))
    trying = Trying()
    trying.cells(past, objective, START, START + 9 * HOUR)
    found = trying.cells(past, tried, START, START + 9 * HOUR)
    by_hand = fold(past.facts.frames, tried)
    assert (found.keys, found.good.tolist(), found.total.tolist()) == (
        by_hand.keys,
        by_hand.good.tolist(),
        by_hand.total.tolist(),
    )


def test_a_moved_limit_reads_no_store_while_the_facts_fit_and_is_the_same_when_they_do_not():
    past = history([request(number, number * 20_000) for number in range(150)])
    kept, forgotten = Trying(), Trying(most_rows=10)
    answers = []
    for limit_us in (S, 2 * S, 3 * S):
        tried, _ = moved(TTFT, Move(limits_us={"limit": limit_us}))
        before = past.facts.reads
        answers.append(kept.cells(past, tried, START, START + 9 * HOUR).sums())
        assert (past.facts.reads > before) == (limit_us == S)
        before = past.facts.reads
        assert forgotten.cells(past, tried, START, START + 9 * HOUR).sums() == answers[-1]
        assert past.facts.reads > before
    assert answers == sorted(answers) and len(set(answers)) == 3


def test_facts_that_were_asked_for_longest_ago_are_forgotten_first():
    past, trying = history([request(number, S) for number in range(30)]), Trying(most_rows=50)
    for end in (1, 2, 1, 2):
        trying.cells(past, TTFT, START, START + end * HOUR)
    reads = past.facts.reads
    trying.cells(past, TTFT, START, START + 2 * HOUR)
    assert past.facts.reads == reads


def test_what_came_late_is_tried_too_once_a_while_has_passed():
    past, clock = history([request(number, S) for number in range(30)]), [0.0]
    trying = Trying(seconds=lambda: clock[0])
    asked = {"from_us": START, "to_us": START + HOUR}
    assert trying.cells(past, TTFT, **asked).sums()[1] == 30
    late = history([request(number, S) for number in range(31)])
    assert trying.cells(late, TTFT, **asked).sums()[1] == 30
    clock[0] = FRESH_SECONDS + 1
    assert trying.cells(late, TTFT, **asked).sums()[1] == 31


def test_alerts_are_those_of_the_moved_objective():
    past, trying = history([request(number, 3 * S) for number in range(1, 17)]), Trying()
    span = {"from_us": START, "to_us": START + HOUR}
    alerts = trying.trial(past, TTFT, **span).alerts
    assert {each.group for each in alerts} == {("t0",), ("t1",), ("t2",)}
    kept, silent = moved(TTFT, Move(limits_us={"limit": 4 * S}))
    assert trying.trial(past, kept, **span).alerts == () and silent is None


def test_a_target_that_can_never_alert_is_tried_and_says_why():
    tried, silent = moved(TTFT, Move(target=Decimal("0.5")))
    assert tried.target == Decimal("0.5") and "could ever fire" in silent
    assert (
        Trying().trial(history([]), tried, from_us=START, to_us=START + HOUR, silent=silent).silent == silent
    )


def test_what_an_objective_has_not_cannot_be_moved():
    with pytest.raises(TrialError, match="no limit 'ttft' to move; limit can be"):
        moved(TTFT, Move(limits_us={"ttft": 1}))
    with pytest.raises(TrialError, match="none can be"):
        moved(replace(TTFT, indicator=Availability()), Move(limits_us={"limit": 1}))
    with pytest.raises(TrialError, match="longer than nothing"):
        moved(TTFT, Move(limits_us={"limit": 0}))
    with pytest.raises(TrialError, match="not between 0 and 1"):
        moved(TTFT, Move(target=Decimal(2)))


def test_only_limits_that_are_asked_for_can_be_moved():
    assert movable(GOODPUT) == {"ttft": 2 * S, "e2e": 9 * S}
    assert movable(replace(TTFT, indicator=Availability(patience_us=S))) == {"patience": S}


def test_what_corrections_leave_out_of_the_objective_stays_out_of_a_trial():
    facts = Facts([request(number, 3 * S) for number in range(1, 17)])
    out = Correction(START, START + 10 * MINUTE, Excluded.ALL)
    past = History(facts, lambda rows: rows, corrections=lambda name: (out,) if name == "ttft" else ())
    span = {"from_us": START, "to_us": START + HOUR}
    left = Trying().trial(past, TTFT, **span).cells
    at = facts.frames.numbers("ended_at_us").values
    assert left.sums() == (0, (at >= START + 10 * MINUTE).sum())
    assert Trying().trial(past, replace(TTFT, name="other"), **span).cells.sums() == (0, len(at))


def test_the_threshold_of_samples_is_moved_in_its_own_unit():
    cool = replace(TTFT, indicator=GpuThreshold("power_watts", Decimal(400)), group_by=("host",))
    assert movable(cool) == {} and numbers(cool) == {"value": Decimal(400)}
    hotter, silent = moved(cool, Move(numbers={"value": Decimal("450.5")}))
    assert hotter.indicator == GpuThreshold("power_watts", Decimal("450.5")) and silent is None
    assert numbers(TTFT) == {}
