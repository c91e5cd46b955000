"""One Arrow IPC stream to one validated record batch: the door to pyarrow for foreign bytes.

Arrow checks the form of what it reads (`validate(full=True)`), but would decompress buffers to
any size and follow any number of tiny batches. Those are refused here before they cost
anything. Only the columns we know are looked at.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from telemetry.columns import TableSpec
from telemetry.wire import Part, WireError

MAX_MESSAGES: Final = 1_000
MAX_COLUMNS: Final = 1_000
_HINT: Final = "send what `inferometer agent` sends, or a plain Arrow IPC stream"
_FAULTS: Final = (pa.ArrowException, OSError, MemoryError, ValueError, LookupError, struct.error)
_DICTIONARY, _RECORDS = 2, 3


@dataclass(frozen=True, slots=True)
class Rows:
    """What a stream held: the known columns, validated in form; how many others it had."""

    known: pa.RecordBatch
    unknown_columns: int


def read_stream(part: Part, spec: TableSpec) -> Rows:
    """Return the rows of a part, the values not yet checked.

    Raises `WireError` for anything that is not a plain stream, or has not the announced rows.
    """
    try:
        rows = _read(part, spec)
    except WireError:
        raise
    except _FAULTS as error:
        reason = str(error).partition("\n")[0][:200]
        raise WireError(f"{part.table}: not a readable Arrow stream ({reason}); {_HINT}") from None
    if rows.known.num_rows != part.rows:
        raise WireError(f"{part.table}: {part.rows:,} rows announced, {rows.known.num_rows:,} there")
    return rows


def _read(part: Part, spec: TableSpec) -> Rows:
    stream = pa.py_buffer(part.stream)
    _refuse_costly(part.table, stream)
    aligned = pa.ipc.IpcReadOptions(ensure_alignment=pa.ipc.Alignment.DataTypeSpecific, use_threads=False)
    with pa.ipc.open_stream(stream, options=aligned) as reader:
        names = reader.schema.names
        known = _known(part.table, names, spec)
        blocks = [_validated(block.select(known)) for block in reader]
        blocks = blocks or [pa.RecordBatch.from_pylist([], schema=reader.schema).select(known)]
    whole = blocks[0] if len(blocks) == 1 else pa.concat_batches(blocks)
    return Rows(whole, len(names) - len(known))


def _known(table: str, names: list[str], spec: TableSpec) -> list[str]:
    if len(names) > MAX_COLUMNS:
        raise WireError(f"{table}: {len(names):,} columns, at most {MAX_COLUMNS:,} are read; {_HINT}")
    known = [column.name for column in spec.columns if column.name in names]
    for name in known:
        if names.count(name) > 1:
            raise WireError(f"{table}.{name}: {names.count(name)} columns of this name; send one")
    return known


def _validated(block: pa.RecordBatch) -> pa.RecordBatch:
    block.validate(full=True)
    return block


def _refuse_costly(table: str, stream: pa.Buffer) -> None:
    """Refuse compressed buffers (the body is compressed whole) and endless messages."""
    for count, message in enumerate(pa.ipc.MessageReader.open_stream(stream), start=1):
        if count > MAX_MESSAGES:
            raise WireError(f"{table}: more than {MAX_MESSAGES:,} Arrow messages; send larger blocks")
        if _is_compressed(message.metadata):
            raise WireError(f"{table}: compressed Arrow buffers; compress the whole body with zstd only")


def _is_compressed(metadata: Any) -> bool:
    """Tell whether an Arrow message (a flatbuffer, Message.fbs) announces compressed buffers."""
    flat = memoryview(metadata)
    message = _follow(flat, 0)
    kind = flat[_field(flat, message, 1)]
    if kind not in (_DICTIONARY, _RECORDS):
        return False
    block = _follow(flat, _field(flat, message, 2))
    if kind == _DICTIONARY:
        block = _follow(flat, _field(flat, block, 1))
    return _field(flat, block, 3) != 0


def _follow(flat: memoryview, at: int) -> int:
    offset: int = struct.unpack_from("<I", flat, at)[0]
    return at + offset


def _field(flat: memoryview, table: int, number: int) -> int:
    """Return where a field of a flatbuffer table lies; 0 = it is absent."""
    layout = table - struct.unpack_from("<i", flat, table)[0]
    slot = 4 + 2 * number
    if slot >= struct.unpack_from("<H", flat, layout)[0]:
        return 0
    offset: int = struct.unpack_from("<H", flat, layout + slot)[0]
    return table + offset if offset else 0
