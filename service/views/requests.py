"""The requests page: latency over time and against concurrency, outcomes, the worst ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from service.views.asking import (
    OF_RECORD,
    Asked,
    Queries,
    columns,
    counted,
    gapless,
    rows,
    watched_buckets,
)
from service.views.sentences import Opening, Sentence, Tone, duration, plural
from telemetry.gaps import BOUNDS_US, BUCKETS
from telemetry.units import MICROS_PER_MILLI, MICROS_PER_SECOND

FILTERS: Final = ("model", "tenant", "pool", "replica", "status")
SCOPE: Final = (
    """
  FROM requests
 WHERE ended_at_us >= {from_us:Int64} AND ended_at_us < {to_us:Int64}
   AND dataset = {dataset:String} AND """
    + OF_RECORD
    + "".join(
        f"\n   AND ({{{name}:String}} = '' OR ifNull({name}, '') = {{{name}:String}})" for name in FILTERS
    )
)
_BUCKET: Final = "intDiv(ended_at_us, {width_us:Int64}) * {width_us:Int64} AS at"
_TPOT: Final = "if(output_tokens > 1 AND status = 'ok', (e2e_us - ttft_us) / (output_tokens - 1), NULL)"
_TTFT: Final = (
    "SELECT " + _BUCKET + ", quantile(0.5)(ttft_us) / 1e6 AS p50, quantile(0.95)(ttft_us) / 1e6 AS p95, "
    "quantile(0.99)(ttft_us) / 1e6 AS p99" + SCOPE + " AND isNotNull(ttft_us) GROUP BY at ORDER BY at"
)
_TTFT_HEAT: Final = (
    "SELECT "
    + _BUCKET
    + ", toInt32(floor(log2(greatest(ttft_us, 1000)) * 2)) AS level, count() AS requests"
    + SCOPE
    + " AND isNotNull(ttft_us) GROUP BY at, level"
)
_GAPS: Final = (
    "SELECT "
    + _BUCKET
    + ", sumForEach(gap_buckets) AS buckets, max(gap_max_us) / 1e6 AS longest"
    + SCOPE
    + f" AND length(gap_buckets) = {BUCKETS} GROUP BY at ORDER BY at"
)
_OUTCOME: Final = (
    "SELECT " + _BUCKET + ", countIf(status = 'ok') AS ok, countIf(status = 'aborted') AS aborted, "
    "countIf(status = 'error') AS error" + SCOPE + " GROUP BY at ORDER BY at"
)
_KNEE: Final = (
    "SELECT intDiv(ended_at_us, 60000000) AS minute, coalesce(pool, model) AS name, "
    "sum(e2e_us) / 60e6 AS concurrency, quantile(0.95)(ttft_us) / 1e6 AS ttft_p95"
    + SCOPE
    + " AND isNotNull(ttft_us) GROUP BY minute, name ORDER BY minute LIMIT 5000"
)
_FIGURES: Final = (
    "count() AS requests, countIf(status = 'error') AS errors, "
    "countIf(status = 'aborted') AS aborted, quantile(0.5)(ttft_us) / 1e6 AS ttft_p50, "
    "quantile(0.95)(ttft_us) / 1e6 AS ttft_p95, quantile(0.99)(ttft_us) / 1e6 AS ttft_p99, "
    f"quantile(0.95)({_TPOT}) / 1e6 AS tpot_p95, quantile(0.95)(e2e_us) / 1e6 AS e2e_p95"
)
_SUMMARY: Final = (
    "SELECT model, tenant, " + _FIGURES + SCOPE + " GROUP BY model, tenant ORDER BY requests DESC LIMIT 100"
)
_IN_ALL: Final = "SELECT " + _FIGURES + SCOPE
_WORST: Final = (
    "SELECT request_id, intDiv(ended_at_us, 1000) AS ended_ms, tenant, model, replica, status, finish, "
    "error_class, queue_us / 1e6 AS queue, ttft_us / 1e6 AS ttft, gap_max_us / 1e6 AS gap_max, "
    "e2e_us / 1e6 AS e2e, prompt_tokens, output_tokens"
    + SCOPE
    + " ORDER BY status = 'error' DESC, coalesce(ttft_us, e2e_us) DESC LIMIT 20"
)


def view(store: Queries, question: Asked, tone: Tone) -> tuple[Opening, dict[str, Any]]:
    """Return the page and what it opens with. Three statements; filters are `FILTERS`.

    `tone` is how the promises stand: a latency by itself is neither good nor bad.
    """
    bound = question.bound(**question.wanted(*FILTERS))
    whole = rows(store, _IN_ALL, bound)[0]
    body = {
        "summary": rows(store, _SUMMARY, bound),
        "worst": rows(store, _WORST, bound),
    }
    return _opening(whole, tone), body


def charts(store: Queries, question: Asked) -> dict[str, Any]:
    """Return latencies, outcomes and the knee. Six statements."""
    bound = question.bound(**question.wanted(*FILTERS))
    ttft = gapless(columns(store, _TTFT, bound), question)
    outcome = counted(columns(store, _OUTCOME, bound), question, watched_buckets(store, question))
    return {
        "ttft": ttft | _ttft_heat(rows(store, _TTFT_HEAT, bound), question),
        "gaps": _gaps(columns(store, _GAPS, bound), question),
        "outcome": outcome,
        "knee": {"series": _series(rows(store, _KNEE, bound))},
    }


def _ttft_heat(found: list[dict[str, Any]], question: Asked) -> dict[str, Any]:
    """Return how many requests fell into each cell of time and latency, two cells a doubling."""
    if not found:
        return {"edges": [], "levels": [], "heat": []}
    levels = [row["level"] for row in found]
    low = min(levels)
    counts = np.zeros((max(levels) - low + 1, len(question.starts)), dtype=np.int64)
    for row in found:
        counts[row["level"] - low, (row["at"] - question.from_us) // question.width_us] = row["requests"]
    edges = [2.0 ** ((low + at) / 2) / MICROS_PER_SECOND for at in range(len(counts) + 1)]
    return _heat(counts, edges, question)


def _heat(counts: np.ndarray[Any, Any], levels: list[float], question: Asked) -> dict[str, Any]:
    starts = question.starts
    return {
        "edges": [at // MICROS_PER_MILLI for at in (*starts, starts[-1] + question.width_us)],
        "levels": levels,
        "heat": [[count or None for count in line] for line in counts.tolist()],
    }


def _gaps(found: dict[str, list[Any]], question: Asked) -> dict[str, Any]:
    """Return the gaps between tokens: percentiles read off their buckets, the longest exact."""
    counts = np.zeros((BUCKETS, len(question.starts)), dtype=np.int64)
    for at, buckets in zip(found.get("at", ()), found.get("buckets", ()), strict=True):
        counts[:, (at - question.from_us) // question.width_us] = buckets
    bounds = [bound / MICROS_PER_SECOND for bound in (*BOUNDS_US, 2 * BOUNDS_US[-1])]
    used = np.flatnonzero(counts.any(axis=1))
    heat: dict[str, Any] = {"edges": [], "levels": [], "heat": []}
    if len(used):
        shown = slice(int(used[0]), int(used[-1]) + 1)
        heat = _heat(counts[shown], [bounds[shown.start] / 2, *bounds[shown]], question)
    longest = {"at": found.get("at", []), "longest": found.get("longest", [])}
    quantiles = {f"p{round(share * 100)}": _quantile(counts, share, bounds) for share in (0.5, 0.95, 0.99)}
    return gapless(longest, question) | heat | quantiles


def _quantile(counts: np.ndarray[Any, Any], share: float, bounds: list[float]) -> list[float | None]:
    """Return the upper edge of the bucket that holds a quantile, in seconds: within a factor of 2."""
    total = counts.sum(axis=0)
    reached = (np.cumsum(counts, axis=0) >= share * total).argmax(axis=0)
    return [bounds[at] if known else None for at, known in zip(reached.tolist(), total > 0, strict=True)]


def _series(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = sorted({point["name"] for point in points})
    return [
        {
            "name": name,
            "concurrency": [p["concurrency"] for p in points if p["name"] == name],
            "ttft_p95": [p["ttft_p95"] for p in points if p["name"] == name],
        }
        for name in names
    ]


def _opening(whole: Mapping[str, Any], tone: Tone) -> Opening:
    if not whole["requests"]:
        return Opening(Tone.UNKNOWN, [Sentence("No request has ended in this range.")])
    failed, aborted = whole["errors"], whole["aborted"]
    said = (
        f"{plural(whole['requests'], 'request')} ended: {failed:,} failed, {aborted:,} given up by "
        f"{'its client' if aborted == 1 else 'their clients'}."
    )
    latency = (
        f"Half had their first token within {duration(whole['ttft_p50'])}, 95 % within "
        f"{duration(whole['ttft_p95'])}, 99 % within {duration(whole['ttft_p99'])}."
    )
    failures = Sentence(said, "/requests", {"status": "error"}) if failed else Sentence(said)
    return Opening(tone, [failures, Sentence(latency)])
