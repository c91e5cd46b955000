"""What the GPUs of a range drew, by their energy counters: kWh, joules a token, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cost.energy import electricity, joules_per_token, kilowatt_hours
from service.views.asking import BUCKET, OF_RECORD, PLACED, Asked, Queries, rows

_OF_POOL: Final = "({pool:String} = '' OR pool = {pool:String})"
_DRAWN: Final = (
    "SELECT pool, count() AS gpus, countIf(isNull(drawn)) AS untold, sum(drawn) AS millijoules FROM ("
    "SELECT gpu_uuid, sum(within + between) AS drawn FROM ("
    # A bucket's own rise; where the counter ends below its highest it began anew in it.
    "SELECT gpu_uuid, if(last < most, most - first + last, last - first) AS within, "
    # From the bucket before, however long ago: the counter went on while nobody looked.
    "multiIf(isNull(before), 0, first < before, first, first - before) AS between FROM ("
    "SELECT *, lagInFrame(last) OVER (PARTITION BY gpu_uuid, isNull(last) ORDER BY at "
    "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before FROM ("
    "SELECT gpu_uuid, "
    + BUCKET
    + ", argMin(energy_millijoules_total, at_us) AS first, argMax(energy_millijoules_total, at_us) AS last, "
    "max(energy_millijoules_total) AS most FROM gpu_samples "
    "WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String} "
    "AND isNull(mig_parent_uuid) GROUP BY gpu_uuid, at))) GROUP BY gpu_uuid) AS each "
    "LEFT JOIN (SELECT gpu_uuid, ifNull(pool, '') AS pool FROM (" + PLACED + ")) AS place "
    "ON each.gpu_uuid = place.gpu_uuid WHERE " + _OF_POOL + " GROUP BY pool ORDER BY millijoules DESC"
)
_TOKENS: Final = (
    "SELECT ifNull(pool, '') AS pool, sum(output_tokens) AS tokens FROM requests "
    "WHERE dataset = {dataset:String} AND ended_at_us >= {from_us:Int64} AND ended_at_us < {to_us:Int64} "
    "AND " + OF_RECORD + " GROUP BY pool"
)


def view(store: Queries, question: Asked, nano_per_kwh: int | None) -> dict[str, Any]:
    """Return what each pool's GPUs drew, most first, and the sum. Two statements; filter pool.

    `nano_per_kwh` None = no price: then amounts are None, which is not 0. A pool none of whose
    GPUs tells its energy has None. MIG instances tell none: the board they are cut from does.
    """
    bound = question.bound(**question.wanted("pool"))
    tokens = {row["pool"]: row["tokens"] for row in rows(store, _TOKENS, bound)}
    pools = [_pool(row, tokens.get(row["pool"]), nano_per_kwh) for row in rows(store, _DRAWN, bound)]
    known = [pool["millijoules"] for pool in pools if pool["millijoules"] is not None]
    drawn = sum(known) if known else None
    return {
        "pools": pools,
        "untold": sum(pool["untold"] for pool in pools),
        "kwh": None if drawn is None else kilowatt_hours(drawn),
        "amount_nano": _amount(drawn, nano_per_kwh),
        "nano_per_kwh": nano_per_kwh,
    }


def _pool(row: Mapping[str, Any], tokens: int | None, nano_per_kwh: int | None) -> dict[str, Any]:
    drawn = row["millijoules"]
    return {
        **row,
        "kwh": None if drawn is None else kilowatt_hours(drawn),
        "joules_per_token": joules_per_token(drawn, tokens),
        "amount_nano": _amount(drawn, nano_per_kwh),
    }


def _amount(millijoules: int | None, nano_per_kwh: int | None) -> int | None:
    if millijoules is None or nano_per_kwh is None:
        return None
    return electricity(millijoules, nano_per_kwh)
