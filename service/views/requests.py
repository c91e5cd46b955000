"""The requests page: latency over time and against concurrency, outcomes, the worst ones."""

from __future__ import annotations

from typing import Any, Final

from service.views.asking import Asked, Queries, columns, gapless, rows

_SCOPE: Final = """
  FROM requests
 WHERE ended_at_us >= {from_us:Int64} AND ended_at_us < {to_us:Int64}
   AND dataset = {dataset:String} AND NOT synthetic
   AND ({model:String} = '' OR model = {model:String})
   AND ({tenant:String} = '' OR tenant = {tenant:String})"""
_BUCKET: Final = "intDiv(ended_at_us, {width_us:Int64}) * {width_us:Int64} AS at"
_TPOT: Final = "if(output_tokens > 1 AND status = 'ok', (e2e_us - ttft_us) / (output_tokens - 1), NULL)"

_PERCENTILES: Final = (
    "SELECT " + _BUCKET + ", "
    "quantile(0.5)({what}) / 1e6 AS p50, quantile(0.95)({what}) / 1e6 AS p95, "
    "quantile(0.99)({what}) / 1e6 AS p99" + _SCOPE + " AND isNotNull({what}) GROUP BY at ORDER BY at"
)
_OUTCOME: Final = (
    "SELECT " + _BUCKET + ", countIf(status = 'ok') AS ok, countIf(status = 'aborted') AS aborted, "
    "countIf(status = 'error') AS error" + _SCOPE + " GROUP BY at ORDER BY at"
)
_KNEE: Final = (
    "SELECT intDiv(ended_at_us, 60000000) AS minute, coalesce(pool, model) AS name, "
    "sum(e2e_us) / 60e6 AS concurrency, quantile(0.95)(ttft_us) / 1e6 AS ttft_p95"
    + _SCOPE
    + " AND isNotNull(ttft_us) GROUP BY minute, name ORDER BY minute"
)
_SUMMARY: Final = (
    "SELECT model, tenant, count() AS requests, countIf(status = 'error') AS errors, "
    "countIf(status = 'aborted') AS aborted, quantile(0.5)(ttft_us) / 1e6 AS ttft_p50, "
    "quantile(0.95)(ttft_us) / 1e6 AS ttft_p95, quantile(0.99)(ttft_us) / 1e6 AS ttft_p99, "
    f"quantile(0.95)({_TPOT}) / 1e6 AS tpot_p95, quantile(0.95)(e2e_us) / 1e6 AS e2e_p95"
    + _SCOPE
    + " GROUP BY model, tenant ORDER BY requests DESC LIMIT 100"
)
_WORST: Final = (
    "SELECT request_id, intDiv(ended_at_us, 1000) AS ended_ms, tenant, model, replica, status, finish, "
    "error_class, queue_us / 1e6 AS queue, ttft_us / 1e6 AS ttft, gap_max_us / 1e6 AS gap_max, "
    "e2e_us / 1e6 AS e2e, prompt_tokens, output_tokens"
    + _SCOPE
    + " ORDER BY status = 'error' DESC, coalesce(ttft_us, e2e_us) DESC LIMIT 40"
)


def view(store: Queries, question: Asked) -> dict[str, Any]:
    """Return the page's charts and tables. Six statements over the range; filters model, tenant."""
    bound = question.bound(model=question.filters.get("model", ""), tenant=question.filters.get("tenant", ""))

    def percentiles(what: str) -> dict[str, list[Any]]:
        return gapless(columns(store, _PERCENTILES.replace("{what}", what), bound), question)

    return {
        "ttft": percentiles("ttft_us"),
        "tpot": percentiles(_TPOT),
        "outcome": gapless(columns(store, _OUTCOME, bound), question, empty=0),
        "knee": {"series": _series(rows(store, _KNEE, bound))},
        "summary": rows(store, _SUMMARY, bound),
        "worst": rows(store, _WORST, bound),
    }


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
