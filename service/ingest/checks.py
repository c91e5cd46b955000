"""What a value may be, column by column: types, missing values, ranges, lengths, words.

The rules come from the words' own schema (`telemetry.columns`), so that a new field is checked
without a line here:
- every integer is 0 or more (durations, instants, counts, bytes), but for the few in `SIGNED`;
- a `*_ratio` lies in 0..1; an overshoot up to 1e-6, the noise of sums of doubles, is accepted
  as it is; every other double is finite;
- a text has at most 200 characters (`LONG_TEXTS`: 2,000) and is one of its closed list, if any;
- a list of uint32 is packed in 4 bytes each; `gap_buckets` has none or 16.

Each check looks first at the whole column at once; only when something is wrong does it look
for the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.ingest.frames import PLAIN, STORED_TYPE, mask_of, offsets_of, values_of
from telemetry.columns import ColumnSpec, Kind, TableSpec
from telemetry.frame import Mask
from telemetry.gaps import BUCKETS
from telemetry.identity import MAX_NAME_LENGTH
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE
from telemetry.wire import MAX_PLAIN_BYTES, WireError

SIGNED: Final = frozenset({"priority", "code"})
LONG_TEXTS: Final = frozenset({"error_class", "message"})
MAX_LONG_TEXT: Final = 2_000
RATIO_NOISE: Final = 1e-6
EARLIEST_US: Final = 24 * MICROS_PER_HOUR
LATEST_US: Final = 5 * MICROS_PER_MINUTE
_UINT_BYTES: Final = 4
_LARGEST: Final = np.finfo(np.float64).max


def check_column(table: TableSpec, column: ColumnSpec, sent: pa.Array) -> pa.Array:
    """Return a column that was sent, every value checked, in its stored type.

    `sent` must be valid in form (`validate(full=True)`). Raises `WireError` with the row.
    """
    plain = _plain(table, column, sent)
    if not column.nullable and plain.null_count:
        _refuse(table, column, ~mask_of(plain), "is missing and every row needs it")
    if len(plain):
        _CHECK[column.kind](table, column, plain)
    return _lists(plain) if column.kind is Kind.UINTS else plain


def check_times(table: TableSpec, rows: pa.Table, now_us: int) -> None:
    """Refuse event times before `now_us` - 24 h or after `now_us` + 5 min."""
    column = table.column(table.time_column)
    times = values_of(rows[column.name].chunk(0), np.int64)
    early, late = now_us - EARLIEST_US, now_us + LATEST_US
    if times.min() < early:
        _refuse(table, column, times < early, "is more than 24 h ago; use `inferometer import` for old facts")
    if times.max() > late:
        _refuse(table, column, times > late, "is more than 5 min ahead; is that host's clock right?")


def _refuse(table: TableSpec, column: ColumnSpec, bad: Mask, what: str) -> NoReturn:
    raise WireError(f"{table.name}.{column.name} row {int(np.argmax(bad))}: {what}")


def _plain(table: TableSpec, column: ColumnSpec, sent: pa.Array) -> pa.Array:
    """Return the column in the type the wire says; a dictionary of texts is written out."""
    if sent.type == PLAIN[column.kind]:
        return sent
    if column.kind is Kind.TEXT and pa.types.is_dictionary(sent.type):
        words = sent.dictionary
        if words.type == pa.string():
            return _written_out(table, column, sent)
    wanted = PLAIN[column.kind]
    raise WireError(f"{table.name}.{column.name}: the Arrow type is {sent.type}, it must be {wanted}")


def _written_out(table: TableSpec, column: ColumnSpec, sent: pa.DictionaryArray) -> pa.Array:
    sizes = pc.binary_length(sent.dictionary)
    total = pc.sum(sizes.take(sent.indices)).as_py() or 0
    if total > MAX_PLAIN_BYTES:
        raise WireError(f"{table.name}.{column.name}: {total:,} bytes of text; send smaller batches")
    return sent.dictionary_decode()


def _check_int(table: TableSpec, column: ColumnSpec, sent: pa.Array) -> None:
    values = values_of(sent, np.int64)
    if column.name in SIGNED or values.min() >= 0:
        return
    bad = (values < 0) & mask_of(sent)
    if bad.any():
        _refuse(table, column, bad, f"{values[np.argmax(bad)]} is negative; it is a count, size or duration")


def _check_float(table: TableSpec, column: ColumnSpec, sent: pa.Array) -> None:
    ratio = column.name.endswith("_ratio")
    low, high = (0.0, 1.0 + RATIO_NOISE) if ratio else (-_LARGEST, _LARGEST)
    values = values_of(sent, np.float64)
    if values.min() >= low and values.max() <= high:  # false for NaN too
        return
    bad = ~((values >= low) & (values <= high)) & mask_of(sent)
    if bad.any():
        wanted = "a ratio is 0..1" if ratio else "it must be a finite number"
        _refuse(table, column, bad, f"{values[np.argmax(bad)]} is out of range; {wanted}")


def _check_text(table: TableSpec, column: ColumnSpec, sent: pa.Array) -> None:
    limit = MAX_LONG_TEXT if column.name in LONG_TEXTS else MAX_NAME_LENGTH
    if np.diff(offsets_of(sent)).max() > limit:  # bytes: never fewer than characters
        bad = _known_true(pc.greater(pc.utf8_length(sent), limit))
        if bad.any():
            _refuse(table, column, bad, f"the text is longer than {limit:,} characters; shorten it")
    if column.words:
        _check_words(table, column, sent)


def _known_true(flags: pa.Array) -> Mask:
    known: Mask = pc.fill_null(flags, fill_value=False).to_numpy(zero_copy_only=False)
    return known


def _check_words(table: TableSpec, column: ColumnSpec, sent: pa.Array) -> None:
    for word in sent.dictionary_encode().dictionary.to_pylist():
        if word not in column.words:
            _refuse(
                table,
                column,
                _known_true(pc.equal(sent, word)),
                f"{word[:40]!r} is not one of {', '.join(column.words)}",
            )


def _check_flag(_table: TableSpec, _column: ColumnSpec, _sent: pa.Array) -> None:
    """Any flag is a flag."""


def _check_uints(table: TableSpec, column: ColumnSpec, sent: pa.Array) -> None:
    sizes = np.diff(offsets_of(sent)) * mask_of(sent)
    if (sizes % _UINT_BYTES).any():
        _refuse(table, column, sizes % _UINT_BYTES != 0, "the bytes are no list of uint32 (4 bytes each)")
    if column.name == "gap_buckets":
        bad = (sizes != 0) & (sizes != BUCKETS * _UINT_BYTES)
        if bad.any():
            count = sizes[np.argmax(bad)] // _UINT_BYTES
            _refuse(table, column, bad, f"{count} buckets; there are {BUCKETS}, or none when not observed")


_CHECK: Final[Mapping[Kind, Callable[[TableSpec, ColumnSpec, Any], None]]] = {
    Kind.INT: _check_int,
    Kind.FLOAT: _check_float,
    Kind.TEXT: _check_text,
    Kind.FLAG: _check_flag,
    Kind.UINTS: _check_uints,
}


def _lists(packed: pa.Array) -> pa.Array:
    """Return packed bytes as lists of uint32, without copying them."""
    offsets = offsets_of(packed)
    first, last = int(offsets[0]), int(offsets[-1])
    numbers = packed.buffers()[2]
    data = numbers.slice(first, last - first) if numbers is not None else pa.py_buffer(b"")
    values = pa.Array.from_buffers(pa.uint32(), (last - first) // _UINT_BYTES, [None, data])
    starts = pa.py_buffer(((offsets - first) // _UINT_BYTES).astype(np.int32))
    return pa.Array.from_buffers(STORED_TYPE[Kind.UINTS], len(packed), [None, starts], children=[values])
