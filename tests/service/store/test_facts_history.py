"""The facts history: up, down, twice, from wherever it was cut off, to exactly the table specs."""

from __future__ import annotations

import re

import pytest

from service.store.clickhouse import Warehouse
from service.store.migrate import downgrade_facts, upgrade_facts
from service.store.tables import FACT_TABLES, create


@pytest.fixture
def warehouse(facts_url):
    opened = Warehouse(facts_url)
    yield opened
    opened.close()


def made(warehouse, table):
    shown = warehouse.query(f"SHOW CREATE TABLE {table}", {})
    return re.sub(r"CREATE TABLE \w+\.", "CREATE TABLE ", shown.to_pylist()[0]["statement"])


def names(warehouse):
    found = warehouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()", {})
    return set(found["name"].to_pylist()) - {"alembic_version"}


def test_the_migrated_schema_equals_the_table_specs(facts_url, warehouse):
    upgrade_facts(facts_url)
    migrated = {table.name: made(warehouse, table.name) for table in FACT_TABLES}
    downgrade_facts(facts_url)
    for table in FACT_TABLES:
        warehouse.command(create(table))
    assert migrated == {table.name: made(warehouse, table.name) for table in FACT_TABLES}


def test_up_down_up_and_twice(facts_url, warehouse):
    wanted = {table.name for table in FACT_TABLES}
    upgrade_facts(facts_url)
    upgrade_facts(facts_url)
    assert names(warehouse) == wanted
    downgrade_facts(facts_url)
    assert names(warehouse) == set()
    upgrade_facts(facts_url)
    assert names(warehouse) == wanted


def test_a_step_that_was_cut_off_is_completed(facts_url, warehouse):
    for table in FACT_TABLES[:4]:
        warehouse.command(create(table))
    upgrade_facts(facts_url)
    assert names(warehouse) == {table.name for table in FACT_TABLES}


def test_upgrading_keeps_what_is_stored(facts_url, warehouse):
    upgrade_facts(facts_url)
    warehouse.command(
        "INSERT INTO evidence (finding_id, written_at_us, at_us) VALUES ('f', toUnixTimestamp(now()) * 1000000, 1)"
    )
    upgrade_facts(facts_url)
    assert warehouse.query("SELECT finding_id FROM evidence", {})["finding_id"].to_pylist() == ["f"]


@pytest.mark.parametrize("table", FACT_TABLES, ids=lambda table: table.name)
def test_a_cluster_gets_the_same_table_with_a_replicated_engine(table):
    alone, replicated = create(table), create(table, replicated=True)
    assert replicated.replace("ENGINE = Replicated", "ENGINE = ") == alone
