"""Bodies as any Arrow writer would make them, right and wrong."""

from __future__ import annotations

import io
from collections.abc import Callable

import pyarrow as pa
import pytest

from service.ingest.frames import PLAIN
from telemetry.columns import TABLE, Kind
from telemetry.identity import Origin
from telemetry.wire import BatchHeader, Part, join

NOW_US = 1_760_000_000_000_000
VALUE = {Kind.INT: 0, Kind.FLOAT: 0.5, Kind.TEXT: "x", Kind.FLAG: True, Kind.UINTS: b""}


def _stream(rows: pa.Table, **options) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, rows.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(rows, max_chunksize=1_000_000)
    return out.getvalue()


@pytest.fixture
def now_us() -> int:
    return NOW_US


@pytest.fixture
def stream() -> Callable[..., bytes]:
    return _stream


@pytest.fixture
def header() -> Callable[..., BatchHeader]:
    def header(origin: Origin = Origin.LIVE) -> BatchHeader:
        return BatchHeader(boot="b", seq=1, sealed_at_us=NOW_US, host="h", origin=origin)

    return header


@pytest.fixture
def rows() -> Callable[..., pa.Table]:
    """Return a maker of valid tables: `rows("requests", 3, ttft_us=pa.array([...]))` replaces columns.

    A column given as None is left out.
    """

    def rows(table: str, count: int = 3, **changed: pa.Array | None) -> pa.Table:
        columns = {}
        for spec in TABLE[table].columns:
            value = spec.words[0] if spec.words else VALUE[spec.kind]
            value = NOW_US if spec.name.endswith("_at_us") else value
            columns[spec.name] = pa.array([value] * count, PLAIN[spec.kind])
        columns.update(changed)
        return pa.table({name: column for name, column in columns.items() if column is not None})

    return rows


@pytest.fixture
def body(header) -> Callable[..., bytes]:
    """Return a maker of bodies: `body(requests=table)`; `announced` overrides the row count."""

    def body(announced: int | None = None, origin: Origin = Origin.LIVE, **tables: pa.Table) -> bytes:
        parts = [
            Part(name, table.num_rows if announced is None else announced, _stream(table))
            for name, table in tables.items()
        ]
        return join(header(origin), parts)

    return body
