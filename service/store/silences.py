"""Silences and receivers: whom to tell, and what not to tell until when."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from sqlalchemy import delete, select, update

from alerts.matchers import Matcher
from alerts.silences import Silence
from service.store.database import Database, upsert
from service.store.schema import receivers, silences


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReceiver:
    """Somewhere to send notifications. `secret` signs them and is in no `repr`."""

    name: str
    kind: str
    url: str
    secret: str = field(repr=False)
    allow_private: bool = False


class Silences:
    """The silences of one state store. Thread-safe; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, silence: Silence, *, now_us: int) -> None:
        """Keep a silence, or replace the one with its id."""
        matchers = json.dumps([[each.label, each.operator, each.value] for each in silence.matchers])
        row = {
            "id": silence.id,
            "matchers": matchers,
            "starts_at_us": silence.starts_at_us,
            "ends_at_us": silence.ends_at_us,
            "created_by": silence.created_by,
            "comment": silence.comment,
            "created_at_us": now_us,
        }
        with self._database.writing() as connection:
            upsert(connection, silences, row, keep=("created_at_us",))

    def expire(self, silence_id: str, *, now_us: int) -> bool:
        """End a silence now; false = there is none that would still end later."""
        chosen = (silences.c.id == silence_id) & (silences.c.ends_at_us > now_us)
        with self._database.writing() as connection:
            later = connection.execute(delete(silences).where(chosen & (silences.c.starts_at_us >= now_us)))
            ended = connection.execute(update(silences).where(chosen).values(ends_at_us=now_us))
            return later.rowcount + ended.rowcount == 1

    def standing(self, now_us: int) -> list[Silence]:
        """Return the silences that mute now or will, the first to begin first."""
        chosen = select(silences).where(silences.c.ends_at_us > now_us)
        with self._database.reading() as connection:
            rows = connection.execute(chosen.order_by(silences.c.starts_at_us, silences.c.id)).all()
        return [
            Silence(
                id=row.id,
                matchers=tuple(Matcher(*parts) for parts in json.loads(row.matchers)),
                starts_at_us=row.starts_at_us,
                ends_at_us=row.ends_at_us,
                created_by=row.created_by,
                comment=row.comment,
            )
            for row in rows
        ]


class Receivers:
    """The receivers of one state store. Thread-safe; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, receiver: StoredReceiver, *, now_us: int) -> None:
        """Keep a receiver, or replace the one with its name."""
        with self._database.writing() as connection:
            row = {**asdict(receiver), "created_at_us": now_us}
            upsert(connection, receivers, row, keep=("created_at_us",))

    def listed(self) -> list[StoredReceiver]:
        """Return every receiver, by name."""
        wanted = [receivers.c[name] for name in StoredReceiver.__dataclass_fields__]
        with self._database.reading() as connection:
            rows = connection.execute(select(*wanted).order_by(receivers.c.name)).mappings()
            return [StoredReceiver(**row) for row in rows]
