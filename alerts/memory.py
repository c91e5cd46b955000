"""The store of notifications in memory: for tests, dry runs and a service without a state store.

The reference for the rules of `alerts.ports`. Nothing survives the process.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from alerts.notification import Notification
from alerts.ports import FINAL, Claim, Outcome, Result

MAX_ROWS: Final = 100_000
"""Most rows kept, finished ones included; `add` refuses more with `OverflowError`."""


@dataclass(slots=True)
class Row:
    """One notification and how far it has come. `outcome` None = never tried."""

    notification: Notification
    next_at_us: int
    attempt: int = 1
    outcome: Outcome | None = None
    detail: str = ""
    worker: str | None = None
    lease_until_us: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.outcome in FINAL


@dataclass(slots=True)
class MemoryStore:
    """Implements `alerts.ports.NotificationStore`. Thread-safe."""

    rows: dict[str, Row] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    _announced: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, notifications: Sequence[Notification]) -> int:
        """Keep notifications that are not there yet; see the port."""
        with self._lock:
            fresh = [each for each in notifications if each.id not in self.rows]
            if len(self.rows) + len(fresh) > MAX_ROWS:
                raise OverflowError(f"notifications: more than {MAX_ROWS:,} rows; use a state store")
            for each in fresh:
                self.rows[each.id] = Row(each, each.created_at_us)
            return len(fresh)

    def claim(
        self, now_us: int, worker: str, *, lease_us: int, exclude: Collection[str] = ()
    ) -> Claim | None:
        """Lease the oldest row that is due; see the port."""
        with self._lock:
            due = (row for row in self._heads() if self._due(row, now_us, exclude))
            row = next(due, None)
            return None if row is None else self._leased(row, worker, now_us + lease_us)

    def finish(self, claim: Claim, result: Result) -> bool:
        """Record an outcome while the lease is held; see the port."""
        with self._lock:
            row = self.rows[claim.notification.id]
            if row.finished or (row.worker, row.lease_until_us) != (claim.worker, claim.lease_until_us):
                return False
            row.outcome, row.detail, row.worker, row.lease_until_us = result.outcome, result.detail, None, 0
            if result.next_at_us is not None:
                row.next_at_us = result.next_at_us
            row.attempt += result.outcome is Outcome.RETRY
            self._remember(row)
            return True

    def enable(self, receiver: str) -> None:
        """Let a disabled receiver be sent to again."""
        with self._lock:
            self.disabled.discard(receiver)

    def replay(self, notification_id: str, now_us: int) -> None:
        """Make a dead row due again, from its first attempt. `KeyError` for an unknown id."""
        with self._lock:
            row = self.rows[notification_id]
            row.outcome, row.attempt, row.next_at_us = None, 1, now_us

    def _heads(self) -> list[Row]:
        heads: dict[str, Row] = {}
        for row in self.rows.values():
            if not row.finished:
                heads.setdefault(row.notification.lane, row)
        return list(heads.values())

    def _enabled(self, row: Row) -> bool:
        return row.notification.receiver not in self.disabled

    def _due(self, row: Row, now_us: int, exclude: Collection[str]) -> bool:
        ready = row.next_at_us <= now_us and row.lease_until_us <= now_us
        return ready and self._enabled(row) and row.notification.receiver not in exclude

    def _leased(self, row: Row, worker: str, until_us: int) -> Claim:
        row.worker, row.lease_until_us = worker, until_us
        told = row.notification
        announced = frozenset(each for each in told.incidents if (told.receiver, each) in self._announced)
        return Claim(
            notification=told,
            worker=worker,
            lease_until_us=until_us,
            attempt=row.attempt,
            announced=announced,
        )

    def _remember(self, row: Row) -> None:
        told = row.notification
        if row.outcome is Outcome.DELIVERED:
            firing = (alert for alert in told.alerts if alert.ends_at_us is None)
            self._announced.update((told.receiver, alert.incident) for alert in firing)
        if row.outcome is Outcome.DISABLED:
            self.disabled.add(told.receiver)
