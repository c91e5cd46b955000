"""Judged objectives as rows: one for each objective and group, by budget left."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from slo.burn import YES
from slo.durations import written
from slo.evaluate import Judgement, Verdict
from telemetry.condition import Severity

MOST_ROWS = 500
"""Most groups shown of all objectives together; the page says when there are more."""


def rows(judgements: Iterable[Judgement]) -> list[dict[str, Any]]:
    """Return a row for each group with traffic or history, least budget left first."""
    found = [
        _row(judgement.verdict(group))
        for judgement in judgements
        for group in range(len(judgement.counts.keys))
    ]
    found.sort(key=lambda row: (row["budget_left"] is None, row["budget_left"] or 0.0))
    return found[:MOST_ROWS]


def _row(verdict: Verdict) -> dict[str, Any]:
    objective, pair = verdict.objective, verdict.firing
    period = verdict.windows[-1]
    return {
        "objective": objective.name,
        "title": objective.display_name,
        "group": " / ".join(verdict.group),
        "group_key": list(verdict.group),
        "target": f"{objective.target * 100:f}".rstrip("0").rstrip("."),
        "guess": objective.guess,
        "burn": {written(each.window_us): ratio(each.burn) for each in verdict.windows},
        "fires": [written(pair.long_us), written(pair.short_us)] if pair else [],
        "severity": pair.severity if pair else None,
        "state": state(verdict),
        "good": period.good,
        "total": period.total,
        "budget_left": ratio(verdict.budget_remaining),
    }


def state(verdict: Verdict) -> str:
    """Return the worst of page, ticket, ok; `unknown` where there is no data to judge by."""
    if verdict.firing:
        return verdict.firing.severity.value
    return "ok" if verdict.kept is not None else "unknown"


def burning(judgements: Iterable[Judgement], severity: Severity | None = None) -> int:
    """Return how many groups fire a pair, of any or of one severity."""
    total = 0
    for judgement in judgements:
        if severity is None:
            total += int((judgement.answers == YES).any(axis=0).sum())
        else:
            total += int((judgement.holds(severity) == YES).sum())
    return total


def ratio(value: object) -> float | None:
    """Return an exact fraction as a number for a page; None stays None."""
    if value is None:
        return None
    number = float(value)  # type: ignore[arg-type]  # a Fraction
    return number if math.isfinite(number) else None
