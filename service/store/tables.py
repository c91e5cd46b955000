"""The facts store's tables as data, and the one place that renders them as SQL.

Every kind of fact in `telemetry.columns` is a table of its own columns plus the envelope that
the writer adds; count cells, the ledger and evidence are made by the service. One spec renders
MergeTree for an embedded or single server and Replicated* for a cluster.

`migrations/facts` holds the frozen text of what this renders; a test keeps them equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telemetry.columns import TABLES, ColumnSpec, Kind, TableSpec

SETTINGS: Final[dict[str, str]] = {
    # Inserts and merges are synced; merged-away parts outlive the sync of their successor.
    "fsync_after_insert": "1",
    "fsync_part_directory": "1",
    "min_rows_to_fsync_after_merge": "1",
    "min_compressed_bytes_to_fsync_after_merge": "1",
    "old_parts_lifetime": "480",
    # Retention drops whole parts and never rewrites one.
    "ttl_only_drop_parts": "1",
}
"""MergeTree settings of every facts table; a service does not start on other values."""

HIGH_CARDINALITY: Final = frozenset({"request_id", "retry_of", "group_key", "finding_id", "body", "message"})
"""Texts of which nearly every row has its own: no dictionary."""


@dataclass(frozen=True, slots=True)
class FactColumn:
    """One column: its name, its ClickHouse type, its codec (empty = the engine's own choice)."""

    name: str
    sql_type: str
    codec: str = ""

    def __str__(self) -> str:
        codec = f" CODEC({self.codec})" if self.codec else ""
        return f"`{self.name}` {self.sql_type}{codec}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactTable:
    """One table of facts.

    `partition` and `order` are SQL; `keep_days` is an SQL number of days after
    `kept_from_us` for rows of the live dataset (imports are kept until they are deleted).
    `version` is the column whose greatest value survives among rows of one key; empty = all do.
    """

    name: str
    columns: tuple[FactColumn, ...]
    partition: str
    order: str
    kept_from_us: str
    keep_days: str
    version: str = ""


def _day(column: str) -> str:
    return f"toYYYYMMDD(fromUnixTimestamp64Micro({column}, 'UTC'))"


def _month(column: str) -> str:
    return f"toYYYYMM(fromUnixTimestamp64Micro({column}, 'UTC'))"


_PLAIN: Final[dict[Kind, str]] = {Kind.INT: "Int64", Kind.FLOAT: "Float64", Kind.FLAG: "Bool"}


def column(name: str, kind: Kind, *, nullable: bool = False) -> FactColumn:
    """Return how a column of our words is held.

    None is NULL, never a sentinel; a list cannot be missing, it is empty. Instants are stored
    as differences, because rows of one part lie close in time.
    """
    if kind is Kind.UINTS:
        return FactColumn(name, "Array(UInt32)")
    text = "Nullable(String)" if nullable else "String"
    if kind is Kind.TEXT:
        return FactColumn(name, text if name in HIGH_CARDINALITY else f"LowCardinality({text})")
    codec = "Delta(8), ZSTD(1)" if name.endswith("_at_us") or name == "at_us" else ""
    return FactColumn(name, f"Nullable({_PLAIN[kind]})" if nullable else _PLAIN[kind], codec)


def _columns(*names: tuple[str, Kind]) -> tuple[FactColumn, ...]:
    return tuple(column(name, kind) for name, kind in names)


ENVELOPE: Final = _columns(
    ("agent", Kind.TEXT),
    ("boot", Kind.TEXT),
    ("seq", Kind.INT),
    ("block", Kind.INT),
    ("received_at_us", Kind.INT),
    ("origin", Kind.TEXT),
    ("dataset", Kind.TEXT),
)
"""What the writer adds to every fact: which batch and block it came in, when, and of which dataset."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one kind of fact is sorted within its hour, and for how many days it is kept."""

    key: tuple[str, ...]
    keep_days: int


_SHAPES: Final[dict[str, _Shape]] = {
    "requests": _Shape(("model", "tenant"), 62),
    "token_gaps": _Shape(("model",), 7),
    "in_flight": _Shape(("model",), 7),
    "gpu_samples": _Shape(("gpu_uuid",), 7),
    "engine_samples": _Shape(("replica",), 7),
    # Few and long remembered: what ran where is needed for as long as the ledger is.
    "placements": _Shape(("gpu_uuid",), 400),
    "events": _Shape(("kind",), 400),
}


def _measured(spec: TableSpec) -> FactTable:
    shape, time = _SHAPES[spec.name], spec.time_column
    own = tuple(_column(each) for each in spec.columns)
    # The hour first: a question about the last hour reads that hour and nothing else.
    order = ", ".join((f"intDiv({time}, 3600000000)", *shape.key, time))
    return FactTable(
        name=spec.name,
        columns=own + ENVELOPE,
        partition=f"{_day(time)}, dataset",
        order=order,
        kept_from_us="received_at_us",
        keep_days=str(shape.keep_days),
    )


def _column(spec: ColumnSpec) -> FactColumn:
    return column(spec.name, spec.kind, nullable=spec.nullable)


MEASURED: Final[tuple[FactTable, ...]] = tuple(_measured(spec) for spec in TABLES)
"""Tables that agents fill, block by block."""

COUNT_CELLS: Final = FactTable(
    name="count_cells",
    columns=_columns(
        ("objective_version", Kind.TEXT),
        ("group_key", Kind.TEXT),
        ("bucket_us", Kind.INT),
        ("bucket_width_us", Kind.INT),
        ("good", Kind.INT),
        ("total", Kind.INT),
        ("upto", Kind.INT),
        ("written_at_us", Kind.INT),
        ("dataset", Kind.TEXT),
    ),
    partition=(
        "bucket_width_us, "
        f"if(bucket_width_us < 3600000000, {_day('bucket_us')}, {_month('bucket_us')}), dataset"
    ),
    order="bucket_width_us, bucket_us, objective_version, group_key, dataset",
    kept_from_us="written_at_us",
    keep_days="if(bucket_width_us < 3600000000, 35, 400)",
    version="upto",
)
"""`good` and `total` are absolute; of the rows of one bucket and group the greatest `upto` holds."""

LEDGER: Final = FactTable(
    name="ledger",
    columns=(
        *_columns(
            ("ledger_version", Kind.TEXT),
            ("interval_start_us", Kind.INT),
            ("interval_end_us", Kind.INT),
            ("from_us", Kind.INT),
            ("to_us", Kind.INT),
            ("gpu_uuid", Kind.TEXT),
            ("replica", Kind.TEXT),
        ),
        column("pool", Kind.TEXT, nullable=True),
        column("model", Kind.TEXT, nullable=True),
        column("tenant", Kind.TEXT, nullable=True),
        *_columns(("scope", Kind.TEXT), ("tier", Kind.TEXT), ("class", Kind.TEXT)),
        column("amount_nano", Kind.INT, nullable=True),
        *_columns(("provisional", Kind.FLAG), ("written_at_us", Kind.INT), ("dataset", Kind.TEXT)),
    ),
    partition=f"{_month('interval_start_us')}, dataset",
    order="interval_start_us, ledger_version, gpu_uuid",
    kept_from_us="written_at_us",
    keep_days="400",
)
"""Of one interval and version the newest final write holds, else the newest provisional one."""

EVIDENCE: Final = FactTable(
    name="evidence",
    columns=_columns(
        ("finding_id", Kind.TEXT),
        ("at_us", Kind.INT),
        ("name", Kind.TEXT),
        ("body", Kind.TEXT),
        ("written_at_us", Kind.INT),
        ("dataset", Kind.TEXT),
    ),
    partition=f"{_month('at_us')}, dataset",
    order="finding_id, at_us",
    kept_from_us="written_at_us",
    keep_days="400",
)

FACT_TABLES: Final[tuple[FactTable, ...]] = (*MEASURED, COUNT_CELLS, LEDGER, EVIDENCE)


def create(table: FactTable, *, replicated: bool = False) -> str:
    """Return the statement that creates a table where it is not there yet."""
    kind = "ReplacingMergeTree" if table.version else "MergeTree"
    engine = f"{'Replicated' if replicated else ''}{kind}({table.version})"
    parts = [str(each) for each in table.columns]
    if table in MEASURED:
        # Counting one block, as each start does, then reads that block and little else.
        parts.append("INDEX by_block block TYPE minmax GRANULARITY 1")
    columns = ",\n  ".join(parts)
    kept = f"toDateTime(intDiv({table.kept_from_us}, 1000000), 'UTC') + toIntervalDay({table.keep_days})"
    settings = ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
    return (
        f"CREATE TABLE IF NOT EXISTS {table.name} (\n  {columns}\n)\nENGINE = {engine}\n"
        f"PARTITION BY ({table.partition})\nORDER BY ({table.order})\n"
        f"TTL if(dataset = '', {kept}, toDateTime('2100-01-01 00:00:00', 'UTC'))\n"
        f"SETTINGS {settings}"
    )
