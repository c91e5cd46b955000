"""The samples behind a finding or a request: its replicas' queue, tokens and activity on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from service.views.asking import BUCKET, Asked, Queries, before, columns, gapless, grown
from telemetry.units import MICROS_PER_SECOND

POINTS: Final = 200
_HERE: Final = """
 WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String}"""
_ENGINE: Final = (
    "SELECT at, sum(running) AS running, sum(waiting) AS waiting, max(kv) AS kv, "
    # What grew over a hole in the samples is not known to have grown in one bucket.
    f"sum(if(at - at_before > 2 * {{width_us:Int64}}, NULL, {grown('tokens')})) * 1e6 / {{width_us:Int64}} "
    "AS tokens FROM ("
    f"SELECT at, running, waiting, kv, tokens, {before('tokens', 'each')}, {before('at', 'each')} FROM ("
    "SELECT " + BUCKET + ", replica, avg(requests_running) AS running, avg(requests_waiting) AS waiting, "
    "avg(kv_usage_ratio) AS kv, max(generation_tokens_total) AS tokens "
    "FROM engine_samples" + _HERE + " AND vantage = 'engine' AND has({replicas:Array(String)}, replica) "
    "GROUP BY at, replica) "
    "WINDOW each AS (PARTITION BY replica ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)) "
    "GROUP BY at ORDER BY at"
)
_GPU: Final = (
    "SELECT " + BUCKET + ", avg(sm_activity_ratio) AS sm, avg(kernel_busy_ratio) AS busy "
    "FROM gpu_samples" + _HERE + " AND has({gpus:Array(String)}, gpu_uuid) GROUP BY at ORDER BY at"
)
_HELD: Final = """
SELECT DISTINCT gpu_uuid FROM placements
 WHERE dataset = {dataset:String} AND has({replicas:Array(String)}, replica)"""


def around(question: Asked, start_us: int, end_us: int | None, *, margin_us: int) -> Asked:
    """Return the question about a span and a margin on both sides, up to now, in some 200 buckets."""
    start = start_us - margin_us
    end = min((question.now_us if end_us is None else end_us) + margin_us, question.now_us)
    width = max(2, (end - start) // MICROS_PER_SECOND // POINTS) * MICROS_PER_SECOND
    return replace(question, from_us=start // width * width, to_us=end, width_us=width)


def samples(
    store: Queries, question: Asked, *, replicas: Sequence[str], gpus: Sequence[str] | None
) -> dict[str, list[Any]]:
    """Return the columns of the evidence figure. `gpus` None = those the replicas hold. Two statements.

    `waiting` and `running` are requests, `tokens` output tokens a second, the others ratios.
    """
    if gpus is None:
        held = columns(store, _HELD, question.bound(replicas=list(replicas)))
        gpus = held.get("gpu_uuid", [])
    engine = gapless(columns(store, _ENGINE, question.bound(replicas=list(replicas))), question)
    gpu = gapless(columns(store, _GPU, question.bound(gpus=list(gpus))), question)
    return {**engine, "sm": gpu.get("sm", []), "busy": gpu.get("busy", [])}
