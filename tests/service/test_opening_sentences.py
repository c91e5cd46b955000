"""The sentence a page opens with says what is true, worst first."""

from __future__ import annotations

from dataclasses import replace

from service.views.sentences import Standing, Tone, age, money, opening
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

WELL = Standing(
    promises=3,
    burning=0,
    paging=0,
    unknown=0,
    causes=(),
    idle_nano_per_hour=None,
    currency="USD",
    newest_us=100 * MICROS_PER_MINUTE,
    now_us=100 * MICROS_PER_MINUTE,
    stale_after_us=30 * MICROS_PER_SECOND,
    since_us=None,
)


def test_all_well_is_a_sentence_with_since_when():
    tone, lines = opening(replace(WELL, since_us=40 * MICROS_PER_MINUTE))
    assert (tone, lines) == (Tone.GOOD, ["All 3 promises with traffic are kept for 60 min."])


def test_causes_follow_the_promises_and_then_the_money():
    tone, lines = opening(
        replace(WELL, burning=2, paging=1, causes=("A waits.",), idle_nano_per_hour=48_000_000_000)
    )
    assert tone is Tone.BAD
    assert lines == [
        "2 of 3 promises burn faster than their budget allows.",
        "A waits.",
        "$48 an hour stands idle.",
    ]


def test_silence_is_not_health():
    tone, lines = opening(replace(WELL, now_us=103 * MICROS_PER_MINUTE))
    assert tone is Tone.BAD
    assert lines == ["Nothing has been heard for 3 min: what follows is old, not well."]


def test_no_traffic_is_not_kept():
    tone, lines = opening(replace(WELL, unknown=3))
    assert tone is Tone.UNKNOWN
    assert "no data is not the same as kept" in lines[0]


def test_a_service_that_nobody_talked_to_says_so():
    assert opening(replace(WELL, newest_us=None))[1][0] == "No facts have arrived yet."


def test_a_ticket_alone_is_a_warning():
    assert opening(replace(WELL, burning=1))[0] is Tone.WARN


def test_durations_and_money_are_written_for_a_person():
    assert [age(seconds * MICROS_PER_SECOND) for seconds in (40, 720, 10_800, 300_000)] == [
        "40 s",
        "12 min",
        "3 h",
        "3 days",
    ]
    assert [money(nano, "USD") for nano in (48_300_000_000, 1_234_000_000)] == ["$48", "$1.23"]
    assert money(10**9, "CHF") == "CHF 1.00"
