"""The sentence a page opens with says what is true, worst first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.views.sentences import Sentence, Standing, Tone, age, full_stop, money, opening, unheard
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

NOW = 100 * MICROS_PER_MINUTE
WELL = Standing(
    promises=3,
    burning=0,
    overspent=0,
    unknown=0,
    tone=Tone.GOOD,
    causes=(),
    idle_nano_per_hour=None,
    currency="USD",
    since_us=None,
    now_us=NOW,
)


def said(standing):
    told = opening(standing)
    return told.tone, [sentence.text for sentence in told.sentences]


def test_all_well_is_a_sentence_with_since_when():
    assert said(replace(WELL, since_us=40 * MICROS_PER_MINUTE)) == (
        Tone.GOOD,
        ["All 3 promises with traffic are kept for 60 min."],
    )


def test_causes_follow_the_promises_and_then_the_money():
    causes = (Sentence("A waits.", "/alerts"),)
    standing = replace(WELL, burning=2, tone=Tone.WARN, causes=causes, idle_nano_per_hour=48_000_000_000)
    assert said(standing) == (
        Tone.BAD,
        ["2 of 3 promises burn faster than their budget allows.", "A waits.", "$48 an hour stands idle."],
    )


def test_no_more_than_three_causes_are_told_and_the_rest_is_counted():
    _, lines = said(replace(WELL, causes=[Sentence(f"{n}.") for n in range(5)]))
    assert lines[1:] == ["0.", "1.", "2.", "2 more findings are open."]


def test_a_spent_budget_is_told_though_nothing_burns():
    assert said(replace(WELL, overspent=1))[1] == ["No promise burns now, but 1 of 3 has spent its budget."]


def test_no_traffic_is_not_kept():
    assert "no data is not the same as kept" in said(replace(WELL, unknown=3))[1][0]


def test_silence_is_not_health():
    told = unheard(NOW - 3 * MICROS_PER_MINUTE, NOW, 30 * MICROS_PER_SECOND)
    assert told.tone is Tone.BAD
    assert told.sentences[0].text == "Nothing has been heard for 3 min: what follows is old, not well."


def test_a_service_that_nobody_talked_to_says_so():
    told = unheard(None, NOW, 30 * MICROS_PER_SECOND)
    assert told.tone is Tone.UNKNOWN and told.sentences[0].text.startswith("No facts have arrived")


def test_fresh_facts_need_no_such_word():
    assert unheard(NOW, NOW, 30 * MICROS_PER_SECOND) is None


def test_durations_and_money_are_written_for_a_person():
    assert [age(seconds * MICROS_PER_SECOND) for seconds in (40, 720, 10_800, 300_000)] == [
        "40 s",
        "12 min",
        "3 h",
        "3 days",
    ]
    assert [money(nano, "USD") for nano in (48_300_000_000, 1_234_000_000)] == ["$48", "$1.23"]
    assert money(10**9, "CHF") == "CHF 1.00"


@pytest.mark.parametrize(
    ("text", "whole"), [("it waits", "It waits."), ("vm:1 waits", "vm:1 waits."), ("Done!", "Done!")]
)
def test_a_cause_becomes_a_sentence(text, whole):
    assert full_stop(text) == whole
