"""The alerts page: what fires, what was said to whom with what outcome, the proof of a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from alerts.ports import Outcome
from alerts.silences import Silence
from alerts.state import Alert, AlertState, Transition
from anomalies.detector import registry
from service.alerting.evaluator import KnownFinding
from service.alerting.finding_rows import known
from service.store.alerts import AlertHistory
from service.store.findings import Findings
from service.store.notifications import NotificationRow
from service.views import evidence
from service.views.asking import Asked, Queries, milliseconds
from service.views.overview import finding
from service.views.sentences import Opening, Sentence, Tone, age, full_stop, plural
from telemetry.condition import Severity
from telemetry.units import MICROS_PER_MINUTE

STATE_ORDER: Final = {
    AlertState.FIRING: 0,
    AlertState.PENDING: 1,
    AlertState.RESOLVED: 2,
    AlertState.INACTIVE: 3,
}
MARGIN_US: Final = 2 * MICROS_PER_MINUTE
MOST_FINDINGS: Final = 200
UNSAID: Final = frozenset({Outcome.DEAD, Outcome.DISABLED})
"""Outcomes after which nobody was told and nobody will be, unless a person acts."""


def alert_rows(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    """Return alerts that were ever bad, the firing ones first."""
    told = [alert for alert in alerts if alert.incident is not None]
    told.sort(key=_weight)
    return [_alert(alert) for alert in told]


def _weight(alert: Alert) -> tuple[Any, ...]:
    """Sort by state and severity, then the newest first; two of one objective and group stay together."""
    return (
        STATE_ORDER[alert.state],
        alert.severity is not Severity.PAGE,
        -(alert.since_us or 0),
        alert.name,
        alert.key,
    )


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "key": alert.key,
        "incident": alert.incident,
        "name": alert.name,
        "state": alert.state.value,
        "severity": alert.severity.value,
        "summary": alert.annotations.get("summary", ""),
        "labels": ", ".join(f"{name} {value}" for name, value in alert.labels.items() if name != "severity"),
        "objective": alert.labels.get("objective"),
        "since_ms": milliseconds(alert.since_us),
        "changed_ms": milliseconds(alert.state_since_us),
        "frozen": alert.frozen_us is not None,
    }


def notification_rows(rows: Sequence[NotificationRow]) -> list[dict[str, Any]]:
    """Return notifications with what became of each, newest first."""
    return [
        {
            "id": row.notification.id,
            "at_ms": milliseconds(row.notification.created_at_us),
            "name": row.notification.alerts[0].labels.get("alertname", ""),
            "incident": row.notification.alerts[0].incident,
            "alerts": len(row.notification.alerts),
            "status": "firing" if row.notification.firing else "resolved",
            "summary": row.notification.alerts[0].annotations.get("summary", ""),
            "receiver": row.notification.receiver,
            "outcome": row.outcome.value if row.outcome else "waiting",
            "detail": row.detail,
            "attempts": row.attempt,
            "finished": row.finished,
        }
        for row in rows
    ]


def silence_rows(silences: Sequence[Silence]) -> list[dict[str, Any]]:
    """Return silences that mute now or will, as a page shows them."""
    return [
        {
            "id": silence.id,
            "matchers": ", ".join(f"{m.label}{m.operator}{m.value}" for m in silence.matchers),
            "from_ms": milliseconds(silence.starts_at_us),
            "until_ms": milliseconds(silence.ends_at_us),
            "by": silence.created_by,
            "comment": silence.comment,
        }
        for silence in silences
    ]


def finding_rows(findings: Findings, question: Asked) -> list[KnownFinding]:
    """Return the findings of a range, newest first. One query."""
    held = findings.between(question.from_us, question.to_us, dataset=question.dataset, limit=MOST_FINDINGS)
    return [known(row) for row in reversed(held)]


def opening(
    alerts: Sequence[Alert], sent: Sequence[NotificationRow], question: Asked, *, receivers: int
) -> Opening:
    """Return what the page says first: what fires, and whether anybody was told."""
    firing = [alert for alert in alerts if alert.state is AlertState.FIRING]
    paging = [alert for alert in firing if alert.severity is Severity.PAGE]
    said = f"{plural(len(firing), 'alert')} {'fires' if len(firing) == 1 else 'fire'}, {len(paging)} by page."
    sentences = [Sentence(said if firing else "Nothing fires.")]
    if not receivers:
        sentences.append(Sentence("Nobody would be told: no receiver is set."))
    elif sent:
        newest = sent[0]
        when = age(question.now_us - newest.notification.created_at_us)
        outcome = newest.outcome.value if newest.outcome else "on its way"
        sentences.append(
            Sentence(f"The last message, {when} ago to {newest.notification.receiver}, is {outcome}.")
        )
    dead = sum(row.outcome in UNSAID for row in sent)
    if dead:
        sentences.append(Sentence(f"{plural(dead, 'message')} could not be delivered: see below."))
    tone = Tone.BAD if paging or dead else Tone.WARN if firing or not receivers else Tone.GOOD
    return Opening(tone, sentences)


def selected(
    store: Queries, findings: Findings, history: AlertHistory, question: Asked
) -> dict[str, Any] | None:
    """Return the finding that the address names, with its timeline and samples; None = none named.

    `finding` is a finding's id, `incident` an alert's, as links in notifications have it.
    """
    row = findings.get(question.filters.get("finding", "")) or _of_incident(findings, history, question)
    if row is None:
        return None
    told = known(row)
    around = evidence.around(question, told.finding.start_us, told.finding.end_us, margin_us=MARGIN_US)
    samples = evidence.samples(store, around, replicas=told.finding.replicas, gpus=told.finding.gpus or None)
    return {
        **finding(told),
        "timeline": _timeline(told, history, question),
        "evidence": samples,
    }


def named(
    history: AlertHistory,
    alerts: Sequence[Alert],
    question: Asked,
    *,
    group_by: Mapping[str, Sequence[str]],
) -> dict[str, Any] | None:
    """Return the alert whose incident the address names, with its transitions; None = none named.

    `group_by` are the objectives' names with the labels that name one of their groups.
    """
    incident = question.filters.get("incident", "")
    moves = _moves(history, question, incident) if incident else []
    if not moves:
        return None
    newest = moves[-1]
    objective = newest.labels.get("objective", "")
    standing = next((alert for alert in alerts if alert.incident == incident), None)
    return {
        "incident": incident,
        "name": newest.name,
        "state": (standing.state if standing else newest.after).value,
        "severity": newest.severity.value,
        "objective": objective if objective in group_by else None,
        "group": " / ".join(newest.labels.get(name, "") for name in group_by.get(objective, ())),
        "summary": full_stop(newest.annotations.get("summary", newest.name)),
        "notes": {name: text for name, text in newest.annotations.items() if name not in {"summary", "gpus"}},
        "timeline": [
            {"what": "first bad sample", "at_ms": milliseconds(newest.since_us)},
            *({"what": move.after.value, "at_ms": milliseconds(move.at_us)} for move in moves),
        ],
    }


def _moves(history: AlertHistory, question: Asked, incident: str) -> list[Transition]:
    """Return an incident's transitions, oldest first, of the newest ten thousand there are."""
    every = history.transitions(0, question.now_us + 1, limit=10_000)
    return [move for move in reversed(every) if move.incident == incident]


def _of_incident(findings: Findings, history: AlertHistory, question: Asked) -> Any:
    incident = question.filters.get("incident", "")
    moves = _moves(history, question, incident) if incident else []
    classes = {detector.id for detector in registry()}
    if not moves or moves[0].name not in classes:
        return None
    first = moves[0]
    held = findings.between(first.since_us, first.at_us + 1, dataset=question.dataset)
    mine = (
        row
        for row in held
        if row.klass == first.name and known(row).finding.subject == first.labels.get("subject")
    )
    return next(mine, None)


def _timeline(told: KnownFinding, history: AlertHistory, question: Asked) -> list[dict[str, Any]]:
    since_us = told.finding.start_us
    until_us = (told.finding.end_us or question.now_us) + MARGIN_US
    moments = [("first bad sample", since_us)]
    moments += [
        (f"alert {transition.after}", transition.at_us)
        for transition in history.transitions(since_us, until_us)
        if transition.name == told.finding.class_id
        and transition.labels.get("subject") == told.finding.subject
    ]
    if told.finding.end_us is not None:
        moments.append(("last bad sample", told.finding.end_us))
    moments.sort(key=lambda moment: moment[1])
    return [{"what": what, "at_ms": milliseconds(at_us)} for what, at_us in moments]
