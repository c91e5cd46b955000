"""What an alert is told: holds or not, for whom, since when, and in which words."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from slo.cells import UNKNOWN_WORD, Cells
from slo.conditions import conditions, left, subject, times
from slo.evaluate import judge
from slo.indicators.ttft import Ttft
from slo.ring import Ring
from telemetry.condition import Holds, Severity

MINUTE = 60_000_000
NOW = 40 * 1_440


@pytest.fixture
def ttft(objective_of):
    return objective_of(
        name="chat-ttft",
        display_name="TTFT",
        indicator=Ttft(2_000_000),
        target=Decimal("0.99"),
        group_by=("model", "tenant"),
    )


@pytest.fixture
def ring(ttft):
    return Ring(windows_us=ttft.windows_us, now_us=NOW * MINUTE)


def add(ring, key, *, age, good, bad):
    """Put requests into the minutes of (first, last) age, so many each minute."""
    ages = np.arange(age[0], age[1])
    counts = np.full(len(ages), good), np.full(len(ages), good + bad)
    ring.add(Cells.of([key], group=np.zeros_like(ages), bucket=NOW - ages, good=counts[0], total=counts[1]))


def judged(ttft, ring):
    found = conditions(judge(ttft, ring.counts()), ring.first_bad_us)
    return {(each.labels["tenant"], each.severity): each for each in found}


def test_a_burning_group_is_said_in_a_sentence(ttft, ring):
    add(ring, ("chat", "acme"), age=(60, 43_000), good=1_000, bad=0)
    add(ring, ("chat", "acme"), age=(5, 60), good=788, bad=212)
    add(ring, ("chat", "acme"), age=(0, 5), good=690, bad=310)
    page = judged(ttft, ring)["acme", Severity.PAGE]
    assert page.holds is Holds.YES
    assert page.name == "chat-ttft"
    assert page.labels == {"objective": "chat-ttft", "severity": "page", "model": "chat", "tenant": "acme"}
    assert page.annotations["summary"] == (
        "TTFT of chat/acme burns its 30-day budget 22x too fast: 5m 31x, 1h 22x; 96.9 % left"
    )
    assert page.annotations["description"] == (
        "13,210 of 60,000 requests of the last 1h broke the promise; a page is due above 14.4x over 1h and 5m"
    )
    assert page.annotations["promise"] == "99 % of requests: first token within 2s, over 30d"


def test_a_word_that_nobody_told_is_not_said_as_a_name(ttft):
    assert subject(ttft, ("chat", UNKNOWN_WORD)).endswith(" of chat/unknown tenant")


def test_since_is_the_first_bad_minute_of_the_short_window(ttft, ring):
    add(ring, ("chat", "acme"), age=(0, 60), good=0, bad=500)
    assert judged(ttft, ring)["acme", Severity.PAGE].since_us == (NOW - 4) * MINUTE


def test_each_group_and_severity_is_judged_by_itself(ttft, ring):
    add(ring, ("chat", "acme"), age=(0, 60), good=0, bad=500)
    add(ring, ("chat", "globex"), age=(0, 4_320), good=500, bad=0)
    seen = {name: condition.holds for name, condition in judged(ttft, ring).items()}
    assert seen["acme", Severity.PAGE] is Holds.YES
    assert seen["globex", Severity.PAGE] is Holds.NO
    assert seen["globex", Severity.TICKET] is Holds.NO


def test_a_fire_that_goes_silent_is_unknown_not_over(ttft, ring):
    add(ring, ("chat", "acme"), age=(0, 40), good=0, bad=500)
    ring.advance((NOW + 6) * MINUTE)
    assert judged(ttft, ring)["acme", Severity.PAGE].holds is Holds.YES  # 30m and 6h still see it
    ring.advance((NOW + 31) * MINUTE)
    silent = judged(ttft, ring)["acme", Severity.PAGE]
    assert (silent.holds, silent.since_us) == (Holds.UNKNOWN, None)
    assert silent.annotations == {"summary": "TTFT of chat/acme: no data"}


def test_a_quiet_short_window_cannot_make_a_healthy_group_unknown(ttft, ring):
    add(ring, ("chat", "acme"), age=(10, 4_320), good=500, bad=0)
    assert judged(ttft, ring)["acme", Severity.PAGE].holds is Holds.NO


def test_total_silence_is_unknown_never_met(ttft, ring):
    add(ring, ("chat", "acme"), age=(10, 60), good=500, bad=0)
    ring.advance((NOW + 5 * 1_440) * MINUTE)
    assert {each.holds for each in judged(ttft, ring).values()} == {Holds.UNKNOWN}


def test_an_objective_without_alerts_has_no_conditions(objective_of, ring):
    quiet = objective_of(policy="none")
    assert conditions(judge(quiet, ring.counts()), ring.first_bad_us) == []


def test_groups_past_the_cap_are_named_as_such(ttft):
    small = Ring(windows_us=ttft.windows_us, now_us=NOW * MINUTE, group_cap=1)
    for tenant in ("acme", "globex", "initech"):
        add(small, ("chat", tenant), age=(0, 60), good=0, bad=500)
    page = judged(ttft, small)["__other__", Severity.PAGE]
    assert page.annotations["summary"].startswith("TTFT of all groups past the cap together burns its 30-day")


def test_late_facts_of_a_day_ago_raise_no_page(ttft, ring):
    add(ring, ("chat", "acme"), age=(0, 1_440), good=500, bad=0)
    add(ring, ("chat", "acme"), age=(1_380, 1_440), good=0, bad=500)
    assert judged(ttft, ring)["acme", Severity.PAGE].holds is Holds.NO


@pytest.mark.parametrize(
    ("value", "words"), [(22, "22x"), (1.44, "1.44x"), (14.4, "14.4x"), (1000, "1000x"), (None, "no data")]
)
def test_rates_read_well(value, words):
    assert times(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.61, "61 % left"), (0, "0 % left"), (-1.4, "budget overspent 2.4x"), (None, "no data")],
)
def test_budgets_read_well(value, words):
    assert left(value) == words


def test_of_groups_that_are_well_only_those_are_told_of_which_an_alert_stands(ttft, ring):
    add(ring, ("chat", "burns"), age=(0, 60), good=500, bad=500)
    for tenant in ("well", "healed"):
        add(ring, ("chat", tenant), age=(0, 60), good=1_000, bad=0)
    judgement = judge(ttft, ring.counts())
    everyone = conditions(judgement, ring.first_bad_us)
    assert len(everyone) == 2 * 3
    told = conditions(judgement, ring.first_bad_us, standing={("chat", "healed"), ("chat", "unheard of")})
    assert told == [each for each in everyone if each.labels["tenant"] != "well"]
    told = conditions(judgement, ring.first_bad_us, standing=())
    assert {each.labels["tenant"] for each in told} == {"burns"}
