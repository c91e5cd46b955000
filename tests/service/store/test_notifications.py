"""Alerts and notifications as rows, on SQLite and PostgreSQL: all or none, and never claimed twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from alerts.notification import Notification, NotifiedAlert
from alerts.ports import Outcome, Result
from alerts.state import Alert, AlertState, Transition
from service.store.errors import StoreRefused
from telemetry.condition import Severity


def alert(**changes):
    return Alert(
        **{
            "key": "k",
            "name": "A1",
            "labels": {"replica": "a:8000"},
            "state": AlertState.FIRING,
            "state_since_us": 5,
            "severity": Severity.PAGE,
            "annotations": {"summary": "6 wait"},
            "incident": "inc",
            "since_us": 1,
            "timer_us": None,
            "frozen_us": 7,
            "sequence": 2,
            **changes,
        }
    )


def transition(number=1, **changes):
    return Transition(
        **{
            "id": f"inc-{number}",
            "incident": "inc",
            "key": "k",
            "name": "A1",
            "labels": {"replica": "a:8000"},
            "annotations": {"summary": "6 wait"},
            "severity": Severity.PAGE,
            "before": AlertState.PENDING,
            "after": AlertState.FIRING,
            "at_us": number,
            "since_us": 0,
            **changes,
        }
    )


def told(number=1, *, lane="hook/a", receiver="hook"):
    firing = NotifiedAlert(
        incident="inc",
        fingerprint="00",
        labels={"alertname": "A1"},
        annotations={},
        starts_at_us=1,
        ends_at_us=None,
    )
    return Notification(
        id=f"msg_{number}",
        lane=lane,
        receiver=receiver,
        group_key="g",
        group_labels={},
        created_at_us=0,
        alerts=(firing,),
    )


def done(outcome=Outcome.DELIVERED):
    return Result(outcome=outcome, at_us=3, detail="answered 204", status=204)


def test_a_round_is_kept_whole(state):
    state.alerts.commit([alert()], [transition()], [told()])
    assert state.alerts.alerts() == [alert()]
    assert state.alerts.transitions(0, 10) == [transition()]
    assert state.notifications.claim(0, "w", lease_us=10).notification == told()


def test_a_round_that_fails_leaves_nothing_of_itself(state):
    with pytest.raises(StoreRefused):
        state.alerts.commit([alert()], [transition(1), transition(2, key="nobody")], [told()])
    assert state.alerts.alerts() == [] and state.alerts.transitions(0, 10) == []
    assert state.notifications.listed() == []


def test_a_round_repeated_after_a_crash_adds_nothing(state):
    for _ in range(2):
        state.alerts.commit([alert()], [transition()], [told()])
    assert len(state.alerts.transitions(0, 10)) == len(state.notifications.listed()) == 1


def test_an_alert_is_replaced_by_its_next_state(state):
    state.alerts.commit([alert()], [], [])
    resolved = alert(state=AlertState.RESOLVED, incident=None, since_us=None, frozen_us=None, timer_us=9)
    state.alerts.commit([resolved], [], [])
    assert state.alerts.alerts() == [resolved]


def test_transitions_come_newest_first_and_by_time(state):
    state.alerts.commit([alert()], [transition(n) for n in (1, 2, 3)], [])
    assert [each.at_us for each in state.alerts.transitions(2, 4)] == [3, 2]


def test_two_workers_never_hold_the_same_row(state):
    state.notifications.add([told(n, lane=f"hook/{n}") for n in range(40)])
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(state.notifications.claim, 0, f"w{n}", lease_us=10**9)
            for n in range(8)
            for _ in range(40)
        ]
        claims = [future.result() for future in asked]
        claimed = [claim.notification.id for claim in claims if claim is not None]
    assert sorted(claimed) == sorted(f"msg_{n}" for n in range(40))


def test_the_rows_of_a_lane_go_out_one_after_the_other_whoever_asks(state):
    state.notifications.add([told(n) for n in range(3)])
    order = []
    for worker in ("w1", "w2", "w3"):
        claim = state.notifications.claim(0, worker, lease_us=10)
        assert state.notifications.claim(0, "other", lease_us=10) is None
        order.append(claim.notification.id)
        assert state.notifications.finish(claim, done())
    assert order == ["msg_0", "msg_1", "msg_2"]


def test_what_became_of_a_notification_is_listed(state):
    state.notifications.add([told()])
    state.notifications.finish(state.notifications.claim(0, "w", lease_us=10), done())
    (row,) = state.notifications.listed()
    assert (row.outcome, row.status, row.outcome_at_us, row.finished) == (Outcome.DELIVERED, 204, 3, True)
    assert row.detail == "answered 204"


def test_a_receiver_that_is_gone_is_listed_until_it_is_enabled(state):
    state.notifications.add([told()])
    state.notifications.finish(state.notifications.claim(0, "w", lease_us=10), done(Outcome.DISABLED))
    assert state.notifications.disabled() == {"hook"}
    state.notifications.enable("hook")
    assert state.notifications.disabled() == frozenset()


def test_an_unknown_row_cannot_be_replayed(state):
    with pytest.raises(StoreRefused, match="none of this id"):
        state.notifications.replay("msg_0", 0)


def test_what_dead_workers_of_this_place_held_is_due_again_at_once(state):
    state.notifications.add([told(1, lane="a"), told(2, lane="b")])
    ours = state.notifications.claim(10, "here-1-x", lease_us=1000)
    theirs = state.notifications.claim(10, "there-1-x", lease_us=1000)
    assert state.notifications.release("here") == 1
    again = state.notifications.claim(11, "here-2-y", lease_us=1000)
    assert again.notification == ours.notification
    assert state.notifications.claim(11, "here-2-y", lease_us=1000) is None
    assert not state.notifications.finish(ours, Result(outcome=Outcome.DELIVERED, at_us=12, detail="late"))
    assert state.notifications.finish(theirs, Result(outcome=Outcome.DELIVERED, at_us=12, detail="in time"))
