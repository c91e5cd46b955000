"""From transitions to notifications: what changed together and goes to one place is one message."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from alerts.notification import Notification, NotifiedAlert, notified
from alerts.routing import Match, Route, matches
from alerts.state import Transition

ALL_LABELS: Final = "..."
MAX_ALERTS: Final = 500
"""Most alerts in one notification; more become further notifications of the same lane."""


def group_labels(route: Route, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that make an alert's group under a route; a label it lacks is left out."""
    if ALL_LABELS in route.group_by:
        return dict(labels)
    return {name: labels[name] for name in route.group_by if name in labels}


def group_key(match: Match, labels: Mapping[str, str]) -> str:
    """Return Alertmanager's group key: the path of matchers, a colon, the group's labels.

    The root without matchers and a group by alertname give `{}:{alertname="A1"}`.
    """
    path = "/".join("{" + ",".join(str(each) for each in matchers) + "}" for matchers in match.path)
    group = group_labels(match.route, labels)
    inner = ", ".join(f'{name}="{group[name]}"' for name in sorted(group))
    return f"{path}:{{{inner}}}"


def plan(transitions: Sequence[Transition], root: Route, *, now_us: int) -> list[Notification]:
    """Return the notifications that transitions decided together make, in their order.

    Transitions of one receiver and group share a notification, at most `MAX_ALERTS` in each.
    Those of which nobody is told (pending) make none. The ids follow from the transitions'
    ids, so planning again after a crash gives the same ids.
    """
    groups: dict[tuple[str, str], list[tuple[Transition, NotifiedAlert, Match]]] = {}
    for transition in transitions:
        if not transition.tells:
            continue
        alert = notified(transition)
        for match in matches(root, alert.labels):
            place = (match.route.receiver, group_key(match, alert.labels))
            groups.setdefault(place, []).append((transition, alert, match))
    return [
        _notification(receiver, key, members[start : start + MAX_ALERTS], now_us)
        for (receiver, key), members in groups.items()
        for start in range(0, len(members), MAX_ALERTS)
    ]


def _notification(
    receiver: str, key: str, members: Sequence[tuple[Transition, NotifiedAlert, Match]], now_us: int
) -> Notification:
    _, first, match = members[0]
    lane = f"{receiver}/{key}"
    names = "\0".join([lane, *(transition.id for transition, _, _ in members)])
    return Notification(
        id=f"msg_{hashlib.sha256(names.encode()).hexdigest()[:24]}",
        lane=lane,
        receiver=receiver,
        group_key=key,
        group_labels=group_labels(match.route, first.labels),
        created_at_us=now_us,
        alerts=tuple(alert for _, alert, _ in members),
    )
