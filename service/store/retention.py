"""How long the state store keeps what has ended; what is open or in force has no age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Column, ColumnElement, Table, delete, select, true

from service.store.database import Database
from service.store.schema import findings, notifications, silences, transitions
from telemetry.units import MICROS_PER_HOUR

_DAY_US: Final = 24 * MICROS_PER_HOUR
_MOST_AT_ONCE: Final = 5_000
"""Rows deleted in one transaction: writers wait no longer than that takes."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Rows of `table` that have `ended` go when `at` (null: never) is so many days past."""

    table: Table
    at: Column[int]
    days: int
    ended: ColumnElement[bool]


RETENTION: Final = (
    Retention(notifications, notifications.c.created_at_us, 62, notifications.c.finished.is_(True)),
    Retention(silences, silences.c.ends_at_us, 62, true()),
    Retention(transitions, transitions.c.at_us, 400, true()),
    Retention(findings, findings.c.ended_at_us, 400, findings.c.dataset == ""),
)


def trim(database: Database, now_us: int) -> int:
    """Delete what `RETENTION` no longer keeps; return how many rows that was."""
    return sum(_trim_one(database, each, now_us - each.days * _DAY_US) for each in RETENTION)


def _trim_one(database: Database, kept: Retention, before_us: int) -> int:
    key = next(iter(kept.table.primary_key.columns))
    old = select(key).where(kept.at < before_us, kept.ended).limit(_MOST_AT_ONCE)
    deleted = 0
    while True:
        with database.writing() as connection:
            gone = connection.execute(delete(kept.table).where(key.in_(old))).rowcount
        deleted += gone
        if gone < _MOST_AT_ONCE:
            return deleted
