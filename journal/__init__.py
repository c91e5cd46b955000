"""Durable ordered queue of sealed batches in SQLite: agent's spool and service's intake."""
