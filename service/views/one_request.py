"""One request, from arrival to end: its phases, its gaps, and what its replica was doing then."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Final

from service.views import evidence
from service.views.asking import Asked, Queries, rows
from service.views.requests import FILTERS, SCOPE
from telemetry.units import MICROS_PER_SECOND

MARGIN_US: Final = 20 * MICROS_PER_SECOND
MOST_GAPS: Final = 2_000
_ONE: Final = (
    "SELECT request_id, tenant, team, model, pool, replica, route, vantage, status, finish, http_status, "
    "error_class, started_at_us, ended_at_us, e2e_us, queue_us, ttft_us, last_token_us, dependency_us, "
    "prompt_tokens, cached_tokens, output_tokens, reasoning_tokens, preemptions, gap_max_us, "
    "tokens_estimated, retry" + SCOPE + " AND request_id = {request:String} LIMIT 1"
)
_GAPS: Final = """
SELECT gaps_us FROM token_gaps
 WHERE ended_at_us >= {from_us:Int64} AND ended_at_us < {to_us:Int64} AND dataset = {dataset:String}
   AND request_id = {request:String} LIMIT 1"""


def view(store: Queries, question: Asked) -> dict[str, Any] | None:
    """Return the request that the address names within its range; None = none named, or not found.

    Up to four statements. Durations in seconds; tokens None = not known.
    """
    wanted = question.filters.get("request", "")
    if not wanted:
        return None
    bound = question.bound(request=wanted, **dict.fromkeys(FILTERS, ""))
    found = rows(store, _ONE, bound)
    if not found:
        return None
    row = found[0]
    around = evidence.around(question, row["started_at_us"], row["ended_at_us"], margin_us=MARGIN_US)
    return {
        **{name: value for name, value in row.items() if not name.endswith("_us")},
        "started_ms": row["started_at_us"] // 1000,
        "ended_ms": row["ended_at_us"] // 1000,
        "e2e": row["e2e_us"] / MICROS_PER_SECOND,
        "gap_max": None if row["gap_max_us"] is None else row["gap_max_us"] / MICROS_PER_SECOND,
        "phases": _phases(row),
        "tokens_at": _tokens_at(row, rows(store, _GAPS, bound)),
        "evidence": None
        if row["replica"] is None
        else evidence.samples(store, around, replicas=[row["replica"]], gpus=None),
    }


def _phases(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return consecutive phases as (name, from, to) in seconds; what is not known is not split."""
    edges = [("queue", row["queue_us"]), ("prefill", row["ttft_us"]), ("tokens", row["last_token_us"])]
    phases, reached = [], 0
    for name, until in edges:
        if until is None:
            continue
        ends = min(max(until, reached), row["e2e_us"])
        whole = "until first token" if name == "prefill" and row["queue_us"] is None else name
        phases.append({"name": whole, "from": reached / 1e6, "to": ends / 1e6})
        reached = ends
    last = "end" if row["last_token_us"] is not None else "tokens" if phases else "in all"
    phases.append({"name": last, "from": reached / 1e6, "to": row["e2e_us"] / 1e6})
    return [phase for phase in phases if phase["to"] > phase["from"]]


def _tokens_at(row: dict[str, Any], found: list[dict[str, Any]]) -> list[float]:
    """Return when each token came, seconds after the start; empty where its gaps were not kept."""
    if not found or row["ttft_us"] is None:
        return []
    gaps = found[0]["gaps_us"][:MOST_GAPS]
    return [at / 1e6 for at in accumulate(gaps, initial=row["ttft_us"])]
