"""Sloth's promises as OpenSLO v1: their PromQL kept as a Prometheus source, their alerts as a note."""

from __future__ import annotations

import json
import re
from typing import Final

from service.objectives.languages.documents import Document, check_openslo
from service.objectives.languages.durations import prometheus_duration
from service.objectives.languages.openslo_fields import V1
from service.objectives.languages.rules import exact
from service.objectives.languages.service_level import Query, ServiceLevel
from service.objectives.languages.trees import grown
from service.objectives.located import Fields

ALERTING: Final = "sloth.slok.dev/alerting"
"""The annotation that keeps Sloth's alerts: one OpenSLO policy cannot state a pair of windows."""


def slo_document(document: Document, level: ServiceLevel) -> Document:
    """Return an OpenSLO v1 document of a promise; what OpenSLO forbids is noted at the promise."""
    name = re.sub(r"[^a-z0-9-]", "-", level.id.lower())
    metadata: dict[str, object] = {"name": name, "displayName": level.name}
    if level.labels:
        metadata["labels"] = dict(level.labels)
    if level.alerts:
        metadata["annotations"] = {ALERTING: _alerting(level)}
    spec: dict[str, object] = {
        **({"description": level.description} if level.description else {}),
        "service": level.service,
        "indicator": {"metadata": {"name": name}, "spec": {"ratioMetric": _ratio(level.query)}},
        "timeWindow": [{"duration": _days(level.period_us), "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"target": float(exact(level.target))}],
    }
    whole = {"apiVersion": V1, "kind": "SLO", "metadata": metadata, "spec": spec}
    fields = grown(whole, level.origin.place)
    assert isinstance(fields, Fields)
    made = document.holding(fields)
    check_openslo(made)
    return made


def _ratio(query: Query) -> dict[str, object]:
    if query.ratio:
        return {"rawType": "failure", "raw": _metric(query.ratio)}
    part = {"bad": _metric(query.bad)} if query.bad else {"good": _metric(query.good)}
    return {"counter": True, **part, "total": _metric(query.total)}


def _metric(query: str) -> dict[str, object]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def _days(period_us: int) -> str:
    """Return a period in the units that OpenSLO has."""
    whole = prometheus_duration(period_us)
    return f"{int(whole[:-1]) * 365}d" if whole.endswith("y") else whole


def _alerting(level: ServiceLevel) -> str:
    alerts = [
        {
            "name": alert.name,
            "severity": str(alert.severity),
            "labels": dict(alert.labels),
            "annotations": dict(alert.annotations),
        }
        for alert in level.alerts
    ]
    return json.dumps(alerts, ensure_ascii=False)
