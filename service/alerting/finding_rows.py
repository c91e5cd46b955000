"""Between the evaluator's findings and the state store's rows: the same finding, kept as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from anomalies.finding import Finding, Series
from service.alerting.evaluator import KnownFinding
from service.store.evidence import Evidence, EvidenceRows
from service.store.findings import Findings, StoredFinding


class FindingStore:
    """Implements `service.alerting.evaluator.FindingRows`: findings in state, their samples in facts."""

    def __init__(self, rows: Findings, evidence: EvidenceRows, clock: Callable[[], int]) -> None:
        self._rows, self._evidence, self._clock = rows, evidence, clock

    def open_findings(self) -> list[KnownFinding]:
        """Return the findings that have not ended; without evidence, which the next look brings."""
        return [known(row) for row in self._rows.open()]

    def save_findings(self, changed: Sequence[KnownFinding], now_us: int) -> None:
        """Keep new, changed and ended findings, and the samples seen since the last time."""
        self._rows.keep([stored(each, now_us) for each in changed])
        self._evidence.write(
            [piece for one in changed for piece in _pieces(one)], written_at_us=self._clock()
        )


def stored(each: KnownFinding, now_us: int, dataset: str = "") -> StoredFinding:
    """Return a finding as a row."""
    told = each.finding
    return StoredFinding(
        id=each.id,
        klass=told.class_id,
        cause=told.cause,
        severity=told.severity,
        replicas=told.replicas,
        started_at_us=told.start_us,
        updated_at_us=now_us,
        ended_at_us=told.end_us,
        summary={
            "subject": told.subject,
            "pool": told.pool,
            "model": told.model,
            "gpus": json.dumps(told.gpus),
            "idle_gpus": json.dumps(told.idle_gpus),
            "score": f"{told.score:.3f}",
            "runner_up": told.runner_up or "",
        },
        cost_nano=each.cost_nano,
        evidence_id=each.id,
        dataset=dataset,
    )


def known(row: StoredFinding) -> KnownFinding:
    """Return a row as the evaluator knows findings; evidence is not part of a row."""
    notes = row.summary
    finding = Finding(
        class_id=row.klass,
        subject=notes["subject"],
        severity=row.severity,
        cause=row.cause,
        replicas=row.replicas,
        pool=notes["pool"],
        model=notes["model"],
        gpus=tuple(json.loads(notes["gpus"])),
        idle_gpus=tuple(json.loads(notes["idle_gpus"])),
        start_us=row.started_at_us,
        end_us=row.ended_at_us,
        evidence=(),
        score=float(notes["score"]),
        runner_up=notes["runner_up"] or None,
    )
    return KnownFinding(id=row.id, finding=finding, cost_nano=row.cost_nano)


def _pieces(each: KnownFinding) -> list[Evidence]:
    return [_piece(each.id, series) for series in each.finding.evidence if series.points]


def _piece(finding_id: str, series: Series) -> Evidence:
    body: dict[str, Any] = {"signal": series.signal, "replica": series.replica, "points": series.points}
    return Evidence(
        finding_id=finding_id,
        at_us=series.points[-1][0],
        name=f"{series.signal} {series.replica}",
        body=json.dumps(body, separators=(",", ":")),
    )
