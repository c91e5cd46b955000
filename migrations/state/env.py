"""Runs the state history on the connection that the caller hands in, in one transaction."""

from __future__ import annotations

from alembic import context

# Both databases can take back DDL; Alembic assumes that SQLite cannot.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
