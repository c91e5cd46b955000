"""The overview: is every promise kept, what burns, what is idle while something waits, what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from anomalies.detector import registry
from service.alerting.evaluator import Evaluation, KnownFinding
from service.store.ledger import STANDING
from service.views import fleet, promises
from service.views.asking import (
    FRESH_US,
    OF_RECORD,
    Asked,
    Queries,
    columns,
    counted,
    gapless,
    milliseconds,
    rows,
    watched_buckets,
)
from service.views.sentences import Opening, Sentence, Standing, full_stop, opening
from telemetry.condition import Severity
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND

SHOWN: Final = 10
"""Promises on the overview; the objectives page has them all."""
RECENT_US: Final = 2 * MICROS_PER_MINUTE
"""Money per hour is told of the intervals that started within this time of the newest: of now, not of
an hour ago, and long enough not to jump."""
LATEST_US: Final = 60 * MICROS_PER_MINUTE
"""How far back the newest intervals are looked for; a bill that is further behind is no bill of now."""
_COUNTS: Final = "SELECT intDiv({time}, {width_us:Int64}) * {width_us:Int64} AS at, count() AS "
_ARRIVED: Final = (
    _COUNTS.replace("{time}", "started_at_us")
    + "arrived FROM requests WHERE started_at_us >= {from_us:Int64} AND started_at_us < {to_us:Int64} "
    "AND ended_at_us >= {from_us:Int64} AND dataset = {dataset:String} AND "
    + OF_RECORD
    + " GROUP BY at ORDER BY at"
)
_RUNNING: Final = (
    _COUNTS.replace("{time}", "started_at_us").replace("count()", "uniqExact(request_id)")
    + "arrived FROM in_flight WHERE at_us >= {to_us:Int64} - {fresh_us:Int64} "
    "AND started_at_us >= {from_us:Int64} AND started_at_us < {to_us:Int64} AND dataset = {dataset:String} "
    "AND " + OF_RECORD + " AND request_id NOT IN (SELECT request_id FROM requests "
    "WHERE ended_at_us >= {to_us:Int64} - {fresh_us:Int64} AND dataset = {dataset:String}) GROUP BY at"
)
"""Requests that have not ended, as the last snapshots of them have it."""
_FINISHED: Final = (
    _COUNTS.replace("{time}", "ended_at_us")
    + "finished FROM requests WHERE ended_at_us >= {from_us:Int64} AND ended_at_us < {to_us:Int64} "
    "AND dataset = {dataset:String} AND " + OF_RECORD + " GROUP BY at ORDER BY at"
)
_QUEUED: Final = """
SELECT at, sum(running) AS running, sum(waiting) AS waiting FROM (
  SELECT intDiv(at_us, {width_us:Int64}) * {width_us:Int64} AS at, replica,
         avg(requests_running) AS running, avg(requests_waiting) AS waiting
    FROM engine_samples WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64}
     AND dataset = {dataset:String} AND vantage = 'engine' GROUP BY at, replica)
 GROUP BY at ORDER BY at"""
_MONEY: Final = (
    "SELECT class AS name, interval_start_us AS start_us, interval_end_us AS end_us, "
    "sum(amount_nano) AS amount_nano" + STANDING + " GROUP BY name, start_us, end_us"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What is known now, whatever range the page shows."""

    evaluation: Evaluation
    fleet: fleet.Known
    ended: Sequence[KnownFinding]
    """Findings that ended lately, the newest first."""
    ledger_version: str
    currency: str


def view(store: Queries, question: Asked, present: Present) -> tuple[Opening, dict[str, Any]]:
    """Return the page and what it opens with. One statement; the rest is the last evaluation."""
    evaluation = present.evaluation
    tally = promises.tally(evaluation.judgements)
    spent = money(store, question, present.ledger_version)
    body = {
        "currency": present.currency,
        "promises": promises.rows(evaluation.judgements, SHOWN),
        "promises_in_all": tally.promises,
        "findings": [finding(known) for known in (*by_weight(evaluation.findings), *present.ended)],
        "fleet": fleet.pools(present.fleet),
        "money": spent,
    }
    return opening(standing(present, tally, spent, question.now_us)), body


def standing(present: Present, tally: promises.Tally, spent: Mapping[str, Any], now_us: int) -> Standing:
    """Return what the opening sentence needs, from the same evaluation that the page shows."""
    evaluation = present.evaluation
    idle = sum(c["nano_per_hour"] for c in spent["classes"] if c["name"].startswith("idle"))
    return Standing(
        promises=tally.promises,
        burning=tally.burning,
        overspent=tally.overspent,
        unknown=tally.unknown,
        tone=tally.tone,
        causes=[cause(known) for known in by_weight(evaluation.findings)],
        idle_nano_per_hour=idle or None,
        currency=present.currency,
        now_us=now_us,
        since_us=evaluation.all_well_since_us,
    )


def cause(known: KnownFinding) -> Sentence:
    """Return an open finding as a sentence that leads to its samples."""
    return Sentence(full_stop(known.finding.cause), "/alerts", {"finding": known.id})


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
        "sentence": full_stop(told.cause),
        "pool": told.pool,
        "model": told.model,
        "replicas": list(told.replicas),
        "gpus": list(told.gpus),
        "severity": told.severity,
        "since_ms": milliseconds(told.start_us),
        "ended_ms": milliseconds(told.end_us),
        "cost_nano": known.cost_nano,
        "score": told.score,
        "runner_up": None if told.runner_up is None else title(told.runner_up),
    }


def title(class_id: str) -> str:
    """Return a class as a page names it: its detector's title, before it its id unless that is a word."""
    named = next((each.title for each in registry() if each.id == class_id), "")
    return named if named and class_id.islower() else f"{class_id} {named}".strip()


def money(store: Queries, question: Asked, ledger_version: str) -> dict[str, Any]:
    """Return the charge per hour by class, from the newest intervals, some two minutes of them.

    `until_ms` is the end of the newest of them. A time without any is not in the mean.
    """
    recent = replace(question, from_us=question.to_us - LATEST_US)
    found = rows(store, _MONEY, recent.bound(ledger_version=ledger_version))
    newest = max((row["start_us"] for row in found), default=0)
    found = [row for row in found if row["start_us"] > newest - RECENT_US]
    span = sum(end - start for start, end in {(row["start_us"], row["end_us"]) for row in found})
    sums: dict[str, int] = {}
    for row in found:
        sums[row["name"]] = sums.get(row["name"], 0) + (row["amount_nano"] or 0)
    unpriced = sums.pop("unpriced", None) is not None
    classes = [
        {"name": name, "nano_per_hour": amount * MICROS_PER_HOUR // span} for name, amount in sums.items()
    ]
    classes.sort(key=lambda entry: -entry["nano_per_hour"])
    return {
        "classes": classes,
        "total_nano_per_hour": sum(entry["nano_per_hour"] for entry in classes),
        "minutes": span / MICROS_PER_MINUTE,
        "until_ms": milliseconds(max((row["end_us"] for row in found), default=None)),
        "unpriced": unpriced,
    }


def charts(store: Queries, question: Asked) -> dict[str, Any]:
    """Return demand against what is served, requests per second and requests. Five statements."""
    bound, seconds = question.bound(), question.width_us / MICROS_PER_SECOND
    watched = watched_buckets(store, question)
    arrived = counted(_arrived(store, question), question, watched)
    finished = counted(columns(store, _FINISHED, bound), question, watched)
    return {
        "demand": {
            **gapless(columns(store, _QUEUED, bound), question),
            "arrived": _each_second(arrived.get("arrived", []), seconds),
            "finished": _each_second(finished.get("finished", []), seconds),
        }
    }


def _arrived(store: Queries, question: Asked) -> dict[str, list[Any]]:
    """Return arrivals by bucket: of requests that ended since, and of those still under way."""
    ended = columns(store, _ARRIVED, question.bound())
    if question.pinned:
        return ended
    running = columns(store, _RUNNING, question.bound(fresh_us=FRESH_US))
    sums: dict[int, int] = {}
    for found in (ended, running):
        for at, count in zip(found.get("at", ()), found.get("arrived", ()), strict=True):
            sums[at] = sums.get(at, 0) + count
    return {"at": list(sums), "arrived": list(sums.values())}


def _each_second(counts: Sequence[int | None], seconds: float) -> list[float | None]:
    return [None if count is None else count / seconds for count in counts]
