"""Small durable facts about the service itself: key-value notes and the audit trail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from service.store.database import Database, insert_once, upsert
from service.store.schema import audit, meta

LEDGER_VERSION: Final = "ledger_version"
"""Key of the note that names the current ledger version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to what, and when. `detail` holds no secret."""

    at_us: int
    who: str
    action: str
    subject: str
    detail: Mapping[str, str]


class Notes:
    """The key-value notes of one state store. Thread-safe; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> str | None:
        """Return a note; None = there is none."""
        with self._database.reading() as connection:
            return connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one_or_none()

    def set(self, values: Mapping[str, str]) -> None:
        """Keep notes, all or none."""
        with self._database.writing() as connection:
            for key, value in values.items():
                upsert(connection, meta, {"key": key, "value": value})

    def set_once(self, key: str, value: str) -> str:
        """Keep a note unless there is one; return what holds."""
        with self._database.writing() as connection:
            insert_once(connection, meta, {"key": key, "value": value})
            held = select(meta.c.value).where(meta.c.key == key)
            return str(connection.execute(held).scalar_one())


class Audit:
    """The audit trail of one state store: added to, never changed. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: AuditEntry) -> None:
        """Keep an entry, durable when it returns."""
        row = {
            "at_us": entry.at_us,
            "who": entry.who,
            "action": entry.action,
            "subject": entry.subject,
            "detail": json.dumps(dict(entry.detail), sort_keys=True),
        }
        with self._database.writing() as connection:
            connection.execute(audit.insert(), row)

    def listed(self, *, limit: int = 200) -> list[AuditEntry]:
        """Return the newest entries, newest first."""
        newest = select(audit).order_by(audit.c.position.desc()).limit(limit)
        with self._database.reading() as connection:
            return [
                AuditEntry(
                    at_us=row.at_us,
                    who=row.who,
                    action=row.action,
                    subject=row.subject,
                    detail=json.loads(row.detail),
                )
                for row in connection.execute(newest)
            ]
