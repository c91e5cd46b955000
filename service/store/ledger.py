"""The ledger in the facts store: what was spent, in integer nano-currency, interval by interval.

An interval is written whole, in one insert: of one version and interval the newest final write
holds, and while there is none the newest provisional one. Writing an interval again therefore
never counts it twice, and a correction is a new version beside the old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from cost.classes import CostClass, Scope, Tier
from cost.ledger import LedgerRow
from service.store.arrow import table_of
from service.store.clickhouse import Warehouse
from service.store.errors import StoreRefused
from telemetry.columns import Kind

STANDING: Final = """
  FROM ledger
 WHERE ledger_version = {ledger_version:String} AND dataset = {dataset:String}
   AND interval_start_us >= {from_us:Int64} AND interval_start_us < {to_us:Int64}
   AND (interval_start_us, NOT provisional, written_at_us) IN (
       SELECT interval_start_us, newest.1, newest.2
         FROM (SELECT interval_start_us, max((NOT provisional, written_at_us)) AS newest
                 FROM ledger
                WHERE ledger_version = {ledger_version:String} AND dataset = {dataset:String}
                  AND interval_start_us >= {from_us:Int64} AND interval_start_us < {to_us:Int64}
                GROUP BY interval_start_us))"""
"""FROM and WHERE of the rows that hold, for intervals that start in [from_us, to_us)."""

BY: Final = ("class", "tenant", "model", "gpu_uuid", "replica", "pool", "interval_start_us", "provisional")
"""What sums may be grouped by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One interval of one ledger version: the unit in which rows are written."""

    version: str
    start_us: int
    end_us: int
    provisional: bool = False
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class LedgerSum:
    """A sum of rows: the values of the grouping columns, nano-currency, rows without a price."""

    key: tuple[Any, ...]
    amount_nano: int
    unpriced_rows: int


class LedgerRows:
    """The ledger of one facts store. Thread-safe."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def write(self, interval: Interval, rows: Sequence[LedgerRow], *, written_at_us: int) -> None:
        """Keep all rows of an interval, synced when it returns, in place of an earlier write.

        `written_at_us` must grow from write to write of one interval. No rows = nothing kept.
        """
        if rows:
            self._warehouse.insert("ledger", _table(interval, rows, written_at_us))

    def sums(
        self, version: str, *, from_us: int, to_us: int, by: Sequence[str] = ("class",), dataset: str = ""
    ) -> list[LedgerSum]:
        """Return exact sums over the intervals that start in [from_us, to_us), sorted by key.

        `by` are columns of `BY`; none = one sum, zero when there are no rows. Raises
        `StoreRefused` for another column.
        """
        unknown = [name for name in by if name not in BY]
        if unknown:
            raise StoreRefused(f"sum ledger by {', '.join(unknown)}: only by {', '.join(BY)}")
        names = "".join(f"{name}, " for name in by)
        group = f" GROUP BY {', '.join(by)} ORDER BY {', '.join(by)}" if by else ""
        found = self._warehouse.query(
            f"SELECT {names}sum(ifNull(amount_nano, 0)) AS amount, countIf(isNull(amount_nano)) AS unpriced"
            + STANDING
            + group,
            _bound(version, from_us, to_us, dataset),
        )
        return [
            LedgerSum(tuple(row[name] for name in by), row["amount"], row["unpriced"])
            for row in found.to_pylist()
        ]

    def rows(self, version: str, *, from_us: int, to_us: int, dataset: str = "") -> list[LedgerRow]:
        """Return the rows of the intervals that start in [from_us, to_us). Bounded by `ReadLimits`."""
        found = self._warehouse.query(
            "SELECT from_us, to_us, gpu_uuid, replica, pool, scope, tier, class, tenant, model, amount_nano"
            + STANDING
            + " ORDER BY from_us, gpu_uuid, class, tenant, model",
            _bound(version, from_us, to_us, dataset),
        )
        return [_row(row) for row in found.to_pylist()]


def _bound(version: str, from_us: int, to_us: int, dataset: str) -> dict[str, Any]:
    return {"ledger_version": version, "from_us": from_us, "to_us": to_us, "dataset": dataset}


def _table(interval: Interval, rows: Sequence[LedgerRow], written_at_us: int) -> pa.Table:
    count = len(rows)
    return table_of(
        {
            "ledger_version": (Kind.TEXT, [interval.version] * count),
            "interval_start_us": (Kind.INT, [interval.start_us] * count),
            "interval_end_us": (Kind.INT, [interval.end_us] * count),
            "from_us": (Kind.INT, [row.from_us for row in rows]),
            "to_us": (Kind.INT, [row.to_us for row in rows]),
            "gpu_uuid": (Kind.TEXT, [row.gpu_uuid for row in rows]),
            "replica": (Kind.TEXT, [row.replica for row in rows]),
            "pool": (Kind.TEXT, [row.pool for row in rows]),
            "model": (Kind.TEXT, [row.model for row in rows]),
            "tenant": (Kind.TEXT, [row.tenant for row in rows]),
            "scope": (Kind.TEXT, [row.scope.value for row in rows]),
            "tier": (Kind.TEXT, [row.tier.value for row in rows]),
            "class": (Kind.TEXT, [row.klass.value for row in rows]),
            "amount_nano": (Kind.INT, [row.nano for row in rows]),
            "provisional": (Kind.FLAG, [interval.provisional] * count),
            "written_at_us": (Kind.INT, [written_at_us] * count),
            "dataset": (Kind.TEXT, [interval.dataset] * count),
        }
    )


def _row(row: dict[str, Any]) -> LedgerRow:
    return LedgerRow(
        from_us=row["from_us"],
        to_us=row["to_us"],
        gpu_uuid=row["gpu_uuid"],
        replica=row["replica"],
        pool=row["pool"],
        scope=Scope(row["scope"]),
        tier=Tier(row["tier"]),
        klass=CostClass(row["class"]),
        tenant=row["tenant"],
        model=row["model"],
        nano=row["amount_nano"],
    )
