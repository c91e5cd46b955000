"""Small Arrow parts of the facts store: texts by code, rows in our own types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from service.ingest.frames import PLAIN, STORED
from telemetry.columns import Kind
from telemetry.frame import Ints


def texts_of(words: Sequence[str], codes: Ints) -> pa.DictionaryArray:
    """Return texts from a dictionary and a code for each row."""
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(words, pa.string()))


def table_of(columns: Mapping[str, tuple[Kind, Sequence[Any]]]) -> pa.Table:
    """Return named columns of plain values (None = missing) as a table of our types."""
    return pa.table({name: pa.array(values, PLAIN[kind]) for name, (kind, values) in columns.items()})


def as_stored(table: str, rows: pa.Table) -> pa.Table:
    """Return an answer of the store in the types of `STORED`; a column not asked for is missing."""
    schema = STORED[table]
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
