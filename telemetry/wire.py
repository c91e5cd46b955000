"""A batch and its bytes.

A body is one zstd frame of: 4 magic bytes, the wire version (u16), the header's length
(u32), the header (JSON), then one Arrow IPC stream for each table in the header's order.
Columns in which every value is missing are left out; the reader takes a missing column as
null. The service reads the current and the previous version.

Bounds: a body of at most `MAX_BODY_BYTES`, at most `MAX_PLAIN_BYTES` after decompression.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import nanoarrow
from backports import zstd
from nanoarrow.ipc import StreamWriter

from telemetry.columns import TABLE, ColumnSpec, Kind, Record, TableSpec
from telemetry.identity import Origin

VERSION: Final = 1
READABLE: Final = frozenset({VERSION})
MAGIC: Final = b"INFM"
CONTENT_TYPE: Final = "application/vnd.inferometer.batch"
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_PLAIN_BYTES: Final = 128 * 1024 * 1024
_PREFIX: Final = struct.Struct("<4sHI")
_ALIGNMENT: Final = 8
"""Streams begin at multiples of it, so that a reader need not copy them: Arrow pads to it too."""
_ARROW: Final[dict[Kind, Any]] = {
    Kind.INT: nanoarrow.int64(),
    Kind.FLOAT: nanoarrow.float64(),
    Kind.TEXT: nanoarrow.string(),
    Kind.FLAG: nanoarrow.bool_(),
    Kind.UINTS: nanoarrow.binary(),
}


class WireError(ValueError):
    """A body that is not a batch: the message says which part, what is wrong and what to do."""


class WireVersionError(WireError):
    """A body of a version this side does not read; upgrade the side the message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """Identity and circumstances of a batch; (agent, boot, seq) is unique for ever.

    The agent's name is not in it: it comes from the token that delivered the batch.
    """

    boot: str
    seq: int
    sealed_at_us: int
    host: str
    origin: Origin = Origin.LIVE
    dataset: str = ""
    """The name of an import, which is a dataset of its own; empty for live facts."""
    software: str = "inferometer"


@dataclass(frozen=True, slots=True)
class Part:
    """One table of a batch: its name, its number of rows, its Arrow IPC stream."""

    table: str
    rows: int
    stream: bytes | memoryview


def _packed(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _arrow_column(spec: ColumnSpec, values: list[Any]) -> Any:
    if spec.kind is Kind.UINTS:
        values = [_packed(value) for value in values]
    return nanoarrow.c_array(values, _ARROW[spec.kind])


def _ipc(table: TableSpec, rows: Sequence[Record]) -> bytes:
    kept: dict[str, Any] = {}
    for spec in table.columns:
        values = [getattr(row, spec.name) for row in rows]
        if not spec.nullable or any(value is not None for value in values):
            kept[spec.name] = (_ARROW[spec.kind], _arrow_column(spec, values))
    schema = nanoarrow.struct({name: arrow for name, (arrow, _) in kept.items()})
    children = [array for _, array in kept.values()]
    block = nanoarrow.c_array_from_buffers(schema, len(rows), [None], children=children)
    out = io.BytesIO()
    with StreamWriter.from_writable(out) as writer:
        writer.write_array(block)
    return out.getvalue()


def encode(header: BatchHeader, tables: Mapping[str, Sequence[Record]]) -> bytes:
    """Return the body of a batch. Tables without rows are left out.

    Raises `KeyError` for a table that `telemetry.columns` does not name.
    """
    parts = [Part(name, len(rows), _ipc(TABLE[name], rows)) for name, rows in tables.items() if rows]
    return join(header, parts)


def join(header: BatchHeader, parts: Sequence[Part]) -> bytes:
    """Return the body made of ready Arrow streams: the inverse of `split`."""
    head = {
        "boot": header.boot,
        "seq": header.seq,
        "sealed_at_us": header.sealed_at_us,
        "host": header.host,
        "origin": header.origin.value,
        "dataset": header.dataset,
        "software": header.software,
        "tables": [[part.table, part.rows, len(part.stream)] for part in parts],
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-(_PREFIX.size + len(text)) % _ALIGNMENT)
    streams = b"".join(part.stream for part in parts)
    return zstd.compress(_PREFIX.pack(MAGIC, VERSION, len(text)) + text + streams, level=1)


def _inflate(body: bytes, limit: int) -> bytes:
    try:
        decompressor = zstd.ZstdDecompressor()
        plain = decompressor.decompress(body, max_length=limit + 1)
    except zstd.ZstdError as error:
        raise WireError(f"body: not a zstd frame ({error}); send what `inferometer agent` sends") from None
    if len(plain) > limit:
        raise WireError(f"body: larger than {limit:,} bytes when decompressed; send smaller batches")
    if not decompressor.eof:
        raise WireError("body: the zstd frame is cut short; send the whole batch again")
    if decompressor.unused_data:
        raise WireError("body: bytes follow the zstd frame; one body is one frame")
    return bytes(plain)


def split(body: bytes, *, max_plain_bytes: int = MAX_PLAIN_BYTES) -> tuple[BatchHeader, list[Part]]:
    """Return a body's header and its parts, Arrow not yet read.

    Raises `WireVersionError` for a version not in `READABLE`, `WireError` for anything else
    that is not a batch. Memory is bounded by `max_plain_bytes`.
    """
    plain = _inflate(body, max_plain_bytes)
    if len(plain) < _PREFIX.size:
        raise WireError("body: shorter than the batch prefix; send the whole batch again")
    magic, version, length = _PREFIX.unpack_from(plain)
    if magic != MAGIC:
        raise WireError("body: does not begin with the batch mark; is this an Inferometer agent?")
    if version not in READABLE:
        hint = "upgrade the agent" if version < min(READABLE) else "upgrade the service first"
        raise WireVersionError(f"body: wire version {version}, this service reads {sorted(READABLE)}; {hint}")
    end = _PREFIX.size + length
    header, table_rows = _header(plain[_PREFIX.size : end])
    return header, _parts(plain, end, table_rows)


def _header(text: bytes) -> tuple[BatchHeader, list[tuple[str, int, int]]]:
    try:
        head = json.loads(text)
        header = BatchHeader(
            boot=_text(head, "boot"),
            seq=_whole(head["seq"]),
            sealed_at_us=_whole(head["sealed_at_us"]),
            host=_text(head, "host"),
            origin=Origin(head.get("origin", Origin.LIVE)),
            dataset=_text(head, "dataset") if head.get("dataset") else "",
            software=_text(head, "software"),
        )
        tables = [(str(name), _whole(rows), _whole(size)) for name, rows, size in head["tables"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error)[:200]  # it may quote the sender at any length
        raise WireError(f"header: {reason}; missing, or of the wrong kind") from None
    return header, tables


def _text(head: Mapping[str, Any], key: str) -> str:
    value = head[key]
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise ValueError(f"{key} must be a text of 1 to 200 characters")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is not a whole number of 0 .. 2^63-1")
    return value


def _parts(plain: bytes, start: int, tables: list[tuple[str, int, int]]) -> list[Part]:
    parts: list[Part] = []
    streams = memoryview(plain)
    for name, rows, size in tables:
        end = start + size
        if end > len(plain):
            raise WireError(
                f"{name}: {size:,} bytes announced, {len(plain) - start:,} there; the body is cut"
            )
        parts.append(Part(name, rows, streams[start:end]))
        start = end
    if start != len(plain):
        raise WireError(f"body: {len(plain) - start:,} bytes follow the last table")
    return parts
