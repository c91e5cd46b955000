"""The alerts page: what fires, what was said to whom with what outcome, the proof of a finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from alerts.state import Alert, AlertState
from service.evaluator import KnownFinding
from service.finding_rows import known
from service.store.alerts import AlertHistory
from service.store.findings import Findings
from service.store.notifications import NotificationRow
from service.views.asking import Asked, Queries, columns, gapless, milliseconds
from service.views.overview import finding
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

STATE_ORDER: Final = {
    AlertState.FIRING: 0,
    AlertState.PENDING: 1,
    AlertState.RESOLVED: 2,
    AlertState.INACTIVE: 3,
}
MARGIN_US: Final = 2 * MICROS_PER_MINUTE
_HERE: Final = """
 WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String}"""
_ENGINE: Final = (
    "SELECT at, sum(running) AS running, sum(waiting) AS waiting, max(kv) AS kv, sum(tokens) AS tokens FROM ("
    "SELECT intDiv(at_us, {width_us:Int64}) * {width_us:Int64} AS at, replica, "
    "avg(requests_running) AS running, avg(requests_waiting) AS waiting, avg(kv_usage_ratio) AS kv, "
    "greatest(max(generation_tokens_total) - min(generation_tokens_total), 0) * 1e6 / {width_us:Int64} "
    "AS tokens "
    "FROM engine_samples" + _HERE + " AND vantage = 'engine' AND has({replicas:Array(String)}, replica) "
    "GROUP BY at, replica) GROUP BY at ORDER BY at"
)
_GPU: Final = (
    "SELECT intDiv(at_us, {width_us:Int64}) * {width_us:Int64} AS at, avg(sm_activity_ratio) AS sm "
    "FROM gpu_samples" + _HERE + " AND has({gpus:Array(String)}, gpu_uuid) GROUP BY at ORDER BY at"
)


def alert_rows(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    """Return alerts that were ever bad, the firing ones first."""
    told = [alert for alert in alerts if alert.incident is not None]
    told.sort(key=lambda alert: (STATE_ORDER[alert.state], -(alert.since_us or 0)))
    return [
        {
            "key": alert.key,
            "name": alert.name,
            "state": alert.state.value,
            "severity": alert.severity.value,
            "summary": alert.annotations.get("summary", ""),
            "labels": ", ".join(
                f"{name} {value}" for name, value in alert.labels.items() if name != "severity"
            ),
            "since_ms": milliseconds(alert.since_us),
        }
        for alert in told
    ]


def notification_rows(rows: Sequence[NotificationRow]) -> list[dict[str, Any]]:
    """Return notifications with what became of each, newest first."""
    return [
        {
            "id": row.notification.id,
            "at_ms": milliseconds(row.notification.created_at_us),
            "name": row.notification.alerts[0].labels.get("alertname", ""),
            "status": "firing" if row.notification.firing else "resolved",
            "summary": row.notification.alerts[0].annotations.get("summary", ""),
            "receiver": row.notification.receiver,
            "outcome": row.outcome.value if row.outcome else "waiting",
            "detail": row.detail,
            "attempts": row.attempt,
        }
        for row in rows
    ]


def finding_rows(findings: Findings, question: Asked) -> list[dict[str, Any]]:
    """Return the findings of a range, newest first. One query."""
    held = findings.between(question.from_us, question.to_us, dataset=question.dataset, limit=200)
    return [finding(known(row)) for row in reversed(held)]


def selected(
    store: Queries, findings: Findings, history: AlertHistory, question: Asked
) -> dict[str, Any] | None:
    """Return the finding that the address names, with its timeline and samples; None = none named."""
    row = findings.get(question.filters.get("finding", ""))
    if row is None:
        return None
    told = known(row)
    return {
        **finding(told),
        "timeline": _timeline(told, history, question),
        "evidence": _evidence(store, told, question),
    }


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


def _evidence(store: Queries, told: KnownFinding, question: Asked) -> dict[str, list[Any]]:
    """Return the samples of a finding's replicas around its time, from the facts themselves."""
    start = told.finding.start_us - MARGIN_US
    end = min((told.finding.end_us or question.now_us) + MARGIN_US, question.now_us)
    width = max(2, (end - start) // MICROS_PER_SECOND // 200) * MICROS_PER_SECOND
    around = Asked(
        now_us=question.now_us,
        from_us=start // width * width,
        to_us=end,
        width_us=width,
        dataset=question.dataset,
    )
    engine = gapless(columns(store, _ENGINE, around.bound(replicas=list(told.finding.replicas))), around)
    gpu = gapless(columns(store, _GPU, around.bound(gpus=list(told.finding.gpus))), around)
    return {**engine, "sm": gpu.get("sm", [])}
