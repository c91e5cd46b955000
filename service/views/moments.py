"""What happened in a range, as thin marks on every time axis: restarts, losses, deploys, findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from service.alerting.evaluator import KnownFinding
from service.views.asking import Asked, Queries, milliseconds, rows
from service.views.overview import title

MOST: Final = 60
"""Most marks of each kind on an axis; the newest are kept."""
_EVENTS: Final = """
SELECT intDiv(at_us, 1000) AS at_ms, kind, host, replica, gpu_uuid, message FROM events
 WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String}
 ORDER BY at_us DESC LIMIT 60"""


def view(store: Queries, question: Asked, findings: Sequence[KnownFinding]) -> list[dict[str, Any]]:
    """Return instants and spans in milliseconds, with their words. One statement.

    A finding is a span (`until_ms` None = it lasts) and leads to its evidence.
    """
    spans = [
        {
            "at_ms": milliseconds(known.finding.start_us),
            "until_ms": milliseconds(known.finding.end_us),
            "kind": "finding",
            "words": f"{title(known.finding.class_id)}: {known.finding.subject}",
            "finding": known.id,
        }
        for known in findings[-MOST:]
    ]
    return [*(_instant(row) for row in rows(store, _EVENTS, question.bound())), *spans]


def _instant(row: dict[str, Any]) -> dict[str, Any]:
    who = row["gpu_uuid"] or row["replica"] or row["host"]
    said = f": {row['message']}" if row["message"] else ""
    return {"at_ms": row["at_ms"], "kind": row["kind"], "words": f"{worded(row['kind'])} {who}{said}"}


def worded(kind: str) -> str:
    """Return an event's kind in words."""
    return kind.replace("_", " ")
