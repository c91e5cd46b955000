"""Alembic histories: `state/` (relational) and `facts/` (ClickHouse dialect). Append-only."""
