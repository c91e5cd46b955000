"""From conditions to rows: every condition is stepped, and what changed is planned and committed.

One round = one transaction: the new states, the transitions and the notifications they make
are either all there after a crash or none of them. What was known and is not judged this round
is unknown, which freezes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from alerts.grouping import plan
from alerts.notification import Notification
from alerts.routing import Route
from alerts.state import Alert, AlertState, Policy, Transition, alert_labels, fingerprint, step
from telemetry.condition import Condition, Holds
from telemetry.units import MICROS_PER_HOUR

MOST_KEYS: Final = 200_000
"""Alert keys remembered; beyond it they are computed again."""
FORGET_US: Final = 24 * MICROS_PER_HOUR
"""An alert that is inactive or resolved for this long is let go of."""


class AlertRows(Protocol):
    """What alerting needs of the state store; both calls are one transaction each."""

    def alerts(self) -> list[Alert]:
        """Return every alert as it stands."""
        ...

    def commit(
        self,
        alerts: Sequence[Alert],
        transitions: Sequence[Transition],
        notifications: Sequence[Notification],
    ) -> None:
        """Keep changed alerts, new transitions and new notifications, all or none."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """What one round changed."""

    alerts: tuple[Alert, ...]
    transitions: tuple[Transition, ...]
    notifications: tuple[Notification, ...]


class Alerting:
    """The alerts of this service. Used by the evaluator's thread alone; `standing` by any."""

    def __init__(self, rows: AlertRows, *, policy: Policy | None = None) -> None:
        """Load the alerts as they stood when the last process ended. One query."""
        self._rows = rows
        self._policy = policy or Policy()
        self._alerts = _by_key(rows.alerts())
        self._sure = True
        """False after a commit of which it is not known whether it happened."""
        self._keys: dict[tuple[object, ...], str] = {}

    @property
    def standing(self) -> tuple[Alert, ...]:
        """Every alert known, whatever its state."""
        return tuple(self._alerts.values())

    def open(self) -> tuple[Alert, ...]:
        """Return the alerts that are pending or firing."""
        return tuple(a for a in self.standing if a.state in (AlertState.PENDING, AlertState.FIRING))

    def round(self, conditions: Iterable[Condition], root: Sequence[Route], now_us: int) -> Round:
        """Step every condition, plan what people are told under each root route, and commit.

        In memory nothing moves before the commit has succeeded. The round after a failed one
        begins with what the rows say: the commit may have happened and only its answer been lost.
        """
        if not self._sure:
            self._alerts, self._sure = _by_key(self._rows.alerts()), True
        judged = {key: one for one in conditions if self._matters(key := self._key(one), one)}
        unjudged = (_unknown(alert) for alert in self.open() if alert.key not in judged)
        steps = [
            step(self._alerts.get(key), condition, now_us, self._policy) for key, condition in judged.items()
        ]
        steps += [step(self._alerts[self._key(one)], one, now_us, self._policy) for one in unjudged]
        changed = tuple(one.alert for one in steps if one.alert != self._alerts.get(one.alert.key))
        transitions = tuple(one.transition for one in steps if one.transition is not None)
        planned = tuple(note for route in root for note in plan(transitions, route, now_us=now_us))
        worth_a_row = [alert for alert in changed if self._durable(alert)]
        if worth_a_row or transitions:
            self._sure = False
            self._rows.commit(worth_a_row, transitions, planned)
            self._sure = True
        self._alerts = self._remembered(changed, now_us)
        return Round(changed, transitions, planned)

    def _matters(self, key: str, condition: Condition) -> bool:
        """Tell whether a condition can change anything: one that never held and does not, cannot."""
        return condition.holds is Holds.YES or key in self._alerts

    def _key(self, condition: Condition) -> str:
        """Return the alert's key, computed once for each name and label set."""
        identity = (condition.name, *condition.labels.items())
        key = self._keys.get(identity)
        if key is None:
            if len(self._keys) >= MOST_KEYS:
                self._keys.clear()
            key = fingerprint(alert_labels(condition.name, condition.labels))
            self._keys[identity] = key
        return key

    def _durable(self, alert: Alert) -> bool:
        """Tell whether a changed alert is worth a row.

        One that was never bad is not, and neither are new words alone: they are kept with the
        next change of state, or thousands of rows would be written at every evaluation.
        """
        before = self._alerts.get(alert.key)
        only_words = before is not None and replace(alert, annotations=before.annotations) == before
        return alert.incident is not None and not only_words

    def _remembered(self, changed: Iterable[Alert], now_us: int) -> dict[str, Alert]:
        """Return all alerts without those that are over for long. A new dict: other threads read the old."""
        quiet = (AlertState.INACTIVE, AlertState.RESOLVED)
        return {
            key: alert
            for key, alert in (self._alerts | _by_key(changed)).items()
            if alert.state not in quiet or now_us - alert.state_since_us <= FORGET_US
        }


def _by_key(alerts: Iterable[Alert]) -> dict[str, Alert]:
    return {alert.key: alert for alert in alerts}


def _unknown(alert: Alert) -> Condition:
    return Condition(
        name=alert.name,
        labels=alert.labels,
        severity=alert.severity,
        holds=Holds.UNKNOWN,
        annotations=alert.annotations,
    )
