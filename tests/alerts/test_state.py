"""The alert state machine: what an evaluation makes of an alert."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.state import AlertState, Policy, fingerprint, step
from telemetry.condition import Condition, Holds, Severity

AT_ONCE = Policy()
SECOND = 1_000_000


def walk(seen, policy=AT_ONCE, every_us=5 * SECOND):
    """Step an alert through a list of Holds; return the alert and its transitions."""
    alert, transitions = None, []
    for turn, holds in enumerate(seen):
        condition = Condition(
            name="A1", labels={"replica": "a"}, severity=Severity.PAGE, holds=holds, since_us=turn
        )
        done = step(alert, condition, 1_000 * SECOND + turn * every_us, policy)
        alert = done.alert
        transitions += [done.transition] if done.transition else []
    return alert, transitions


def told(transitions):
    return [transition.after for transition in transitions if transition.tells]


def test_a_condition_that_holds_fires_at_once_without_a_wait():
    alert, transitions = walk([Holds.YES])
    assert alert.state is AlertState.FIRING
    assert [(t.before, t.after) for t in transitions] == [(AlertState.INACTIVE, AlertState.FIRING)]


def test_it_is_pending_until_it_has_held_long_enough():
    policy = Policy(for_us=10 * SECOND)
    alert, transitions = walk([Holds.YES, Holds.YES], policy)
    assert alert.state is AlertState.PENDING and told(transitions) == []
    alert, transitions = walk([Holds.YES] * 3, policy)
    assert alert.state is AlertState.FIRING and told(transitions) == [AlertState.FIRING]


def test_pending_that_clears_tells_nobody():
    alert, transitions = walk([Holds.YES, Holds.NO], Policy(for_us=10 * SECOND))
    assert alert.state is AlertState.INACTIVE and told(transitions) == []


def test_it_keeps_firing_for_as_long_as_the_policy_says():
    policy = Policy(keep_firing_us=10 * SECOND)
    assert walk([Holds.YES, Holds.NO, Holds.NO], policy)[0].state is AlertState.FIRING
    assert walk([Holds.YES, Holds.NO, Holds.NO, Holds.NO], policy)[0].state is AlertState.RESOLVED


def test_a_flap_inside_the_keep_firing_time_makes_one_message():
    policy = Policy(keep_firing_us=20 * SECOND)
    _, transitions = walk([Holds.YES, Holds.NO] * 20, policy)
    assert told(transitions) == [AlertState.FIRING]


def test_absence_never_resolves():
    alert, transitions = walk([Holds.YES] + [Holds.UNKNOWN] * 1_000)
    assert alert.state is AlertState.FIRING and told(transitions) == [AlertState.FIRING]


def test_time_spent_not_knowing_does_not_count_towards_firing():
    policy = Policy(for_us=10 * SECOND)
    alert, _ = walk([Holds.YES, Holds.UNKNOWN, Holds.UNKNOWN, Holds.UNKNOWN, Holds.YES], policy)
    assert alert.state is AlertState.PENDING


def test_time_spent_not_knowing_does_not_count_towards_resolving():
    policy = Policy(keep_firing_us=10 * SECOND)
    alert, _ = walk([Holds.YES, Holds.NO, *[Holds.UNKNOWN] * 9, Holds.NO], policy)
    assert alert.state is AlertState.FIRING


def test_a_new_episode_is_a_new_incident():
    _, transitions = walk([Holds.YES, Holds.NO, Holds.YES])
    first, resolved, second = transitions
    assert first.incident == resolved.incident != second.incident


def test_a_decision_repeated_after_a_crash_repeats_its_ids():
    assert walk([Holds.YES, Holds.NO, Holds.YES])[1] == walk([Holds.YES, Holds.NO, Holds.YES])[1]


def test_the_ids_carry_no_dot_because_a_signature_joins_by_dots():
    assert all("." not in t.id + t.incident for t in walk([Holds.YES, Holds.NO])[1])


def test_the_start_is_the_first_bad_fact_not_the_evaluation(condition):
    done = step(None, condition(Holds.YES, since_us=7), 50 * SECOND, AT_ONCE)
    assert done.transition.since_us == 7 and done.transition.at_us == 50 * SECOND


def test_another_alerts_condition_is_refused(condition):
    alert = step(None, condition(), 0, AT_ONCE).alert
    with pytest.raises(ValueError, match="labels identify an alert"):
        step(alert, condition(replica="other"), 1, AT_ONCE)


def test_negative_durations_are_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        Policy(for_us=-1)


def test_the_fingerprint_is_alertmanagers():
    # prometheus/common model/signature_test.go: emptyLabelSignature, and FNV-1a by hand.
    assert fingerprint({}) == f"{14695981039346656037:016x}"
    assert (
        fingerprint({"name": "garland, briggs", "fear": "love is not enough"})
        == f"{5799056148416392346:016x}"
    )


SEEN = st.lists(st.sampled_from(list(Holds)), max_size=60)
POLICIES = st.builds(Policy, for_us=st.integers(0, 30 * SECOND), keep_firing_us=st.integers(0, 30 * SECOND))


@given(SEEN, POLICIES)
def test_what_people_are_told_alternates_between_firing_and_resolved(seen, policy):
    messages = told(walk(seen, policy)[1])
    assert messages == [AlertState.FIRING, AlertState.RESOLVED] * (len(messages) // 2) + messages[-1:] * (
        len(messages) % 2
    )
    assert messages[:1] in ([], [AlertState.FIRING])


@given(SEEN, POLICIES, st.sampled_from(list(Holds)))
def test_a_step_repeated_changes_nothing(seen, policy, last):
    alert, _ = walk([*seen, last], policy)
    condition = Condition(
        name="A1", labels={"replica": "a"}, severity=Severity.PAGE, holds=last, since_us=len(seen)
    )
    again = step(alert, condition, 1_000 * SECOND + len(seen) * 5 * SECOND, policy)
    assert again.transition is None and again.alert == alert


@given(SEEN, POLICIES, st.integers(1, 10**12))
def test_an_unknown_condition_never_changes_the_state(seen, policy, later_us):
    alert, _ = walk(seen or [Holds.NO], policy)
    condition = Condition(name="A1", labels={"replica": "a"}, severity=Severity.PAGE, holds=Holds.UNKNOWN)
    done = step(alert, condition, alert.state_since_us + later_us, policy)
    assert done.transition is None and done.alert.state is alert.state


@given(SEEN, POLICIES)
def test_every_transition_has_its_own_id(seen, policy):
    ids = [transition.id for transition in walk(seen, policy)[1]]
    assert len(set(ids)) == len(ids)
