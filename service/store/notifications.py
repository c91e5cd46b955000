"""Notifications as rows: claimed by one worker at a time, in order within a lane, finished once.

The rules are those of `alerts.ports.NotificationStore`. A claim is one UPDATE that asks for
the lease it saw, so of two workers that found the same row one changes nothing and looks again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, delete, exists, select, text, update

from alerts.notification import Notification, decode, encode
from alerts.ports import FINAL, Claim, Outcome, Result
from service.store.database import Database, insert_once
from service.store.errors import StoreRefused
from service.store.schema import announced, disabled_receivers, notifications

_RACES: Final = 20
"""How often a claim looks again after another worker was faster."""
_OPEN: Final = text("NOT notifications.finished")
"""In the words of the partial index, or SQLite does not see that it may use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRow:
    """A notification and how far it has come. `outcome` None = never tried."""

    notification: Notification
    attempt: int
    next_at_us: int
    finished: bool
    outcome: Outcome | None
    outcome_at_us: int | None
    detail: str
    status: int | None


class Notifications:
    """The notifications of one state store. Thread-safe, and safe between processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, given: Sequence[Notification]) -> int:
        """Keep notifications that are not there yet, in order; returns how many were new."""
        with self._database.writing() as connection:
            return sum(insert_once(connection, notifications, notification_row(each)) for each in given)

    def claim(
        self, now_us: int, worker: str, *, lease_us: int, exclude: Collection[str] = ()
    ) -> Claim | None:
        """Lease the oldest row that is due; None = nothing is due. One transaction."""
        until = now_us + lease_us
        with self._database.writing() as connection:
            for _ in range(_RACES):
                row = connection.execute(_due(now_us, exclude)).first()
                if row is None:
                    return None
                if _leased(connection, row, worker, until):
                    return _claim(connection, row, worker, until)
        return None

    def finish(self, claim: Claim, result: Result) -> bool:
        """Record how a claim ended and let it go; false = the lease was no longer held."""
        chosen = and_(
            notifications.c.id == claim.notification.id,
            notifications.c.worker == claim.worker,
            notifications.c.lease_until_us == claim.lease_until_us,
            _OPEN,
        )
        with self._database.writing() as connection:
            done = connection.execute(update(notifications).where(chosen).values(_ended(result))).rowcount
            if done:
                _remember(connection, claim.notification, result)
        return done == 1

    def release(self, place: str) -> int:
        """Let go of what workers of a place (the beginning of their names) hold; for when they are dead.

        Returns how many rows are due again at once, instead of when their leases run out.
        """
        held = and_(notifications.c.worker.startswith(place, autoescape=True), _OPEN)
        with self._database.writing() as connection:
            freed = connection.execute(
                update(notifications).where(held).values(worker=None, lease_until_us=0)
            )
            return freed.rowcount

    def enable(self, receiver: str) -> None:
        """Let a disabled receiver be sent to again."""
        with self._database.writing() as connection:
            connection.execute(delete(disabled_receivers).where(disabled_receivers.c.name == receiver))

    def disabled(self) -> frozenset[str]:
        """Return the receivers that said they are no more."""
        with self._database.reading() as connection:
            return frozenset(connection.execute(select(disabled_receivers.c.name)).scalars())

    def replay(self, notification_id: str, now_us: int) -> None:
        """Make a row due again, from its first attempt. `StoreRefused` for an unknown id."""
        again = {"finished": False, "outcome": None, "attempt": 1, "next_at_us": now_us, "lease_until_us": 0}
        chosen = notifications.c.id == notification_id
        with self._database.writing() as connection:
            if not connection.execute(update(notifications).where(chosen).values(again)).rowcount:
                raise StoreRefused(f"replay notification {notification_id}: there is none of this id")

    def listed(self, *, limit: int = 200) -> list[NotificationRow]:
        """Return the newest notifications, newest first, with what became of each."""
        newest = select(notifications).order_by(notifications.c.position.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_listed(row) for row in connection.execute(newest)]


def notification_row(notification: Notification) -> dict[str, Any]:
    """Return a new notification as columns, due at once."""
    return {
        "id": notification.id,
        "lane": notification.lane,
        "receiver": notification.receiver,
        "body": encode(notification),
        "created_at_us": notification.created_at_us,
        "next_at_us": notification.created_at_us,
        "attempt": 1,
        "finished": False,
        "detail": "",
        "lease_until_us": 0,
    }


def _due(now_us: int, exclude: Collection[str]) -> Select[Any]:
    """Select the oldest row that may be sent now and has no open one before it in its lane."""
    earlier = notifications.alias("earlier")
    waits_behind = exists().where(
        earlier.c.lane == notifications.c.lane,
        earlier.c.position < notifications.c.position,
        text("NOT earlier.finished"),
    )
    off = select(disabled_receivers.c.name)
    return (
        select(notifications)
        .where(
            _OPEN,
            ~waits_behind,
            notifications.c.next_at_us <= now_us,
            notifications.c.lease_until_us <= now_us,
            notifications.c.receiver.not_in(off),
            notifications.c.receiver.not_in(list(exclude)),
        )
        .order_by(notifications.c.position)
        .limit(1)
    )


def _leased(connection: Connection, row: Row[Any], worker: str, until_us: int) -> bool:
    seen = and_(
        notifications.c.position == row.position, notifications.c.lease_until_us == row.lease_until_us, _OPEN
    )
    lease = {"worker": worker, "lease_until_us": until_us}
    return connection.execute(update(notifications).where(seen).values(lease)).rowcount == 1


def _claim(connection: Connection, row: Row[Any], worker: str, until_us: int) -> Claim:
    told = decode(row.body)
    spoken = select(announced.c.incident).where(
        announced.c.receiver == told.receiver, announced.c.incident.in_(told.incidents)
    )
    return Claim(
        notification=told,
        worker=worker,
        lease_until_us=until_us,
        attempt=row.attempt,
        announced=frozenset(connection.execute(spoken).scalars()),
    )


def _ended(result: Result) -> dict[str, Any]:
    ended: dict[str, Any] = {
        "outcome": result.outcome.value,
        "outcome_at_us": result.at_us,
        "detail": result.detail,
        "status": result.status,
        "finished": result.outcome in FINAL,
        "attempt": notifications.c.attempt + int(result.outcome is Outcome.RETRY),
        "worker": None,
        "lease_until_us": 0,
    }
    return ended if result.next_at_us is None else {**ended, "next_at_us": result.next_at_us}


def _remember(connection: Connection, told: Notification, result: Result) -> None:
    if result.outcome is Outcome.DELIVERED:
        for alert in told.alerts:
            if alert.ends_at_us is None:
                insert_once(connection, announced, {"receiver": told.receiver, "incident": alert.incident})
    if result.outcome is Outcome.DISABLED:
        row = {"name": told.receiver, "disabled_at_us": result.at_us}
        insert_once(connection, disabled_receivers, row)


def _listed(row: Row[Any]) -> NotificationRow:
    return NotificationRow(
        notification=decode(row.body),
        attempt=row.attempt,
        next_at_us=row.next_at_us,
        finished=row.finished,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        outcome_at_us=row.outcome_at_us,
        detail=row.detail,
        status=row.status,
    )
