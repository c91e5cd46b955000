"""The overview: is every promise kept, what burns, what is idle while something waits, what it costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from anomalies.detector import registry
from anomalies.finding import latest
from anomalies.frame import ReplicaFrame
from anomalies.states import Life
from service.evaluator import Evaluation, KnownFinding
from service.store.ledger import STANDING
from service.views import promises
from service.views.asking import Asked, Queries, columns, gapless, milliseconds, rows
from service.views.sentences import Standing
from telemetry.condition import Severity
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND

RECENT_US: Final = 15 * MICROS_PER_MINUTE
"""Money per hour is told of the intervals closed within this time."""
_ARRIVED: Final = """
SELECT intDiv(started_at_us, {width_us:Int64}) * {width_us:Int64} AS at, count() AS arrived FROM requests
 WHERE started_at_us >= {from_us:Int64} AND started_at_us < {to_us:Int64} AND ended_at_us >= {from_us:Int64}
   AND dataset = {dataset:String} AND NOT synthetic GROUP BY at ORDER BY at"""
_FINISHED: Final = """
SELECT intDiv(ended_at_us, {width_us:Int64}) * {width_us:Int64} AS at, count() AS finished FROM requests
 WHERE ended_at_us >= {from_us:Int64} AND ended_at_us < {to_us:Int64}
   AND dataset = {dataset:String} AND NOT synthetic GROUP BY at ORDER BY at"""
_QUEUED: Final = """
SELECT at, sum(running) AS running, sum(waiting) AS waiting FROM (
  SELECT intDiv(at_us, {width_us:Int64}) * {width_us:Int64} AS at, replica,
         avg(requests_running) AS running, avg(requests_waiting) AS waiting
    FROM engine_samples WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64}
     AND dataset = {dataset:String} AND vantage = 'engine' GROUP BY at, replica)
 GROUP BY at ORDER BY at"""
_MONEY: Final = (
    "SELECT class AS name, sum(amount_nano) AS amount_nano, min(interval_start_us) AS start_us, "
    "max(interval_end_us) AS end_us" + STANDING + " GROUP BY name"
)


def view(
    store: Queries, question: Asked, evaluation: Evaluation, *, ledger_version: str, currency: str
) -> dict[str, Any]:
    """Return the page. Four statements; all else is the last evaluation."""
    return {
        "currency": currency,
        "promises": promises.rows(evaluation.judgements)[:12],
        "findings": [finding(known) for known in by_weight(evaluation.findings)],
        "fleet": [] if evaluation.frame is None else fleet(evaluation.frame, evaluation.states),
        "money": money(store, question, ledger_version),
        "demand": _demand(store, question),
    }


def standing(
    evaluation: Evaluation,
    charged: Mapping[str, Any],
    *,
    newest_us: int | None,
    now_us: int,
    stale_us: int,
    currency: str,
) -> Standing:
    """Return what the opening sentence needs, from the same evaluation that the page shows."""
    groups = sum(len(judgement.counts.keys) for judgement in evaluation.judgements)
    kept = promises.rows(evaluation.judgements)
    idle = sum(c["nano_per_hour"] for c in charged["classes"] if c["name"].startswith("idle"))
    return Standing(
        promises=groups,
        burning=promises.burning(evaluation.judgements),
        paging=promises.burning(evaluation.judgements, Severity.PAGE),
        unknown=sum(row["state"] == "unknown" for row in kept),
        causes=[known.finding.cause for known in by_weight(evaluation.findings)],
        idle_nano_per_hour=idle or None,
        currency=currency,
        newest_us=newest_us,
        now_us=now_us,
        stale_after_us=stale_us,
        since_us=evaluation.all_well_since_us,
    )


def by_weight(found: Sequence[KnownFinding]) -> list[KnownFinding]:
    """Return findings by severity and then by what they have cost."""
    return sorted(found, key=lambda k: (k.finding.severity is not Severity.PAGE, -(k.cost_nano or 0)))


def finding(known: KnownFinding) -> dict[str, Any]:
    """Return a finding as a page shows it."""
    told = known.finding
    return {
        "id": known.id,
        "class": told.class_id,
        "title": title(told.class_id),
        "sentence": told.cause,
        "pool": told.pool,
        "replicas": list(told.replicas),
        "gpus": list(told.gpus),
        "severity": told.severity,
        "since_ms": milliseconds(told.start_us),
        "ended_ms": milliseconds(told.end_us),
        "cost_nano": known.cost_nano,
    }


def title(class_id: str) -> str:
    """Return a class as a page names it: its id and its detector's title."""
    return next((f"{each.id} {each.title}" for each in registry() if each.id == class_id), class_id)


def fleet(frame: ReplicaFrame, states: Mapping[str, Life]) -> list[dict[str, Any]]:
    """Return pools, their replicas and GPUs as they were last seen in an evaluation's frame."""
    last = frame.grid.steps - 1
    pools: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row, replica in enumerate(frame.replicas):
        heard = bool(frame.fresh[row, -30:].any())
        gpu = {
            "sm": latest(frame.sm_activity, row, last),
            "busy": latest(frame.kernel_busy, row, last),
            "up": True if heard else None,
        }
        pools[frame.pools[row]].append(
            {
                "replica": replica,
                "model": frame.models[row],
                "state": states[replica].state.value if replica in states else frame.states[row].value,
                "running": latest(frame.running, row, last),
                "waiting": latest(frame.waiting, row, last),
                "kv": latest(frame.kv_usage, row, last),
                "gpus": [{"uuid": uuid, **gpu} for uuid in frame.gpus[row]]
                or [{"uuid": "no GPU named", **gpu}],
            }
        )
    return [
        {
            "pool": pool,
            "replicas": sorted(members, key=lambda member: member["replica"]),
            "running": _total(members, "running"),
            "waiting": _total(members, "waiting"),
        }
        for pool, members in sorted(pools.items())
    ]


def _total(members: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [member[name] for member in members if member[name] is not None]
    return float(np.sum(known)) if known else None


def money(store: Queries, question: Asked, ledger_version: str) -> dict[str, Any]:
    """Return the charge per hour by class, from the intervals closed in the last quarter of an hour."""
    bound = question.bound(ledger_version=ledger_version, since_us=question.now_us - 900 * MICROS_PER_SECOND)
    found = rows(store, _MONEY, bound)
    ends, starts = [row["end_us"] for row in found], [row["start_us"] for row in found]
    span = max(ends, default=0) - min(starts, default=0)
    classes = [
        {"name": row["name"], "nano_per_hour": row["amount_nano"] * MICROS_PER_HOUR // span}
        for row in found
        if row["amount_nano"] is not None and span
    ]
    classes.sort(key=lambda entry: -entry["nano_per_hour"])
    return {
        "classes": classes,
        "total_nano_per_hour": sum(entry["nano_per_hour"] for entry in classes),
        "unpriced": "some GPUs" if any(row["name"] == "unpriced" for row in found) else "",
    }


def _demand(store: Queries, question: Asked) -> dict[str, list[Any]]:
    bound = question.bound()
    width = question.width_us / MICROS_PER_SECOND
    arrived = gapless(columns(store, _ARRIVED, bound), question, empty=0)
    finished = gapless(columns(store, _FINISHED, bound), question, empty=0)
    queued = gapless(columns(store, _QUEUED, bound), question)
    return {
        **queued,
        "arrived": [count / width for count in arrived["arrived"]],
        "finished": [count / width for count in finished["finished"]],
    }
