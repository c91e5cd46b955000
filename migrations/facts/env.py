"""Runs the facts history on the connection that the caller hands in.

ClickHouse has no transactions around DDL: a step that is cut off is simply run again, so every
step says IF NOT EXISTS and IF EXISTS.
"""

from __future__ import annotations

import clickhouse_connect.cc_sqlalchemy.alembic  # noqa: F401 - registers the dialect with Alembic
from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
