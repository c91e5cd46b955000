"""The state store: what was decided. One attribute for each noun, one transaction for each call."""

from __future__ import annotations

from typing import Self

from service.store.alerts import AlertHistory
from service.store.corrections import Corrections
from service.store.database import Database
from service.store.findings import Findings
from service.store.fleet import Fleet
from service.store.notes import Audit, Notes
from service.store.notifications import Notifications
from service.store.objectives import ObjectiveDocuments, Objectives
from service.store.prices import Prices
from service.store.retention import trim
from service.store.silences import Receivers, Silences
from service.store.tokens import Tokens


class State:
    """An open state store. Thread-safe; what a call changed is durable when it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.tokens = Tokens(database)
        self.fleet = Fleet(database)
        self.objectives = Objectives(database)
        self.objective_documents = ObjectiveDocuments(database)
        self.corrections = Corrections(database)
        self.prices = Prices(database)
        self.findings = Findings(database)
        self.alerts = AlertHistory(database)
        self.notifications = Notifications(database)
        self.silences = Silences(database)
        self.receivers = Receivers(database)
        self.notes = Notes(database)
        self.audit = Audit(database)

    @classmethod
    def open(cls, url: str) -> Self:
        """Open a migrated store (see `service.store.migrate`).

        SQLite or PostgreSQL by SQLAlchemy URL; `StoreRefused` for any other. A store that
        cannot be reached raises `StoreUnavailable` at its first use.
        """
        return cls(Database(url))

    def trim(self, now_us: int) -> int:
        """Delete what ended longer ago than `RETENTION` keeps it; return how many rows that was."""
        return trim(self._database, now_us)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()
