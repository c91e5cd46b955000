"""Brings both stores to the schema this code knows: Alembic, run on every start.

Steps are append-only and frozen text; `migrations` imports nothing of ours.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from service.store.clickhouse import Warehouse
from service.store.database import Database
from service.store.errors import StoreUnavailable, StoreUnsafe

HEAD: Final = "head"
BASE: Final = "base"


def upgrade_facts(url: str, *, replicated: bool = False) -> None:
    """Create or complete the facts tables; nothing to do = some milliseconds.

    Not transactional: cut off anywhere, it is simply run again. `replicated` renders
    Replicated* tables, run it on every node. Raises `StoreUnavailable`, `StoreUnsafe`.
    """
    _facts(url, HEAD, replicated=replicated)


def downgrade_facts(url: str) -> None:
    """Drop every facts table and what is in it."""
    _facts(url, BASE)


def upgrade_state(url: str) -> None:
    """Create or complete the state tables, in one transaction. Raises as `upgrade_facts`."""
    _state(url, HEAD)


def downgrade_state(url: str) -> None:
    """Drop every state table and what is in it."""
    _state(url, BASE)


def _facts(url: str, revision: str, *, replicated: bool = False) -> None:
    warehouse = Warehouse(url, replicated=replicated)
    try:
        _run("facts", warehouse.writer, revision, replicated=replicated)
    finally:
        warehouse.close()


def _state(url: str, revision: str) -> None:
    database = Database(url)
    try:
        _run("state", database.engine, revision)
    finally:
        database.close()


def _run(history: str, engine: Engine, revision: str, **attributes: Any) -> None:
    place = engine.url.render_as_string(hide_password=True)
    try:
        with as_file(files("migrations") / history) as folder, engine.connect() as connection:
            config = Config(attributes={"connection": connection, **attributes})
            config.set_main_option("script_location", str(folder).replace("%", "%%"))
            (command.downgrade if revision == BASE else command.upgrade)(config, revision)
    except CommandError as error:
        raise StoreUnsafe(f"migrate {place}: {error}; was it written by a newer version?") from error
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StoreUnavailable(f"migrate {place}: {cause}; mend it and start again") from error
