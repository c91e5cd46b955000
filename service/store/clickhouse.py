"""The door to ClickHouse: chDB in this process or a server, by one SQLAlchemy URL.

One connection writes, a few read; each connection serialises its own calls. chDB holds one
directory in one process, and a process that has opened it must not fork (starting another
program is fine).
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError, StreamFailureError
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from service.store.errors import StoreBusy, StoreError, StoreRefused, StoreUnavailable

_MIB: Final = 1024 * 1024
_SLICE_ROWS: Final = 65_536
"""Rows encoded at a time: a block is never in memory a second time as bytes."""

# Codes of ClickHouse's ErrorCodes.cpp that the same statement or data will always meet.
_NEVER: Final = frozenset(
    {6, 16, 26, 27, 38, 41, 42, 43, 44, 46, 47, 50, 53, 60, 62, 69, 70, 72, 81, 117, 164, 321, 349, 456, 457}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """What one question may cost, and how many may be asked at once."""

    connections: int = 2
    wait_seconds: float = 15.0
    """How long to wait for a free connection before `StoreBusy`."""
    memory_bytes: int = 1024 * _MIB
    seconds: float = 30.0
    result_bytes: int = 512 * _MIB
    threads: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLimits:
    """Memory of one insert, delete or migration step."""

    memory_bytes: int = 4096 * _MIB
    wait_seconds: float = 60.0


class Warehouse:
    """Connections to one facts store. Thread-safe."""

    def __init__(self, url: str, *, reading: ReadLimits | None = None, replicated: bool = False) -> None:
        """Prepare the connections; nothing is opened before it is used.

        `replicated`: tables are Replicated*, and an insert waits for a quorum. Raises
        `StoreRefused` for a URL that is not of the ClickHouse dialect.
        """
        limits = reading or ReadLimits()
        self.url = _checked(url)
        self.replicated = replicated
        self.place = self.url.render_as_string(hide_password=True)
        _own_temporary_folder(self.url)
        quorum = {"insert_quorum": "auto"} if replicated else {}
        self._writer = self._engine(1, WriteLimits().wait_seconds, _write_settings(WriteLimits()) | quorum)
        self._reader = self._engine(limits.connections, limits.wait_seconds, _read_settings(limits))

    @property
    def writer(self) -> Engine:
        """The engine of the one writing connection: what migrations run on."""
        return self._writer

    def query(self, sql: str, params: Mapping[str, Any]) -> pa.Table:
        """Return the answer of one SELECT. Texts of dictionaries come as dictionaries.

        Raises `StoreBusy`, `StoreUnavailable` (time, memory, connection), `StoreRefused`.
        """
        with self._client(self._reader, "query") as client:
            answer = client.raw_query(sql, dict(params), fmt="ArrowStream")
        if not answer:
            return pa.table({})
        return pa.ipc.open_stream(answer).read_all()

    def command(self, sql: str, params: Mapping[str, Any] | None = None) -> None:
        """Run one statement that changes something, on the writing connection."""
        with self._client(self._writer, "command") as client:
            client.command(sql, dict(params or {}))

    def insert(self, table: str, rows: pa.Table) -> None:
        """Insert rows, synced when it returns. Columns that are left out are NULL or empty.

        Atomic only within one partition: an insert that fails may have left some.
        """
        with self._client(self._writer, f"insert {rows.num_rows:,} rows into {table}") as client:
            client.raw_insert(table, rows.column_names, _stream(rows), fmt="ArrowStream")

    def close(self) -> None:
        """Close every connection; chDB lets go of its directory. Waits for calls under way."""
        self._reader.dispose()
        self._writer.dispose()

    def _engine(self, connections: int, wait_seconds: float, settings: Mapping[str, str]) -> Engine:
        engine = create_engine(
            self.url,
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=wait_seconds,
            pool_reset_on_return=None,
        )

        @event.listens_for(engine, "connect")
        def _limit(connection: Any, _record: object) -> None:
            for name, value in settings.items():
                connection.client.set_client_setting(name, value)

        return engine

    @contextmanager
    def _client(self, engine: Engine, operation: str) -> Iterator[Any]:
        """Lend the driver's client of one connection; its errors become ours."""
        try:
            with engine.connect() as connection:
                try:
                    yield connection.connection.driver_connection.client  # type: ignore[union-attr]
                except BaseException:
                    # chDB puts what a failed query had already written before the next answer.
                    connection.invalidate()
                    raise
        except PoolTimeoutError:
            raise StoreBusy(f"{operation}: every connection to {self.place} is in use; try again") from None
        except (ClickHouseError, StreamFailureError, DBAPIError) as error:
            raise _ours(operation, self.place, error) from error
        except OSError as error:
            raise StoreUnavailable(f"{operation}: {self.place}: {error.strerror or error}") from error


def _ours(operation: str, place: str, error: Exception) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = str(cause).split(" (version ")[0]
    if getattr(cause, "code", None) in _NEVER:
        return StoreRefused(f"{operation}: {place} refuses it: {text}")
    return StoreUnavailable(f"{operation}: {place} cannot do it now: {text}")


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreRefused("facts URL: not a URL; write clickhousedb://host:8123/database") from None
    if parsed.get_backend_name() != "clickhousedb":
        raise StoreRefused(
            f"facts URL: {parsed.get_backend_name()} is not a facts store; "
            "write clickhousedb:///?interface=chdb&path=FOLDER or clickhousedb://host:8123/database"
        )
    return parsed


def embedded_path(url: URL) -> Path | None:
    """Return chDB's directory; None = a server."""
    path = url.query.get("path")
    return Path(str(path)) if url.query.get("interface") == "chdb" and path else None


def _own_temporary_folder(url: URL) -> None:
    """Keep the driver's insert files beside the data, and clear what a kill has left of them.

    The driver hands an insert to chDB as a file of `tempfile`: on the disk that was meant for
    the data, never in a small /tmp.
    """
    path = embedded_path(url)
    if path is None:
        return
    place = path.with_name(path.name + ".tmp")
    mine = place / str(os.getpid())
    mine.mkdir(parents=True, exist_ok=True)
    for left in place.iterdir():
        if left != mine:
            shutil.rmtree(left, ignore_errors=True)
    tempfile.tempdir = str(mine)


def _read_settings(limits: ReadLimits) -> dict[str, str]:
    return {
        "output_format_arrow_string_as_string": "1",
        "output_format_arrow_low_cardinality_as_dictionary": "1",
        "max_memory_usage": str(limits.memory_bytes),
        "max_bytes_before_external_group_by": str(limits.memory_bytes // 2),
        "max_bytes_before_external_sort": str(limits.memory_bytes // 2),
        "max_execution_time": f"{limits.seconds:g}",
        "max_result_bytes": str(limits.result_bytes),
        "max_threads": str(limits.threads),
        "readonly": "1",  # the last one: it also freezes the settings
    }


def _write_settings(limits: WriteLimits) -> dict[str, str]:
    return {
        "async_insert": "0",
        "insert_deduplicate": "0",
        "max_memory_usage": str(limits.memory_bytes),
        "max_partitions_per_insert_block": "100",
        "mutations_sync": "2",
    }


def _stream(rows: pa.Table) -> Iterator[bytes]:
    """Yield rows as one Arrow stream, a slice at a time. Dictionaries are made one beforehand."""
    rows = rows.unify_dictionaries()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        for batch in rows.to_batches(max_chunksize=_SLICE_ROWS):
            writer.write_batch(batch)
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()
