"""The state store's history, on SQLite and PostgreSQL alike."""
