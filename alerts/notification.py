"""What is sent: one notification for one receiver, and its text form for a state row.

A notification is complete when it is decided: nothing is looked up when it is sent, so a
repeat after a crash sends the same words under the same id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from alerts.state import AlertState, Transition, alert_labels, fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifiedAlert:
    """One alert inside a notification. `ends_at_us` None = still firing."""

    incident: str
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at_us: int
    ends_at_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A message for one receiver.

    `id` is the Standard Webhooks id: stable across retries, unique for ever, without a dot.
    Notifications of one `lane` (receiver and group) are sent in the order in which the store
    was given them; an incident never leaves its lane, so its resolve never overtakes its firing.
    """

    id: str
    lane: str
    receiver: str
    group_key: str
    group_labels: Mapping[str, str]
    created_at_us: int
    alerts: tuple[NotifiedAlert, ...]

    @property
    def firing(self) -> bool:
        """Whether any of its alerts fires; false = all resolved."""
        return any(alert.ends_at_us is None for alert in self.alerts)

    @property
    def incidents(self) -> frozenset[str]:
        """The incidents it speaks of."""
        return frozenset(alert.incident for alert in self.alerts)


def notified(transition: Transition) -> NotifiedAlert:
    """Return a transition as an alert inside a notification; severity becomes a label.

    Raises `ValueError` for a transition of which nobody is told (`Transition.tells`).
    """
    if not transition.tells:
        raise ValueError(f"transition {transition.id} to {transition.after} is not told to anyone")
    labels = alert_labels(transition.name, {**transition.labels, "severity": transition.severity.value})
    return NotifiedAlert(
        incident=transition.incident,
        fingerprint=fingerprint(alert_labels(transition.name, transition.labels)),
        labels=labels,
        annotations=dict(transition.annotations),
        starts_at_us=transition.since_us,
        ends_at_us=transition.at_us if transition.after is AlertState.RESOLVED else None,
    )


def encode(notification: Notification) -> str:
    """Return a notification as JSON text, for one column of a state row."""
    return json.dumps(asdict(notification), separators=(",", ":"), sort_keys=True)


def decode(text: str) -> Notification:
    """Return the notification that `encode` wrote. Raises `ValueError` for anything else."""
    try:
        fields: dict[str, Any] = json.loads(text)
        told = tuple(NotifiedAlert(**alert) for alert in fields.pop("alerts"))
        return Notification(**fields, alerts=told)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"notification row: not what `encode` writes ({error!r})") from None
