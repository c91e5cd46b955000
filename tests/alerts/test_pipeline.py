"""Why a notification is held back: every reason, and that telling is the default."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.errors import ConfigurationError
from alerts.inhibition import InhibitRule
from alerts.matchers import Matcher
from alerts.pipeline import LOOK_AGAIN_US, Context, suppressed
from alerts.ports import Claim
from alerts.silences import Silence, silenced_by

A1 = Matcher("alertname", "=", "A1")
NODE_DOWN = {"alertname": "A16", "replica": "a:8000"}
RULE = InhibitRule(source=(Matcher("alertname", "=", "A16"),), target=(A1,), equal=("replica",))
SILENCE = Silence(id="s1", matchers=(A1,), starts_at_us=0, ends_at_us=100, created_by="Ada", comment="known")
FIRING = {"inc": {"alertname": "A1", "replica": "a:8000"}}


@pytest.fixture
def claim(told):
    def make(*, resolved=False, announced=()):
        return Claim(
            notification=told(resolved=resolved), worker="w", lease_until_us=9, announced=frozenset(announced)
        )

    return make


def test_nothing_is_held_back_without_a_reason(claim):
    assert suppressed(claim(), Context(firing=FIRING), 50) is None


def test_a_silence_holds_a_firing_alert_back_and_looks_again(claim):
    reason = suppressed(claim(), Context(firing=FIRING, silences=(SILENCE,)), 50)
    assert (
        reason.stage == "silenced" and "Ada: known" in reason.text and reason.until_us == 50 + LOOK_AGAIN_US
    )


def test_a_silence_that_has_ended_holds_nothing_back(claim):
    assert suppressed(claim(), Context(firing=FIRING, silences=(SILENCE,)), 100) is None


def test_an_incident_that_ended_under_its_silence_is_never_told(claim):
    lasting = replace(SILENCE, ends_at_us=10 * LOOK_AGAIN_US)
    reason = suppressed(claim(), Context(firing={}, silences=(lasting,)), LOOK_AGAIN_US)
    assert reason.until_us is None and "over while held back" in reason.text


def test_a_decision_newer_than_the_context_is_not_taken_for_over(claim):
    reason = suppressed(claim(), Context(firing={}, silences=(SILENCE,)), 50)
    assert reason.until_us == 50 + LOOK_AGAIN_US


def test_a_resolve_whose_firing_was_not_told_is_not_told(claim):
    reason = suppressed(claim(resolved=True), Context(firing={}), 50)
    assert reason.stage == "unannounced" and reason.until_us is None


def test_a_resolve_is_told_even_under_a_silence_once_its_firing_was(claim):
    assert (
        suppressed(claim(resolved=True, announced=["inc"]), Context(firing={}, silences=(SILENCE,)), 50)
        is None
    )


def test_a_cause_that_fires_holds_its_consequence_back(claim):
    context = Context(firing={**FIRING, "other": NODE_DOWN}, inhibit_rules=(RULE,))
    assert suppressed(claim(), context, 50).stage == "inhibited"


def test_a_cause_elsewhere_holds_nothing_back(claim):
    context = Context(firing={**FIRING, "other": {**NODE_DOWN, "replica": "b:8000"}}, inhibit_rules=(RULE,))
    assert suppressed(claim(), context, 50) is None


def test_nothing_inhibits_itself(claim):
    itself = InhibitRule(source=(A1,), target=(A1,))
    twin = {"twin": {"alertname": "A1", "replica": "b"}}
    assert suppressed(claim(), Context(firing={**FIRING, **twin}, inhibit_rules=(itself,)), 50) is None


def test_a_silence_that_would_mute_everything_is_refused():
    with pytest.raises(ConfigurationError, match="at least one matcher"):
        Silence(id="s", matchers=(), starts_at_us=0, ends_at_us=1, created_by="Ada")
    with pytest.raises(ConfigurationError, match="ends before"):
        Silence(id="s", matchers=(A1,), starts_at_us=1, ends_at_us=1, created_by="Ada")


def test_of_several_silences_the_longest_is_named():
    longer = Silence(id="s2", matchers=(A1,), starts_at_us=0, ends_at_us=500, created_by="Bob")
    assert silenced_by([SILENCE, longer], {"alertname": "A1"}, 50) is longer
