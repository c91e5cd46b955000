"""Between Arrow tables of the facts store and the frames that judgement reads.

None stays None in both directions and integers stay exact: nothing passes through a double.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from telemetry.columns import TABLE, ColumnSpec, Kind
from telemetry.frame import Column, Frame, Ints, Lists, Numbers, Texts

TYPE: Final[dict[Kind, pa.DataType]] = {
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.FLAG: pa.bool_(),
    Kind.UINTS: pa.list_(pa.uint32()),
}


def to_frame(table: str, rows: pa.Table) -> Frame:
    """Return stored rows as a frame; a column that was not asked for is unknown in every row."""
    columns = {
        spec.name: _known(spec, rows[spec.name]) if spec.name in rows.column_names else _unknown(spec, rows)
        for spec in TABLE[table].columns
    }
    return Frame(table, rows.num_rows, columns)


def _known(spec: ColumnSpec, column: pa.ChunkedArray) -> Column:
    if spec.kind is Kind.TEXT:
        return _texts(column)
    if spec.kind is Kind.UINTS:
        return _lists(column)
    valid = pc.is_valid(column).to_numpy(zero_copy_only=False)
    dtype = np.float64 if spec.kind is Kind.FLOAT else np.int64
    zero = pa.scalar(0).cast(column.type)
    return Numbers(column.fill_null(zero).to_numpy().astype(dtype, copy=False), valid)


def _unknown(spec: ColumnSpec, rows: pa.Table) -> Column:
    count = rows.num_rows
    if spec.kind is Kind.TEXT:
        return Texts(np.full(count, -1, dtype=np.int32), ())
    if spec.kind is Kind.UINTS:
        return Lists(np.zeros(count + 1, dtype=np.int64), np.zeros(0, dtype=np.uint32))
    dtype = np.float64 if spec.kind is Kind.FLOAT else np.int64
    return Numbers(np.zeros(count, dtype=dtype), np.zeros(count, dtype=np.bool_))


def _texts(column: pa.ChunkedArray) -> Texts:
    """Number texts again: the store's dictionary may hold words that no row uses, or a null."""
    plain = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    encoded = plain.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Texts(codes.astype(np.int32), tuple(encoded.dictionary.to_pylist()))


def _lists(column: pa.ChunkedArray) -> Lists:
    sizes = pc.list_value_length(column).fill_null(0).to_numpy()
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    return Lists(offsets, pc.list_flatten(column).to_numpy().astype(np.uint32, copy=False))


def texts_of(words: Sequence[str], codes: Ints) -> pa.DictionaryArray:
    """Return texts from a dictionary and a code for each row."""
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(words, pa.string()))


def table_of(columns: Mapping[str, tuple[Kind, Any]]) -> pa.Table:
    """Return named columns of plain values (None = missing) as an Arrow table of our types."""
    return pa.table({name: pa.array(values, TYPE[kind]) for name, (kind, values) in columns.items()})
