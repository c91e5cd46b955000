"""The state history: up, down, twice, on SQLite and PostgreSQL, to exactly the schema in code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from service.store.database import Database
from service.store.errors import StoreUnsafe
from service.store.migrate import downgrade_state, upgrade_state
from service.store.schema import metadata

OURS = {
    "alerts",
    "anomalies",
    "collector",
    "cost",
    "dashboards",
    "inferometer",
    "journal",
    "service",
    "slo",
    "telemetry",
}


@pytest.fixture
def database(state_url):
    opened = Database(state_url)
    yield opened
    opened.close()


def names(database):
    return set(inspect(database.engine).get_table_names()) - {"alembic_version"}


def test_the_migrated_schema_equals_the_schema_in_code(state_url, database):
    upgrade_state(state_url)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_up_down_up_and_twice(state_url, database):
    upgrade_state(state_url)
    upgrade_state(state_url)
    assert names(database) == set(metadata.tables)
    downgrade_state(state_url)
    assert names(database) == set()
    upgrade_state(state_url)
    assert names(database) == set(metadata.tables)


def test_a_store_of_a_newer_version_is_not_touched(state_url, database):
    upgrade_state(state_url)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnsafe, match="newer version"):
        upgrade_state(state_url)


def test_migrations_import_nothing_of_ours(repository: Path):
    for file in (repository / "migrations").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not OURS & {module.partition(".")[0] for module in modules}, file
