"""Corrections of objectives: added and ended, never changed nor deleted; each row is its own audit trail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from sqlalchemy import Update, select, update

from service.store.database import Database
from service.store.schema import corrections
from slo.corrections import Excluded


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCorrection:
    """What is left out of counting, who said so, when and why.

    It begins at `start` (ISO, on the clocks of `zone`) for `duration_us`, once or by an RRULE.
    No `objectives` = all of them. `until_us` is when it ceases: None = it has not been ended, 0 =
    it was withdrawn, and nothing is left out by it. `source` is the file that says so, if one does.
    """

    id: str
    objectives: tuple[str, ...]
    excluded: Excluded
    start: str
    zone: str
    duration_us: int
    rule: str
    why: str
    source: str = ""
    created_by: str
    created_at_us: int
    until_us: int | None = None
    ended_by: str | None = None
    ended_at_us: int | None = None
    ended_why: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Who ends a correction, when, why, and from when on it ceases: 0 withdraws it whole."""

    by: str
    at_us: int
    why: str
    until_us: int


class Corrections:
    """The corrections of one state store. Thread-safe; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, correction: StoredCorrection) -> None:
        """Keep a correction, durable when it returns."""
        self.replace((correction,), {})

    def end(self, correction_id: str, ending: Ending) -> bool:
        """End a correction; false = there is none of this id that could be.

        One that was ended before can still be withdrawn; who ended it, and why, stays in its record.
        """
        ended = select(corrections.c.until_us, corrections.c.ended_by, corrections.c.ended_why)
        with self._database.writing() as connection:
            before = connection.execute(ended.where(corrections.c.id == correction_id)).one_or_none()
            if before is None or before.until_us == 0 or (before.ended_by and ending.until_us):
                return False
            if before.ended_by:
                told = f"{ending.why}; before, ended by {before.ended_by}: {before.ended_why}"
                ending = replace(ending, why=told)
            connection.execute(_ended(correction_id, ending))
            return True

    def replace(self, added: Sequence[StoredCorrection], ended: Mapping[str, Ending]) -> None:
        """Keep some and end others, by id, in one transaction."""
        with self._database.writing() as connection:
            for correction_id, ending in ended.items():
                connection.execute(_ended(correction_id, ending))
            for each in added:
                values = {field.name: getattr(each, field.name) for field in fields(each)}
                told = {"objectives": json.dumps(each.objectives), "excluded": each.excluded.value}
                connection.execute(corrections.insert(), values | told)

    def listed(self) -> list[StoredCorrection]:
        """Return every correction there ever was, oldest first."""
        names = [field.name for field in fields(StoredCorrection)]
        with self._database.reading() as connection:
            rows = connection.execute(select(corrections).order_by(corrections.c.position)).mappings().all()
        return [
            StoredCorrection(
                **{name: row[name] for name in names if name not in {"objectives", "excluded"}},
                objectives=tuple(json.loads(row["objectives"])),
                excluded=Excluded(row["excluded"]),
            )
            for row in rows
        ]


def _ended(correction_id: str, ending: Ending) -> Update:
    return (
        update(corrections)
        .where(corrections.c.id == correction_id)
        .values(
            until_us=ending.until_us,
            ended_by=ending.by,
            ended_at_us=ending.at_us,
            ended_why=ending.why,
        )
    )
