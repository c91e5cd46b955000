"""The GPUs page: what each GPU does beside what it is said to do, and its replica's queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from service.views.asking import Asked, Queries, columns, gapless, rows

_GPU_SCOPE: Final = """
  FROM gpu_samples
 WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String}
   AND ({replica:String} = '' OR gpu_uuid IN
        (SELECT gpu_uuid FROM placements WHERE replica = {replica:String} AND dataset = {dataset:String}))"""
_ENGINE_SCOPE: Final = """
  FROM engine_samples
 WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String}
   AND vantage = 'engine' AND ({replica:String} = '' OR replica = {replica:String})"""
_BUCKET: Final = "intDiv(at_us, {width_us:Int64}) * {width_us:Int64} AS at"
_ACTIVITY: Final = (
    "SELECT " + _BUCKET + ", avg(kernel_busy_ratio) AS kernel_busy, avg(sm_activity_ratio) AS sm, "
    "avg(tensor_activity_ratio) AS tensor, avg(dram_activity_ratio) AS dram"
    + _GPU_SCOPE
    + " GROUP BY at ORDER BY at"
)
_QUEUE: Final = (
    "SELECT at, sum(running) AS running, sum(waiting) AS waiting, avg(kv) AS kv FROM (SELECT "
    + _BUCKET
    + ", replica, avg(requests_running) AS running, avg(requests_waiting) AS waiting, "
    "avg(kv_usage_ratio) AS kv" + _ENGINE_SCOPE + " GROUP BY at, replica) GROUP BY at ORDER BY at"
)
_PLACED: Final = """
SELECT gpu_uuid, argMax(replica, at_us) AS replica, argMax(pool, at_us) AS pool
  FROM placements WHERE dataset = {dataset:String} GROUP BY gpu_uuid"""
_LATEST: Final = (
    "SELECT gpu_uuid, intDiv(max(at_us), 1000) AS at_ms, argMax(tuple(gpu_model), at_us).1 AS gpu_model, "
    "argMax(up, at_us) AS up, argMax(tuple(kernel_busy_ratio), at_us).1 AS kernel_busy, "
    "argMax(tuple(sm_activity_ratio), at_us).1 AS sm, "
    "argMax(tuple(tensor_activity_ratio), at_us).1 AS tensor, "
    "argMax(tuple(dram_activity_ratio), at_us).1 AS dram, "
    "argMax(tuple(memory_used_bytes), at_us).1 AS memory_used, "
    "argMax(tuple(memory_total_bytes), at_us).1 AS memory_total, "
    "argMax(tuple(power_watts), at_us).1 AS power"
    + _GPU_SCOPE
    + " GROUP BY gpu_uuid ORDER BY gpu_uuid LIMIT 2000"
)
_ENGINES: Final = (
    "SELECT replica, argMax(state, at_us) AS state, argMax(tuple(requests_running), at_us).1 AS running, "
    "argMax(tuple(requests_waiting), at_us).1 AS waiting, argMax(tuple(kv_usage_ratio), at_us).1 AS kv"
    + _ENGINE_SCOPE
    + " GROUP BY replica"
)
_EVENTS: Final = """
SELECT intDiv(at_us, 1000) AS at_ms, kind, host, replica, gpu_uuid, message FROM events
 WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String}
 ORDER BY at_us DESC LIMIT 50"""


def view(store: Queries, question: Asked, states: Mapping[str, str]) -> dict[str, Any]:
    """Return the page's charts and tables. Six statements; filter replica.

    `states` are the replicas' states as they were last judged.
    """
    bound = question.bound(replica=question.filters.get("replica", ""))
    placed = {row["gpu_uuid"]: row for row in rows(store, _PLACED, bound)}
    engines = {
        row["replica"]: row | {"state": states.get(row["replica"], row["state"])}
        for row in rows(store, _ENGINES, bound)
    }
    return {
        "activity": gapless(columns(store, _ACTIVITY, bound), question),
        "queue": gapless(columns(store, _QUEUE, bound), question),
        "gpus": [_joined(gpu, placed, engines) for gpu in rows(store, _LATEST, bound)],
        "events": rows(store, _EVENTS, bound),
    }


def _joined(
    gpu: dict[str, Any], placed: dict[str, dict[str, Any]], engines: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Join a GPU with its replica; an unmapped GPU has None, it is never guessed."""
    place = placed.get(gpu["gpu_uuid"], {"replica": None, "pool": None})
    nobody = {"state": "unknown", "running": None, "waiting": None, "kv": None}
    engine = engines.get(place["replica"], nobody)
    return {
        **gpu,
        "replica": place["replica"],
        "pool": place["pool"],
        **{name: engine[name] for name in nobody},
        "up": None if gpu["up"] is None else bool(gpu["up"]),
    }
