"""The door to the relational store: SQLite in the data directory, or PostgreSQL, by one URL.

A commit on SQLite is durable when it returns (synchronous=FULL); on PostgreSQL it is as
durable as the server's `synchronous_commit` says, which is on by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from service.store.errors import StoreError, StoreRefused, StoreUnavailable

_WRITES: Final = "inferometer_writes"
_BUSY_MILLIS: Final = 15_000
_SQLITE: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA busy_timeout = {_BUSY_MILLIS}",
)


class Database:
    """Transactions on one relational store. Thread-safe."""

    def __init__(self, url: str) -> None:
        """Prepare the connections. Raises `StoreRefused` for a URL of another kind of store."""
        self.engine = _engine(url)
        self.place = self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that sees one state of the store and changes nothing."""
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, committed and durable at its end, rolled back whole on any error.

        SQLite lets one writer in at a time; the others wait up to 15 s.
        """
        with self._transaction(writes=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        try:
            with (
                self.engine.connect().execution_options(**{_WRITES: writes}) as connection,
                connection.begin(),
            ):
                yield connection
        except SQLAlchemyError as error:
            raise _ours(self.place, error) from error

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def upsert(connection: Connection, table: Table, row: Mapping[str, Any], keep: tuple[str, ...] = ()) -> None:
    """Insert a row, or replace the one with its primary key, except for the columns in `keep`."""
    statement, keys = _insert(connection, table), [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in row if name not in (*keys, *keep)}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), dict(row))


def insert_once(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless one with its key or a unique column is there; true = it was new."""
    statement: Insert = _insert(connection, table).on_conflict_do_nothing()
    # SQLAlchemy forgets how many rows an INSERT made unless it is told to remember.
    counted = {"preserve_rowcount": True}
    return connection.execute(statement, dict(row), execution_options=counted).rowcount == 1


def _insert(connection: Connection, table: Table) -> Any:
    """Return the dialect's INSERT, which alone knows ON CONFLICT."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreRefused("state URL: not a URL; write sqlite:///FILE or postgresql://host/name") from None
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        return _with_sqlite_rules(create_engine(parsed))
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    raise StoreRefused(
        f"state URL: {parsed.get_backend_name()} is not supported; write sqlite:///FILE or postgresql://host/name"
    )


def _with_sqlite_rules(engine: Engine) -> Engine:
    """Take transaction control from the driver: its own begins no transaction for a SELECT."""

    @event.listens_for(engine, "connect")
    def _open(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in _SQLITE:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock at once: a read that turns into a write may fail halfway.
        writes = connection.get_execution_options().get(_WRITES, True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _ours(place: str, error: SQLAlchemyError) -> StoreError:
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    if isinstance(error, IntegrityError | DataError | ProgrammingError):
        return StoreRefused(f"state: {place} refuses it: {cause}")
    return StoreUnavailable(f"state: {place} cannot do it now: {cause}; is it there, and is its disk full?")
