"""The GPUs page: what each GPU does beside what it is said to do, and its replica's queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from anomalies.states import Life
from collector.hardware.concerns import concerns
from service.views import fleet, memory
from service.views.asking import BUCKET, PLACED, Asked, Queries, before, columns, gapless, grown, rows
from service.views.moments import worded
from service.views.sentences import Opening, Sentence, Tone, plural, share
from telemetry.identity import UNMAPPED
from telemetry.samples import GpuSample
from telemetry.units import MICROS_PER_MILLI

MOST_ROWS: Final = 200
"""Most GPUs listed; those in trouble come first, and the page says how many there are."""
_CHOSEN: Final = (
    "({replica:String} = '' AND {pool:String} = '' OR gpu_uuid IN (SELECT gpu_uuid FROM (" + PLACED + ") "
    "WHERE ({replica:String} = '' OR replica = {replica:String}) "
    "AND ({pool:String} = '' OR pool = {pool:String})))"
)
_GPU_SCOPE: Final = (
    """
  FROM gpu_samples
 WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String}
   AND """
    + _CHOSEN
)
_ENGINE_SCOPE: Final = """
  FROM engine_samples
 WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String}
   AND vantage = 'engine' AND ({replica:String} = '' OR replica = {replica:String})
   AND ({pool:String} = '' OR ifNull(pool, ifNull(model, '')) = {pool:String})"""
_ACTIVITY: Final = (
    "SELECT " + BUCKET + ", avg(kernel_busy_ratio) AS kernel_busy, avg(sm_activity_ratio) AS sm, "
    "avg(tensor_activity_ratio) AS tensor, avg(dram_activity_ratio) AS dram"
    + _GPU_SCOPE
    + " GROUP BY at ORDER BY at"
)
_POWER: Final = (
    "SELECT at, sum(power) AS power, sum(allowed) AS allowed FROM (SELECT "
    + BUCKET
    + ", gpu_uuid, avg(power_watts) AS power, avg(power_limit_watts) AS allowed"
    + _GPU_SCOPE
    + " GROUP BY at, gpu_uuid) GROUP BY at ORDER BY at"
)
_QUEUE: Final = (
    "SELECT at, sum(running) AS running, sum(waiting) AS waiting, avg(used) AS kv, max(used) AS kv_most "
    "FROM (SELECT "
    + BUCKET
    + ", replica, avg(requests_running) AS running, avg(requests_waiting) AS waiting, "
    "avg(kv_usage_ratio) AS used" + _ENGINE_SCOPE + " GROUP BY at, replica) GROUP BY at ORDER BY at"
)
_TELLING: Final = (
    "recovery_action",
    "remap_failed",
    "remap_pending",
    "pcie_width",
    "pcie_width_max",
    "event_reasons",
)
"""What a GPU's own concerns are told by."""
_SHOWN: Final[Mapping[str, str]] = {
    "up": "up",
    "kernel_busy": "kernel_busy_ratio",
    "sm": "sm_activity_ratio",
    "tensor": "tensor_activity_ratio",
    "dram": "dram_activity_ratio",
    "source": "activity_source",
    "memory_used": "memory_used_bytes",
    "memory_total": "memory_total_bytes",
    "memory_reserved": "memory_reserved_bytes",
    "power": "power_watts",
    "temperature": "temperature_celsius",
    **{name: name for name in _TELLING},
}
"""What is shown of a GPU's newest sample: the page's name and the column."""
_FRESH: Final = " AND at_us >= {fresh_us:Int64}"
"""Only what is fresh at the range's end is shown as how things stand: a stale value is no value."""
_REASONS: Final = ("power", "thermal", "hardware")
_COUNTERS: Final = tuple(f"throttle_{reason}_us_total" for reason in _REASONS)
_HEARD: Final = (
    "SELECT gpu_uuid, intDiv(max(at_us), 1000) AS at_ms, "
    "any(concat(gpu_model, if(isNull(mig_profile), '', concat(' MIG ', mig_profile)))) AS gpu_model, "
    "any(gpu_index) AS gpu_index, any(host) AS host"
    + _GPU_SCOPE
    + " GROUP BY gpu_uuid ORDER BY gpu_uuid LIMIT 20000"
)
_LATEST: Final = (
    "SELECT gpu_uuid, "
    + ", ".join(f"newest.{at} AS {name}" for at, name in enumerate(_SHOWN, start=1))
    + " FROM (SELECT gpu_uuid, argMax(("
    + ", ".join(_SHOWN.values())
    + "), at_us) AS newest"
    + _GPU_SCOPE
    + _FRESH
    + " GROUP BY gpu_uuid)"
)
_THROTTLED: Final = (
    "SELECT gpu_uuid, "
    + ", ".join(f"sum({grown(name)}) / 1e6 AS {name.split('_')[1]}" for name in _COUNTERS)
    + " FROM (SELECT gpu_uuid, "
    + ", ".join(f"{name}, {before(name, 'each')}" for name in _COUNTERS)
    + " FROM (SELECT gpu_uuid, "
    + BUCKET
    + ", "
    + ", ".join(f"max({name}) AS {name}" for name in _COUNTERS)
    + _GPU_SCOPE
    + " GROUP BY gpu_uuid, at) "
    "WINDOW each AS (PARTITION BY gpu_uuid ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)) "
    "GROUP BY gpu_uuid"
)
_ENGINES: Final = (
    "SELECT replica, newest.1 AS state, newest.2 AS running, newest.3 AS waiting, newest.4 AS kv, "
    "newest.5 AS weights, newest.6 AS kv_pool FROM (SELECT replica, argMax((state, requests_running, "
    "requests_waiting, kv_usage_ratio, weights_bytes, kv_pool_bytes), at_us) AS newest"
    + _ENGINE_SCOPE
    + _FRESH
    + " GROUP BY replica)"
)
_EVENTS: Final = (
    """
SELECT intDiv(at_us, 1000) AS at_ms, kind, host, replica, gpu_uuid, message FROM events
 WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String}
   AND ({replica:String} = '' OR replica = {replica:String}
        OR (isNotNull(gpu_uuid) AND """
    + _CHOSEN
    + "))\n ORDER BY at_us DESC LIMIT 50"
)
_ABSENT: Final[Mapping[str, Any]] = dict.fromkeys(("at_ms", "gpu_model", "gpu_index", "host"))
_TROUBLE: Final = {"lost": 0, "stalled": 1, "silent": 2, "unknown": 3}


def view(
    store: Queries, question: Asked, known: fleet.Known, causes: Sequence[Sentence]
) -> tuple[Opening, dict[str, Any]]:
    """Return the page and what it opens with. Six statements; filters replica and pool.

    `causes` are the open findings' sentences, worst first.
    """
    bound = question.bound(**question.wanted("replica", "pool"))
    listed = _listed(store, question, known, bound)
    pools = [pool for pool in fleet.pools(known) if question.filters.get("pool") in (None, "", pool["pool"])]
    for pool in pools:
        pool["replicas"] = len(pool["replicas"])
    body = {
        "pools": pools,
        "gpus": listed[:MOST_ROWS],
        "gpus_in_all": len(listed),
        "events": [row | {"kind": worded(row["kind"])} for row in rows(store, _EVENTS, bound)],
    }
    if question.pinned or question.filters.get("replica"):
        return _opening([], listed, []), body
    return _opening(pools, listed, causes), body


def charts(store: Queries, question: Asked) -> dict[str, Any]:
    """Return activity, queue and power over time. Three statements; filters replica and pool."""
    bound = question.bound(**question.wanted("replica", "pool"))
    return {
        "activity": gapless(columns(store, _ACTIVITY, bound), question),
        "queue": gapless(columns(store, _QUEUE, bound), question),
        "power": gapless(columns(store, _POWER, bound), question),
    }


def _listed(
    store: Queries, question: Asked, known: fleet.Known, bound: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return every GPU of the range, and every one expected, those in trouble first."""
    fresh = {**bound, "fresh_us": min(question.to_us, question.now_us) - fleet.HEARD_US}
    placed = {row["gpu_uuid"]: row for row in rows(store, PLACED, bound)}
    throttled = {row["gpu_uuid"]: row for row in rows(store, _THROTTLED, bound)}
    engines = {row["replica"]: row for row in rows(store, _ENGINES, fresh)}
    latest = {row["gpu_uuid"]: row for row in rows(store, _LATEST, fresh)}
    found: dict[str, Mapping[str, Any]] = {row["gpu_uuid"]: row for row in rows(store, _HEARD, bound)}
    if not question.filters.get("replica") and not question.filters.get("pool"):
        found = dict.fromkeys(known.expected, _ABSENT) | found
    nothing = dict.fromkeys(_SHOWN)
    shares = Counter(place["replica"] for place in placed.values())
    placed = {uuid: {**place, "gpus": shares[place["replica"]]} for uuid, place in placed.items()}
    joined = [
        _joined(
            {**heard, **latest.get(uuid, nothing), "gpu_uuid": uuid, **_throttled(throttled.get(uuid, {}))},
            placed,
            engines,
            known.states,
            question,
        )
        for uuid, heard in found.items()
    ]
    return sorted(joined, key=_weight)


def _throttled(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return seconds throttled, in all (None where no kind of it is measured) and by reason."""
    by = {kind: row[kind] for kind in _REASONS if row.get(kind) is not None}
    return {"throttled": sum(by.values()) if by else None, "throttled_by": by}


def _joined(
    gpu: dict[str, Any],
    placed: Mapping[str, dict[str, Any]],
    engines: Mapping[str, dict[str, Any]],
    states: Mapping[str, Life],
    question: Asked,
) -> dict[str, Any]:
    """Join a GPU with its replica; an unmapped GPU has None, it is never guessed."""
    place = placed.get(gpu["gpu_uuid"], {"replica": None, "pool": None, "gpus": 0})
    nobody = {"state": "unknown", "running": None, "waiting": None, "kv": None}
    engine = engines.get(place["replica"], nobody)
    judged = states.get(place["replica"])
    state = engine["state"] if judged is None or question.pinned else judged.state.value
    telling = {name: gpu.pop(name) for name in _TELLING}
    return {
        **gpu,
        "concerns": concerns(GpuSample(at_us=0, gpu_uuid=gpu["gpu_uuid"], host="", **telling)),
        "replica": place["replica"],
        "pool": place["pool"],
        **{name: engine[name] for name in nobody},
        "memory": memory.parts(gpu, engine, place["gpus"]),
        "state": _state(gpu, state, question),
    }


def _state(gpu: Mapping[str, Any], state: str, question: Asked) -> str:
    """Return the GPU's own trouble before its replica's state: lost, or silent at the range's end."""
    if gpu["up"] is not None and not gpu["up"]:
        return "lost"
    end_ms = min(question.to_us, question.now_us) // MICROS_PER_MILLI
    if gpu["at_ms"] is None or end_ms - gpu["at_ms"] > fleet.HEARD_US // MICROS_PER_MILLI:
        return "silent"
    return state


def _weight(gpu: Mapping[str, Any]) -> tuple[Any, ...]:
    idle = bool(gpu["waiting"]) and gpu["sm"] is not None and gpu["sm"] < fleet.IDLE_RATIO
    return (
        _TROUBLE.get(gpu["state"], 9),
        not gpu["concerns"],
        not idle,
        gpu["pool"] or "",
        gpu["replica"] or "",
        gpu["gpu_uuid"],
    )


def _opening(
    pools: Sequence[Mapping[str, Any]],
    listed: Sequence[Mapping[str, Any]],
    causes: Sequence[Sentence],
) -> Opening:
    if not listed:
        return Opening(Tone.UNKNOWN, [Sentence("No GPU has reported in this range.")])
    silent = sum(gpu["state"] == "silent" for gpu in listed)
    lost = sum(gpu["state"] == "lost" for gpu in listed)
    activity, busy = (_mean([gpu[name] for gpu in listed]) for name in ("sm", "kernel_busy"))
    said = (
        f"{plural(len(listed), 'GPU')}: SM activity {share(activity)}, where kernel-busy says {share(busy)}."
    )
    sentences = [Sentence(said)]
    if silent or lost:
        sentences.append(Sentence(f"{lost} lost, {silent} not heard of: that is not idle and not well."))
    ill = [gpu for gpu in listed if gpu["concerns"]]
    if ill:
        first = f"{ill[0]['gpu_uuid']}: {ill[0]['concerns'][0]}"
        sentences.append(Sentence(f"Not well though at work: {plural(len(ill), 'GPU')}. {first}."))
    sentences += [
        Sentence(
            f"{_pool_name(pool)}: {pool['idle_while_waiting']} of {plural(pool['gpus'], 'GPU')} "
            f"idle while {plural(round(pool['waiting']), 'request waits', 'requests wait')}.",
            "/gpus",
            {"pool": pool["pool"]},
        )
        for pool in pools
        if pool["idle_while_waiting"]
    ]
    sentences += causes[:2]
    bad = lost or causes or any(pool["idle_while_waiting"] for pool in pools)
    return Opening(Tone.BAD if bad else Tone.WARN if silent or ill else Tone.GOOD, sentences)


def _pool_name(pool: Mapping[str, Any]) -> str:
    return "Unmapped GPUs" if pool["pool"] == UNMAPPED else f"Pool {pool['pool']}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
