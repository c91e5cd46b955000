"""Durations are differences of stamps, gaps are counted for each choice."""

from hypothesis import given
from hypothesis import strategies as st

from collector.requests.answers import Said
from collector.requests.socket import MAX_GAPS
from collector.requests.stamps import AnswerMeter
from telemetry.gaps import bucket_counts
from telemetry.requests import Finish

STAMPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30_000_000)), min_size=1, max_size=60)


@given(STAMPS)
def test_gaps_agree_with_a_recount(steps):
    meter, at_us, last, gaps = AnswerMeter(), 0, {}, []
    for choice, wait_us in steps:
        at_us += wait_us
        meter.say(Said(content=(choice,)), at_us)
        if choice in last:
            gaps.append(at_us - last[choice])
        last[choice] = at_us
    assert meter.gaps_us == tuple(gaps)
    assert tuple(meter.gap_buckets) == bucket_counts(gaps)
    assert meter.gap_max_us == (max(gaps) if gaps else None)
    assert (meter.first_content_us, meter.last_content_us, meter.chunks) == (steps[0][1], at_us, len(steps))


def test_past_the_bound_the_buckets_count_on_and_the_list_is_given_up():
    meter = AnswerMeter()
    for number in range(MAX_GAPS + 2):
        meter.say(Said(content=(0,)), number * 1000)
    assert meter.gaps_us is None
    assert sum(meter.gap_buckets) == MAX_GAPS + 1


def test_choices_and_calls_without_end_stay_bounded():
    meter = AnswerMeter()
    for number in range(5000):
        meter.say(Said(content=(number,), finished=((number, Finish.STOP),), calls=((0, number),)), number)
    assert len(meter._last_by_choice) == len(meter._finishes) == meter.tool_calls == 1024


def test_an_answer_is_complete_when_each_choice_has_stopped_or_the_end_mark_came():
    meter = AnswerMeter()
    meter.say(Said(finished=((0, None),)), 1)
    assert meter.complete(1) and not meter.complete(2)
    meter.say(Said(done=True), 2)
    assert meter.complete(2)
