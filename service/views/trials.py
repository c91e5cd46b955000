"""What a tried objective would have made of the past, as the page of objectives draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from service.past.trying import Trial, movable, numbers
from service.views.asking import Asked, gapless, milliseconds, minutes_of
from service.views.promises import ratio
from slo.backtest import WouldBe
from slo.burn import budget_remaining
from slo.cells import Cells, measured
from slo.durations import written
from telemetry.condition import Severity
from telemetry.units import MICROS_PER_MINUTE

MOST_ALERTS: Final = 50
"""Most alerts told one by one."""
MOST_SPANS: Final = 500


def view(trial: Trial, question: Asked, group: str | None, document: str) -> dict[str, Any]:
    """Return a trial over the question's range, of one group or of all together."""
    objective = trial.objective
    inside = _of_group(measured(trial.cells, objective), group)
    first, end = question.from_us // MICROS_PER_MINUTE, -(-question.to_us // MICROS_PER_MINUTE)
    inside = inside.take((inside.bucket >= first) & (inside.bucket < end))
    good, total = inside.sums()
    alerts = [each for each in trial.alerts if group in (None, " / ".join(each.group))]
    pages = [each for each in alerts if each.severity is Severity.PAGE]
    return {
        "promise": objective.sentence(),
        "limits": movable(objective),
        "numbers": {name: float(at) for name, at in numbers(objective).items()},
        "target": f"{objective.target * 100:f}",
        "good": good,
        "total": total,
        "compliance": good / total if total else None,
        "kept": None if not total else (total - good) <= objective.budget * total,
        "budget_left": ratio(budget_remaining(total - good, total, objective.budget)),
        "over_time": _over_time(inside, minutes_of(question), float(objective.target)),
        "pages": len(pages),
        "tickets": len(alerts) - len(pages),
        "longest_us": max((_end_us(each, question) - each.from_us for each in pages), default=None),
        "paged": _paged(pages, question),
        "alerts": _alerts(alerts[:MOST_ALERTS], question),
        "silent": trial.silent,
        "document": document,
    }


def _of_group(cells: Cells, group: str | None) -> Cells:
    if group is None:
        return cells
    named = np.array([" / ".join(key) == group for key in cells.keys], dtype=np.bool_)
    return cells.take(named[cells.group]) if len(cells.keys) else cells


def _over_time(cells: Cells, question: Asked, target: float) -> dict[str, list[Any]]:
    """Return the good share of each bucket of the range; None where there was nothing to judge."""
    width = question.width_us // MICROS_PER_MINUTE
    at, place = np.unique(cells.bucket // width, return_inverse=True)
    sums = np.zeros((2, len(at)), dtype=np.int64)
    np.add.at(sums[0], place, cells.good)
    np.add.at(sums[1], place, cells.total)
    shares = {"at": (at * question.width_us).tolist(), "share": (sums[0] / np.maximum(sums[1], 1)).tolist()}
    filled = gapless(shares, question)
    return filled | {"target": [target] * len(filled["at"])}


def _paged(pages: Sequence[WouldBe], question: Asked) -> list[dict[str, Any]]:
    """Return the times at which somebody would have been paged, those of all groups laid together."""
    found: list[dict[str, Any]] = []
    for page in sorted(pages, key=lambda each: each.from_us):
        from_ms, to_ms = milliseconds(page.from_us), milliseconds(_end_us(page, question))
        if not found or from_ms > found[-1]["to_ms"]:
            found.append({"from_ms": from_ms, "to_ms": to_ms, "times": 0, "worst": 0.0})
        found[-1]["to_ms"] = max(found[-1]["to_ms"], to_ms)
        found[-1]["times"] += 1
        found[-1]["worst"] = max(found[-1]["worst"], float(page.worst))
    return found[:MOST_SPANS]


def _end_us(alert: WouldBe, question: Asked) -> int:
    """Return when an alert ended, or the range where it still stood."""
    return question.to_us if alert.to_us is None else alert.to_us


def _alerts(alerts: Sequence[WouldBe], question: Asked) -> list[dict[str, Any]]:
    return [
        {
            "severity": each.severity.value,
            "group": " / ".join(each.group),
            "from_ms": milliseconds(each.from_us),
            "to_ms": milliseconds(each.to_us),
            "lasted_us": _end_us(each, question) - each.from_us,
            "windows": f"{written(each.pair.long_us)} and {written(each.pair.short_us)}",
            "worst": float(each.worst),
        }
        for each in alerts
    ]
