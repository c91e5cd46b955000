"""What has ended long ago goes; what is open or young stays, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from alerts.matchers import Matcher
from alerts.notification import Notification
from alerts.ports import Outcome, Result
from alerts.silences import Silence
from service.store import retention

DAY_US = 86_400_000_000
NOW_US = 1_000 * DAY_US


def _told(number, days_ago):
    return Notification(
        id=f"n{number}",
        lane=f"hook/{number}",
        receiver="hook",
        group_key="g",
        group_labels={},
        created_at_us=NOW_US - days_ago * DAY_US,
        alerts=(),
    )


def _finish(state, count):
    for _ in range(count):
        claim = state.notifications.claim(NOW_US, "w", lease_us=1)
        state.notifications.finish(claim, Result(outcome=Outcome.DELIVERED, at_us=NOW_US, detail=""))


def test_finished_notifications_go_and_open_ones_stay_however_old(state):
    state.notifications.add([_told(1, 63), _told(2, 61)])
    _finish(state, 2)
    state.notifications.add([_told(3, 300)])
    assert state.trim(NOW_US) == 1
    assert {row.notification.id for row in state.notifications.listed()} == {"n2", "n3"}


def test_a_silence_that_stands_is_kept(state):
    for name, ends in (("old", NOW_US - 63 * DAY_US), ("standing", NOW_US + DAY_US)):
        silence = Silence(
            id=name,
            matchers=(Matcher("pool", "=", "chat"),),
            starts_at_us=0,
            ends_at_us=ends,
            created_by="me",
            comment="work",
        )
        state.silences.add(silence, now_us=0)
    assert state.trim(NOW_US) == 1
    assert [each.id for each in state.silences.standing(0)] == ["standing"]


def test_more_than_one_transaction_holds_goes_all_the_same(state, monkeypatch):
    monkeypatch.setattr(retention, "_MOST_AT_ONCE", 2)
    state.notifications.add([_told(number, 100) for number in range(5)])
    _finish(state, 5)
    assert state.trim(NOW_US) == 5
    assert state.trim(NOW_US) == 0


@pytest.mark.parametrize("rule", retention.RETENTION, ids=lambda rule: rule.table.name)
def test_every_rule_can_be_asked_of_both_kinds_of_store(state, rule):
    assert rule.days > 0
    assert state.trim(0) == 0
