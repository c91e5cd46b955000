"""Objectives and their versions: nothing is deleted, a version ends when the next one begins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Select, delete, select, update

from service.store.database import Database, upsert
from service.store.schema import objective_documents, objectives


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObjective:
    """One version of an objective, valid in [valid_from_us, valid_to_us); None = still valid.

    `spec` is the objective as JSON text, `source` the file that said so.
    """

    name: str
    version: str
    spec: str
    source: str
    valid_from_us: int
    valid_to_us: int | None = None

    @property
    def sentence(self) -> str:
        """What it promises, in words."""
        return str(json.loads(self.spec).get("sentence", ""))


class Objectives:
    """The objectives of one state store. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(self, current: Sequence[StoredObjective], *, now_us: int) -> None:
        """Make `current` what holds from `now_us` on, in one transaction.

        A version that holds already goes on as it is; one that is not in `current` ends now.
        """
        wanted = {(each.name, each.version): each for each in current}
        with self._database.writing() as connection:
            held = connection.execute(
                select(objectives.c.position, objectives.c.name, objectives.c.version).where(
                    objectives.c.valid_to_us.is_(None)
                )
            ).all()
            ended = [row.position for row in held if (row.name, row.version) not in wanted]
            for row in held:
                wanted.pop((row.name, row.version), None)
            connection.execute(
                update(objectives).where(objectives.c.position.in_(ended)).values(valid_to_us=now_us)
            )
            for each in wanted.values():
                fresh = {**asdict(each), "valid_from_us": now_us, "valid_to_us": None}
                connection.execute(objectives.insert(), fresh)

    def current(self) -> list[StoredObjective]:
        """Return the versions that hold now, by name."""
        return self._listed(select(objectives).where(objectives.c.valid_to_us.is_(None)))

    def history(self, name: str | None = None) -> list[StoredObjective]:
        """Return every version there ever was, of one objective or by name, oldest first."""
        chosen = select(objectives)
        return self._listed(chosen if name is None else chosen.where(objectives.c.name == name))

    def _listed(self, statement: Select[Any]) -> list[StoredObjective]:
        ordered = statement.order_by(objectives.c.name, objectives.c.position)
        with self._database.reading() as connection:
            rows = connection.execute(ordered).mappings().all()
        fields = StoredObjective.__dataclass_fields__
        return [StoredObjective(**{name: row[name] for name in fields}) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveDocument:
    """An objective as somebody gave it to the API: its document, by whom and when."""

    name: str
    document: str
    given_by: str
    given_at_us: int


class ObjectiveDocuments:
    """The objectives that the API was given. Thread-safe; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, given: ObjectiveDocument) -> None:
        """Keep a document, in place of an earlier one of its name."""
        with self._database.writing() as connection:
            upsert(connection, objective_documents, asdict(given))

    def remove(self, name: str) -> bool:
        """Forget a document; false = there is none of this name. Versions of the objective stay."""
        with self._database.writing() as connection:
            gone = connection.execute(delete(objective_documents).where(objective_documents.c.name == name))
            return bool(gone.rowcount)

    def listed(self) -> list[ObjectiveDocument]:
        """Return every document, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(objective_documents).order_by(objective_documents.c.name))
            return [ObjectiveDocument(**row) for row in rows.mappings()]
