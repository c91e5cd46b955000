"""The facts store: what was measured, append-only, in the ClickHouse dialect.

Nothing here changes a fact that was stored. The one exception is the repair of the block that
was being inserted when a process died: `count_block` and `delete_block`, for the writer alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from service.ingest.frames import frame as framed
from service.store.arrow import as_stored
from service.store.cells import CellRows
from service.store.clickhouse import ReadLimits, Warehouse
from service.store.errors import StoreRefused, StoreUnsafe
from service.store.evidence import EvidenceRows
from service.store.ledger import LedgerRows
from service.store.partitions import by_partitions
from service.store.tables import FACT_TABLES, MEASURED, SETTINGS
from telemetry.columns import TABLE
from telemetry.frame import Frame
from telemetry.units import MICROS_PER_MINUTE

MAX_FRAME_ROWS: Final = 5_000_000
STRIDE_ROWS: Final = 300_000
"""Facts read at once where a long range is: some 20 MB, and few enough questions."""
"""Most rows of one `frame`; ask for a shorter range beyond it."""
_MEASURED: Final = frozenset(table.name for table in MEASURED)


class Facts:
    """An open facts store. Thread-safe; writes go one after the other, reads two at a time."""

    def __init__(self, warehouse: Warehouse) -> None:
        """Use `Facts.open`, which also checks what it opens."""
        self._warehouse = warehouse
        self.cells = CellRows(warehouse)
        self.ledger = LedgerRows(warehouse)
        self.evidence = EvidenceRows(warehouse)

    @classmethod
    def open(cls, url: str, *, reading: ReadLimits | None = None, replicated: bool = False) -> Facts:
        """Open a migrated store (see `service.store.migrate`).

        Raises `StoreUnsafe` when a table is missing or its settings would lose acknowledged
        facts, `StoreUnavailable` when it cannot be reached.
        """
        warehouse = Warehouse(url, reading=reading, replicated=replicated)
        try:
            check_settings(warehouse)
        except BaseException:
            warehouse.close()
            raise
        return cls(warehouse)

    def insert_block(self, block: int, tables: Mapping[str, pa.Table]) -> None:
        """Insert one block's rows, table by table, synced when it returns.

        Each table carries the envelope, its `block` column equal to `block`. A failure leaves
        a part of it: count, delete what is partial, insert again.
        """
        for name, rows in tables.items():
            self.insert_rows(block, name, rows)

    def insert_rows(self, block: int, table: str, rows: pa.Table) -> None:
        """Insert one table of a block, at most 50 partitions at a time."""
        if table not in _MEASURED:
            raise StoreRefused(f"insert block {block}: {table} is no table of measured facts")
        if rows.num_rows and pc.min_max(rows["block"]).as_py() != {"min": block, "max": block}:
            raise StoreRefused(f"insert block {block} into {table}: its rows carry another block's number")
        for part in by_partitions(rows, rows[TABLE[table].time_column]):
            self._warehouse.insert(table, part)

    def count_block(self, block: int) -> dict[str, int]:
        """Return how many rows of a block each table of measured facts holds; zeros included."""
        counts = " UNION ALL ".join(
            f"SELECT '{table.name}' AS name, count() AS rows FROM {table.name} WHERE block = {{block:Int64}}"
            for table in MEASURED
        )
        found = self._warehouse.query(counts, {"block": block})
        return dict(zip(found["name"].to_pylist(), found["rows"].to_pylist(), strict=True))

    def delete_block(self, block: int, table: str) -> None:
        """Delete a block's rows from one table; they are gone when it returns. Rewrites their parts."""
        if table not in _MEASURED:
            raise StoreRefused(f"delete block {block}: {table} is no table of measured facts")
        self._warehouse.command(
            f"ALTER TABLE {table} DELETE WHERE block = {{block:Int64}} SETTINGS mutations_sync = 2",
            {"block": block},
        )

    def query(self, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        """Return the answer of one SELECT with `{name:Type}` parameters.

        Bounded by `ReadLimits`: raises `StoreBusy` when no connection is free in time,
        `StoreUnavailable` past the time or memory limit, `StoreRefused` for a wrong statement.
        """
        return self._warehouse.query(sql, params or {})

    def frame(
        self,
        table: str,
        *,
        from_us: int,
        to_us: int,
        dataset: str = "",
        where: str = "",
        params: Mapping[str, Any] | None = None,
        columns: Collection[str] | None = None,
    ) -> Frame:
        """Return facts with event time in [from_us, to_us), oldest first.

        `where` is SQL of ours with `{name:Type}` parameters from `params`. Columns not in
        `columns` (None = all) come as unknown. Raises `StoreRefused` beyond `MAX_FRAME_ROWS`.
        """
        spec = TABLE[table]
        names = [each.name for each in spec.columns if columns is None or each.name in columns]
        time = spec.time_column
        chosen = f" AND ({where})" if where else ""
        rows = self._warehouse.query(
            f"SELECT {', '.join(names)} FROM {table} WHERE {time} >= {{from_us:Int64}} "
            f"AND {time} < {{to_us:Int64}} AND dataset = {{dataset:String}}{chosen} "
            f"ORDER BY {time}, agent, boot, seq LIMIT {MAX_FRAME_ROWS + 1}",
            {**(params or {}), "from_us": from_us, "to_us": to_us, "dataset": dataset},
        )
        if rows.num_rows > MAX_FRAME_ROWS:
            raise StoreRefused(f"read {table}: more than {MAX_FRAME_ROWS:,} rows; ask for a shorter range")
        return framed(table, as_stored(table, rows))

    def strides(
        self, table: str, *, from_us: int, to_us: int, dataset: str = "", most_rows: int = STRIDE_ROWS
    ) -> list[tuple[int, int]]:
        """Return [from_us, to_us) as consecutive spans of whole minutes, as long as few facts allow.

        Each holds at most `most_rows` facts, a single minute that holds more apart; what ends or begins
        with no fact is left out. One query, which reads the event time alone.
        """
        time = TABLE[table].time_column
        minutes = self._warehouse.query(
            f"SELECT intDiv({time}, {MICROS_PER_MINUTE}) AS minute, count() AS facts FROM {table} "
            f"WHERE {time} >= {{from_us:Int64}} AND {time} < {{to_us:Int64}} "
            "AND dataset = {dataset:String} GROUP BY minute ORDER BY minute",
            {"from_us": from_us, "to_us": to_us, "dataset": dataset},
        )
        found: list[tuple[int, int]] = []
        held = most_rows
        counted = zip(minutes["minute"].to_pylist(), minutes["facts"].to_pylist(), strict=True)
        for minute, facts in counted:
            start = max(minute * MICROS_PER_MINUTE, from_us)
            end = min((minute + 1) * MICROS_PER_MINUTE, to_us)
            if found and held + facts <= most_rows:
                found[-1], held = (found[-1][0], end), held + facts
            else:
                found.append((start, end))
                held = facts
        return found

    def span(self, table: str, dataset: str = "") -> tuple[int, int] | None:
        """Return the event times of the first and last row, UTC microseconds; None = no rows."""
        time = TABLE[table].time_column
        found = self._warehouse.query(
            f"SELECT min({time}) AS low, max({time}) AS high, count() AS rows FROM {table} "
            "WHERE dataset = {dataset:String}",
            {"dataset": dataset},
        ).to_pylist()[0]
        return (found["low"], found["high"]) if found["rows"] else None

    def delete_dataset(self, dataset: str) -> None:
        """Delete an import whole, from every table. Raises `StoreRefused` for the live one ('')."""
        if not dataset:
            raise StoreRefused("delete dataset: the live facts have no name and are never deleted")
        for table in FACT_TABLES:
            self._warehouse.command(
                f"ALTER TABLE {table.name} DELETE WHERE dataset = {{dataset:String}} "
                "SETTINGS mutations_sync = 2",
                {"dataset": dataset},
            )

    def close(self) -> None:
        """Wait for calls under way and let go of the store."""
        self._warehouse.close()


def check_settings(warehouse: Warehouse) -> None:
    """Refuse, by `StoreUnsafe`, a store whose tables are missing or would lose acknowledged facts."""
    found = warehouse.query(
        "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()", {}
    ).to_pylist()
    engines = {row["name"]: row["engine_full"] for row in found}
    for table in FACT_TABLES:
        if table.name not in engines:
            raise StoreUnsafe(f"open {warehouse.place}: no table {table.name}; run the migrations")
        actual = dict(re.findall(r"(\w+) = (\w+)", engines[table.name].partition("SETTINGS")[2]))
        for name, wanted in SETTINGS.items():
            if actual.get(name) != wanted:
                raise StoreUnsafe(
                    f"open {warehouse.place}: {table.name} has {name} = {actual.get(name, 'the default')}, "
                    "which loses acknowledged facts; "
                    f"ALTER TABLE {table.name} MODIFY SETTING {name} = {wanted}"
                )
