"""The cost page: the ledger by class, by tenant and model, over time; and whether it adds up."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

from service.store.ledger import STANDING
from service.views.asking import Asked, Queries, rows
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MILLI

MEANING: Final = {
    "useful": "work whose tokens reached a user in time",
    "slo_miss": "work of requests that broke a limit",
    "headroom": "the empty seats of a batch kept for bursts",
    "idle.ready": "ready, with nothing to do",
    "idle.unallocated": "a GPU that no replica holds",
    "overhead.load": "loading weights",
    "overhead.warmup": "compiling and warming up",
    "overhead.drain": "finishing before a stop",
    "unobserved": "nobody was watching, or work of which no record came",
    "unpriced": "no price is set for this GPU",
    "waste.preempt": "tokens computed again after a preemption",
    "waste.spec": "draft tokens that were rejected",
    "waste.cancel": "work whose client had left",
    "waste.error": "work that ended in an error",
}
_BY_CLASS: Final = (
    "SELECT class, sum(amount_nano) AS amount_nano" + STANDING + " GROUP BY class ORDER BY amount_nano DESC"
)
_BY_TENANT: Final = (
    "SELECT tenant, model, sumIf(amount_nano, class = 'useful') AS useful_nano, "
    "sumIf(amount_nano, class = 'slo_miss') AS slo_miss_nano, "
    "sumIf(amount_nano, startsWith(class, 'waste')) AS waste_nano, sum(amount_nano) AS total_nano"
    + STANDING
    + " AND isNotNull(tenant) GROUP BY tenant, model ORDER BY total_nano DESC LIMIT 200"
)
_TOKENS: Final = """
SELECT tenant, model, sum(output_tokens) AS output_tokens FROM requests
 WHERE dataset = {dataset:String} AND ended_at_us >= {from_us:Int64} AND ended_at_us < {to_us:Int64}
 GROUP BY tenant, model"""
_OVER_TIME: Final = (
    "SELECT intDiv(interval_start_us, {width_us:Int64}) * {width_us:Int64} AS at, class AS name, "
    "sum(amount_nano) AS amount_nano" + STANDING + " GROUP BY at, name ORDER BY at"
)
_CHECK: Final = (
    "SELECT gpu_uuid, min(interval_start_us) AS start_us, max(interval_end_us) AS end_us, "
    "uniqExact(interval_start_us) AS intervals, sum(amount_nano) AS amount_nano"
    + STANDING
    + " GROUP BY gpu_uuid ORDER BY gpu_uuid"
)


def view(
    store: Queries, question: Asked, *, ledger_version: str, currency: str, interval_us: int
) -> dict[str, Any]:
    """Return the page. Five statements; `interval_us` is the ledger's own width."""
    width = max(question.width_us, interval_us)
    bound = question.bound(ledger_version=ledger_version) | {"width_us": width}
    classes = rows(store, _BY_CLASS, bound)
    total = sum(row["amount_nano"] or 0 for row in classes)
    unpriced = any(row["class"] == "unpriced" for row in classes)
    return {
        "currency": currency,
        "classes": [_class(row, total) for row in classes if row["amount_nano"] is not None],
        "tenants": _tenants(rows(store, _BY_TENANT, bound), rows(store, _TOKENS, bound)),
        "over_time": {"series": _series(rows(store, _OVER_TIME, bound), width)},
        "check": _check(rows(store, _CHECK, bound), total, currency),
        "unpriced": "some GPUs" if unpriced else "",
        "notes": _NOTES,
    }


_NOTES: Final = [
    "Amounts are integers of a billionth of the currency; every line above is a sum of ledger rows.",
    "An interval is closed some time after its end; the newest minutes are not here yet.",
]


def _class(row: dict[str, Any], total: int) -> dict[str, Any]:
    share = row["amount_nano"] / total if total else None
    return {**row, "meaning": MEANING[row["class"]], "share": share}


def _tenants(found: list[dict[str, Any]], tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    counted = {(row["tenant"], row["model"]): row["output_tokens"] for row in tokens}
    return [
        {
            **row,
            "output_tokens": counted.get((row["tenant"], row["model"])),
            "per_million_nano": _per_million(row["total_nano"], counted.get((row["tenant"], row["model"]))),
        }
        for row in found
    ]


def _per_million(nano: int, tokens: int | None) -> int | None:
    return round(Fraction(nano * 1_000_000, tokens)) if tokens else None


def _series(points: list[dict[str, Any]], width_us: int) -> list[dict[str, Any]]:
    """Return one series a class, as currency units per hour."""
    per_hour = Fraction(MICROS_PER_HOUR, width_us) / 10**9
    names = sorted({point["name"] for point in points if point["amount_nano"] is not None})
    return [
        {
            "name": name,
            "at": [p["at"] // MICROS_PER_MILLI for p in points if p["name"] == name],
            "amount": [float((p["amount_nano"] or 0) * per_hour) for p in points if p["name"] == name],
        }
        for name in names
    ]


def _check(found: list[dict[str, Any]], total: int, currency: str) -> str:
    """Return in words how many GPU-hours the bill is made of, for whoever wants to check it."""
    if not found:
        return "Nothing has been closed in this range yet."
    span = sum(row["end_us"] - row["start_us"] for row in found)
    return (
        f"{len(found)} GPUs over {span / MICROS_PER_HOUR:,.3f} GPU-hours cost "
        f"{total / 1e9:,.9f} {currency}: the rows sum to the charge, to the last billionth."
    )
