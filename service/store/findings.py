"""Findings, open and closed: what a detector said, about whom, from when to when."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, select

from service.store.database import Database, upsert
from service.store.schema import findings
from telemetry.condition import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFinding:
    """A finding as it stands. `ended_at_us` None = open; `cost_nano` None = not known.

    `klass` is the detector's id (A9, capacity), `cause` one sentence, `summary` figures by
    name for people; the samples are evidence in the facts store under `evidence_id`.
    """

    id: str
    klass: str
    cause: str
    severity: Severity
    replicas: tuple[str, ...]
    started_at_us: int
    updated_at_us: int
    ended_at_us: int | None = None
    summary: Mapping[str, str] = field(default_factory=dict)
    cost_nano: int | None = None
    evidence_id: str | None = None
    dataset: str = ""


class Findings:
    """The findings of one state store. Thread-safe; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, standing: Sequence[StoredFinding]) -> None:
        """Keep findings as they stand, in place of what was known under their ids."""
        with self._database.writing() as connection:
            for each in standing:
                upsert(connection, findings, _row(each))

    def open(self, dataset: str = "") -> list[StoredFinding]:
        """Return the findings that have not ended, oldest first."""
        return self._listed((findings.c.dataset == dataset) & findings.c.ended_at_us.is_(None))

    def between(
        self, from_us: int, to_us: int, *, dataset: str = "", limit: int = 1_000
    ) -> list[StoredFinding]:
        """Return findings that were open at some time in [from_us, to_us), oldest first."""
        lasted = (findings.c.ended_at_us.is_(None)) | (findings.c.ended_at_us >= from_us)
        return self._listed(
            (findings.c.dataset == dataset) & (findings.c.started_at_us < to_us) & lasted, limit
        )

    def get(self, finding_id: str) -> StoredFinding | None:
        """Return one finding; None = there is none of this id."""
        return next(iter(self._listed(findings.c.id == finding_id)), None)

    def _listed(self, chosen: Any, limit: int = 10_000) -> list[StoredFinding]:
        ordered = select(findings).where(chosen).order_by(findings.c.started_at_us, findings.c.id)
        with self._database.reading() as connection:
            return [_finding(row) for row in connection.execute(ordered.limit(limit)).mappings()]


def _row(finding: StoredFinding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "class": finding.klass,
        "cause": finding.cause,
        "severity": finding.severity.value,
        "replicas": json.dumps(finding.replicas),
        "summary": json.dumps(dict(finding.summary), sort_keys=True),
        "started_at_us": finding.started_at_us,
        "ended_at_us": finding.ended_at_us,
        "updated_at_us": finding.updated_at_us,
        "cost_nano": finding.cost_nano,
        "evidence_id": finding.evidence_id,
        "dataset": finding.dataset,
    }


def _finding(row: RowMapping) -> StoredFinding:
    fields = dict(row)
    return StoredFinding(
        klass=fields.pop("class"),
        severity=Severity(fields.pop("severity")),
        replicas=tuple(json.loads(fields.pop("replicas"))),
        summary=json.loads(fields.pop("summary")),
        **fields,
    )
