"""The alert state machine: one pure step from (previous alert, condition, now) to the next.

Guarantees, each a property test:

- a step repeated with its own result changes nothing and makes no transition;
- an unknown condition freezes the alert: it neither fires nor resolves, and the time spent
  not knowing counts towards no timer;
- the transitions that people are told of alternate: firing, resolved, firing, ...
- the ids of incidents and transitions follow from what happened alone, so a decision that is
  repeated after a crash repeats its ids.

Words and timers are Prometheus' (`for`, `keep_firing_for`; rules/alerting.go).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from telemetry.condition import Condition, Holds, Severity

_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_FNV_MASK: Final = 0xFFFFFFFFFFFFFFFF


class AlertState(StrEnum):
    """Prometheus' states, and `resolved` for an alert that has fired and no longer does."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long a condition must hold before it fires, and be gone before it resolves.

    Microseconds; 0 = at the first evaluation that says so.
    """

    for_us: int = 0
    keep_firing_us: int = 0

    def __post_init__(self) -> None:
        """Refuse negative durations with `ValueError`."""
        if self.for_us < 0 or self.keep_firing_us < 0:
            raise ValueError(f"alert policy: durations must not be negative: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert as it stands: a row of state, replaced by each step.

    `key` (Alertmanager's fingerprint of name and labels) identifies it for ever; `incident`
    is the episode that is open, or was last, None before the first. `timer_us` is when the
    running wait began; `frozen_us` is when the condition became unknown, None while known.
    """

    key: str
    name: str
    labels: Mapping[str, str]
    state: AlertState
    state_since_us: int
    severity: Severity
    annotations: Mapping[str, str]
    incident: str | None = None
    since_us: int | None = None
    """First bad fact of the open or last episode, UTC microseconds."""
    timer_us: int | None = None
    frozen_us: int | None = None
    sequence: int = 0
    """How many transitions this alert has made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of state: a row, committed together with the alert it changed.

    `since_us` is the first bad fact; `at_us` the evaluation that decided.
    """

    id: str
    incident: str
    key: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    severity: Severity
    before: AlertState
    after: AlertState
    at_us: int
    since_us: int

    @property
    def tells(self) -> bool:
        """Whether a person is told of it: firing and resolved are, pending is not."""
        return self.after in (AlertState.FIRING, AlertState.RESOLVED)


@dataclass(frozen=True, slots=True)
class Step:
    """What one evaluation makes of an alert: the new row, and the transition if it changed state."""

    alert: Alert
    transition: Transition | None = None


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return Alertmanager's fingerprint of a label set: 16 hex digits.

    FNV-1a (64 bit) over the sorted names and values, each followed by 0xff
    (prometheus/common, model/signature.go: labelSetToFingerprint).
    """
    digest = _FNV_OFFSET
    parts = (part for name in sorted(labels) for part in (name, labels[name]))
    for byte in b"".join(part.encode() + b"\xff" for part in parts):
        digest = ((digest ^ byte) * _FNV_PRIME) & _FNV_MASK
    return f"{digest:016x}"


def alert_labels(name: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels an alert is known by outside: its own and `alertname`."""
    return {**labels, "alertname": name}


def step(previous: Alert | None, condition: Condition, now_us: int, policy: Policy) -> Step:
    """Return the alert after one evaluation at `now_us`, and its transition if it made one.

    `previous` None = never evaluated. Raises `ValueError` when `previous` is another alert's.
    """
    alert = _current(previous, condition, now_us)
    if condition.holds is Holds.UNKNOWN:
        frozen = now_us if alert.frozen_us is None else alert.frozen_us
        return Step(replace(alert, frozen_us=frozen))
    alert = _thawed(alert, now_us)
    if condition.holds is Holds.YES:
        return _holding(alert, condition, now_us, policy)
    return _clear(alert, condition, now_us, policy)


def _current(previous: Alert | None, condition: Condition, now_us: int) -> Alert:
    key = fingerprint(alert_labels(condition.name, condition.labels))
    if previous is None:
        return Alert(
            key=key,
            name=condition.name,
            labels=dict(condition.labels),
            state=AlertState.INACTIVE,
            state_since_us=now_us,
            severity=condition.severity,
            annotations=dict(condition.annotations),
        )
    if previous.key != key:
        raise ValueError(
            f"alert {previous.key} ({previous.name}) cannot be stepped by condition "
            f"{condition.name} {dict(condition.labels)}: labels identify an alert and never change"
        )
    return previous


def _thawed(alert: Alert, now_us: int) -> Alert:
    """Take the time spent not knowing out of the running timer."""
    if alert.frozen_us is None:
        return alert
    waited = max(0, now_us - alert.frozen_us)
    timer = None if alert.timer_us is None else alert.timer_us + waited
    return replace(alert, frozen_us=None, timer_us=timer)


def _holding(alert: Alert, condition: Condition, now_us: int, policy: Policy) -> Step:
    alert = replace(alert, severity=condition.severity, annotations=dict(condition.annotations))
    if alert.state is AlertState.FIRING:
        return Step(replace(alert, timer_us=None))
    if alert.state is not AlertState.PENDING:
        since = now_us if condition.since_us is None else condition.since_us
        incident = _digest(alert.key, str(alert.sequence), str(now_us))
        alert = replace(alert, incident=incident, since_us=since, timer_us=now_us)
    waited = now_us - (now_us if alert.timer_us is None else alert.timer_us)
    if waited >= policy.for_us:
        return _moved(replace(alert, timer_us=None), AlertState.FIRING, now_us)
    if alert.state is AlertState.PENDING:
        return Step(alert)
    return _moved(alert, AlertState.PENDING, now_us)


def _clear(alert: Alert, condition: Condition, now_us: int, policy: Policy) -> Step:
    if alert.state is AlertState.PENDING:
        return _moved(replace(alert, timer_us=None), AlertState.INACTIVE, now_us)
    if alert.state is not AlertState.FIRING:
        return Step(alert)
    gone_since = now_us if alert.timer_us is None else alert.timer_us
    if now_us - gone_since >= policy.keep_firing_us:
        why = {**alert.annotations, **condition.annotations}
        return _moved(replace(alert, timer_us=None, annotations=why), AlertState.RESOLVED, now_us)
    return Step(replace(alert, timer_us=gone_since))


def _moved(alert: Alert, after: AlertState, now_us: int) -> Step:
    moved = replace(alert, state=after, state_since_us=now_us, sequence=alert.sequence + 1)
    incident = alert.incident or ""
    transition = Transition(
        id=f"{incident}-{moved.sequence}",
        incident=incident,
        key=alert.key,
        name=alert.name,
        labels=alert.labels,
        annotations=alert.annotations,
        severity=alert.severity,
        before=alert.state,
        after=after,
        at_us=now_us,
        since_us=now_us if alert.since_us is None else alert.since_us,
    )
    return Step(moved, transition)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
