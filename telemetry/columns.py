"""The schema as data: one table for each kind of fact, read off the dataclass that names it.

A dataclass in :mod:`telemetry` is the only place that knows a column; the wire, the stores,
the frames and the documentation derive from `TABLES`.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, Final

from telemetry.events import Event
from telemetry.placement import Placement
from telemetry.requests import InFlightRequest, RequestRecord, TokenGaps
from telemetry.samples import EngineSample, GpuSample

Record = RequestRecord | TokenGaps | InFlightRequest | GpuSample | EngineSample | Placement | Event


class Kind(StrEnum):
    """How a column is held: 64-bit integer, double, text (dictionary), flag, list of uint32."""

    INT = "int"
    FLOAT = "float"
    TEXT = "text"
    FLAG = "flag"
    UINTS = "uints"


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column: its name (unit last), how it is held, whether it may be missing."""

    name: str
    kind: Kind
    nullable: bool
    words: tuple[str, ...] = ()
    """The closed list of texts it may hold; empty = any text."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One kind of fact: its name, the dataclass it comes from, its columns, its event time."""

    name: str
    record: type[Record]
    time_column: str
    columns: tuple[ColumnSpec, ...]

    def column(self, name: str) -> ColumnSpec:
        """Return one column; raises `KeyError` naming the table for an unknown name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}")


_KINDS: Final[dict[object, Kind]] = {
    bool: Kind.FLAG,
    int: Kind.INT,
    float: Kind.FLOAT,
    str: Kind.TEXT,
    tuple[int, ...]: Kind.UINTS,
}


def _column(name: str, hint: Any) -> ColumnSpec:
    nullable = typing.get_origin(hint) is UnionType
    if nullable:
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return ColumnSpec(name, Kind.TEXT, nullable, tuple(member.value for member in hint))
    return ColumnSpec(name, _KINDS[hint], nullable)


def _table(name: str, record: type[Record], time_column: str) -> TableSpec:
    hints = typing.get_type_hints(record)
    columns = tuple(_column(field.name, hints[field.name]) for field in dataclasses.fields(record))
    return TableSpec(name, record, time_column, columns)


TABLES: Final[tuple[TableSpec, ...]] = (
    _table("requests", RequestRecord, "ended_at_us"),
    _table("token_gaps", TokenGaps, "ended_at_us"),
    _table("in_flight", InFlightRequest, "at_us"),
    _table("gpu_samples", GpuSample, "at_us"),
    _table("engine_samples", EngineSample, "at_us"),
    _table("placements", Placement, "at_us"),
    _table("events", Event, "at_us"),
)
TABLE: Final[dict[str, TableSpec]] = {table.name: table for table in TABLES}
TABLE_OF: Final[dict[type, TableSpec]] = {table.record: table for table in TABLES}
