"""From conditions to rows: nothing is told twice, nothing is forgotten, whatever fails in between."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.routing import Route
from alerts.state import AlertState
from service.alerting.transitions import FORGET_US, Alerting
from service.store.errors import StoreUnavailable
from telemetry.condition import Condition, Holds, Severity

ROOT = [Route(receiver="pager")]
STEP_US = 5_000_000


class Rows:
    """Rows in memory, as the state store keeps them; a commit can fail before or after it happened."""

    def __init__(self):
        self.kept, self.transitions, self.notifications = {}, {}, {}
        self.fails = ""

    def alerts(self):
        return list(self.kept.values())

    def commit(self, alerts, transitions, notifications):
        if self.fails == "before":
            raise StoreUnavailable("no")
        self.kept |= {alert.key: alert for alert in alerts}
        self.transitions |= {each.id: each for each in transitions}
        self.notifications |= {each.id: each for each in notifications}
        if self.fails == "after":
            raise StoreUnavailable("the answer was lost")


def condition(holds, name="A1", **labels):
    return Condition(name=name, labels={"subject": "r"} | labels, severity=Severity.PAGE, holds=holds)


def told(rows):
    return [
        each.after for each in sorted(rows.transitions.values(), key=lambda each: each.at_us) if each.tells
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(Holds), min_size=1, max_size=15),
    st.sets(st.integers(0, 14)),
)
def test_a_crash_between_rounds_changes_nothing(course, crashes):
    whole, torn = Rows(), Rows()
    steady, alerting = Alerting(whole), Alerting(torn)
    for number, holds in enumerate(course):
        if number in crashes:
            alerting = Alerting(torn)
        for each in (steady, alerting):
            each.round([condition(holds)], ROOT, number * STEP_US)
    assert torn.transitions == whole.transitions and torn.notifications == whole.notifications


@pytest.mark.parametrize("fails", ["before", "after"])
def test_a_commit_that_fails_is_made_up_and_told_once(fails):
    rows = Rows()
    alerting = Alerting(rows)
    rows.fails = fails
    with pytest.raises(StoreUnavailable):
        alerting.round([condition(Holds.YES)], ROOT, STEP_US)
    assert alerting.open() == ()
    rows.fails = ""
    alerting.round([condition(Holds.YES)], ROOT, 2 * STEP_US)
    alerting.round([condition(Holds.NO)], ROOT, 3 * STEP_US)
    assert told(rows) == [AlertState.FIRING, AlertState.RESOLVED]


def test_what_is_not_judged_is_unknown_and_frozen():
    rows = Rows()
    alerting = Alerting(rows)
    alerting.round([condition(Holds.YES)], ROOT, 0)
    for number in range(1, 10):
        alerting.round([], ROOT, number * STEP_US)
    (alert,) = alerting.open()
    assert alert.state is AlertState.FIRING and alert.frozen_us == STEP_US
    alerting.round([condition(Holds.NO)], ROOT, 10 * STEP_US)
    assert told(rows) == [AlertState.FIRING, AlertState.RESOLVED]


def test_what_never_held_costs_no_memory_and_no_row():
    rows = Rows()
    alerting = Alerting(rows)
    alerting.round([condition(Holds.NO, tenant=str(n)) for n in range(50)], ROOT, 0)
    alerting.round([condition(Holds.UNKNOWN, tenant=str(n)) for n in range(50)], ROOT, STEP_US)
    assert alerting.standing == () and rows.kept == {}


def test_new_words_alone_write_no_row():
    rows = Rows()
    alerting = Alerting(rows)
    alerting.round([condition(Holds.YES)], ROOT, 0)
    (before,) = rows.kept.values()
    words = Condition(
        name="A1",
        labels={"subject": "r"},
        severity=Severity.PAGE,
        holds=Holds.YES,
        annotations={"summary": "new"},
    )
    alerting.round([words], ROOT, STEP_US)
    assert list(rows.kept.values()) == [before]
    assert alerting.open()[0].annotations == {"summary": "new"}


def test_an_alert_that_is_over_for_a_day_is_let_go_of():
    alerting = Alerting(Rows())
    alerting.round([condition(Holds.YES)], ROOT, 0)
    alerting.round([condition(Holds.NO)], ROOT, STEP_US)
    assert [alert.state for alert in alerting.standing] == [AlertState.RESOLVED]
    alerting.round([], ROOT, 2 * STEP_US + FORGET_US)
    assert alerting.standing == ()


def test_every_receiver_gets_a_notification_of_its_own():
    rows = Rows()
    both = [Route(receiver="pager"), Route(receiver="chat")]
    Alerting(rows).round([condition(Holds.YES)], both, 0)
    assert sorted(each.receiver for each in rows.notifications.values()) == ["chat", "pager"]
