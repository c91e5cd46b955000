"""Matchers, routes and groups, in Alertmanager's words."""

from __future__ import annotations

import pytest

from alerts.errors import ConfigurationError
from alerts.grouping import MAX_ALERTS, plan
from alerts.matchers import Matcher
from alerts.notification import decode, encode
from alerts.routing import Route, matches
from alerts.state import AlertState, Policy, Transition, step
from telemetry.condition import Holds, Severity

PAGE = Matcher("severity", "=", "page")


@pytest.fixture
def firing(condition):
    """Make a firing transition of one replica."""

    def make(replica="a:8000", at_us=5_000_000):
        return step(
            None, condition(Holds.YES, since_us=1_000_000, replica=replica, pool="chat"), at_us, Policy()
        ).transition

    return make


@pytest.mark.parametrize(
    ("matcher", "passes"),
    [
        (Matcher("pool", "=", "chat"), True),
        (Matcher("pool", "!=", "chat"), False),
        (Matcher("pool", "=~", "ch.*"), True),
        (Matcher("pool", "=~", "ch"), False),
        (Matcher("pool", "!~", "ch"), True),
        (Matcher("absent", "=", ""), True),
        (Matcher("absent", "!=", ""), False),
    ],
)
def test_matchers_read_labels_as_alertmanager_does(matcher, passes):
    assert matcher.matches({"pool": "chat"}) is passes


def test_an_unknown_operator_or_a_broken_pattern_is_refused():
    with pytest.raises(ConfigurationError, match="must be one of"):
        Matcher("pool", "~", "x")
    with pytest.raises(ConfigurationError, match="not a regular expression"):
        Matcher("pool", "=~", "(")


def test_the_first_child_that_takes_an_alert_ends_the_walk():
    root = Route(receiver="all", routes=(Route(receiver="pager", matchers=(PAGE,)), Route(receiver="never")))
    assert [m.route.receiver for m in matches(root, {"severity": "page"})] == ["pager"]


def test_continue_goes_on_to_the_next_child():
    root = Route(
        receiver="all", routes=(Route(receiver="pager", matchers=(PAGE,), go_on=True), Route(receiver="log"))
    )
    assert [m.route.receiver for m in matches(root, {"severity": "page"})] == ["pager", "log"]


def test_what_no_child_takes_stays_with_the_parent():
    root = Route(receiver="all", routes=(Route(receiver="pager", matchers=(PAGE,)),))
    assert [m.route.receiver for m in matches(root, {"severity": "ticket"})] == ["all"]


def test_the_group_key_is_written_as_alertmanager_writes_it(firing):
    (notification,) = plan([firing()], Route(receiver="hook"), now_us=1)
    assert notification.group_key == '{}:{alertname="A1"}'
    root = Route(receiver="all", routes=(Route(receiver="hook", matchers=(PAGE,), group_by=("pool",)),))
    (nested,) = plan([firing()], root, now_us=1)
    assert nested.group_key == '{}/{severity="page"}:{pool="chat"}'


def test_what_changed_together_in_one_group_is_one_message(firing):
    transitions = [firing(f"r{n}:8000") for n in range(64)]
    (notification,) = plan(transitions, Route(receiver="hook", group_by=("alertname", "pool")), now_us=1)
    assert len(notification.alerts) == 64 and len(notification.incidents) == 64


def test_the_dots_mean_no_grouping(firing):
    notifications = plan([firing("r1"), firing("r2")], Route(receiver="hook", group_by=("...",)), now_us=1)
    assert len({each.lane for each in notifications}) == 2


def test_a_group_larger_than_one_message_becomes_several_in_one_lane(firing):
    transitions = [firing(f"r{n}") for n in range(MAX_ALERTS + 1)]
    notifications = plan(transitions, Route(receiver="hook"), now_us=1)
    assert [len(each.alerts) for each in notifications] == [MAX_ALERTS, 1]
    assert len({each.lane for each in notifications}) == 1 and len({each.id for each in notifications}) == 2


def test_nobody_is_told_of_pending(condition):
    pending = step(None, condition(Holds.YES), 0, Policy(for_us=10)).transition
    assert isinstance(pending, Transition) and pending.after is AlertState.PENDING
    assert plan([pending], Route(receiver="hook"), now_us=1) == []


def test_planning_again_after_a_crash_gives_the_same_ids(firing):
    first, second = (plan([firing()], Route(receiver="hook"), now_us=now) for now in (1, 2))
    assert first[0].id == second[0].id


def test_an_incidents_firing_and_resolve_share_a_lane(condition):
    alert = step(None, condition(Holds.YES), 0, Policy())
    resolved = step(alert.alert, condition(Holds.NO), 1, Policy())
    lanes = {
        each.lane
        for t in (alert, resolved)
        for each in plan([t.transition], Route(receiver="hook"), now_us=2)
    }
    assert len(lanes) == 1


def test_severity_is_a_label_that_routes_can_read(firing):
    (notification,) = plan([firing()], Route(receiver="hook"), now_us=1)
    assert notification.alerts[0].labels["severity"] == Severity.PAGE.value


def test_a_notification_survives_its_row(firing):
    (notification,) = plan([firing()], Route(receiver="hook"), now_us=1)
    assert decode(encode(notification)) == notification
    with pytest.raises(ValueError, match="not what"):
        decode("{}")
