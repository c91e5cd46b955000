"""Access tokens: only their SHA-256 is kept; an agent's name comes from its token, never its body."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Row, and_, select, update

from service.store.database import Database
from service.store.schema import tokens

PREFIX: Final = "inf_"
_SECRET_BYTES: Final = 32


class Role(StrEnum):
    """What a token may do: everything, deliver batches under its name, or look."""

    ADMIN = "admin"
    AGENT = "agent"
    READ = "read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it is kept. `revoked_at_us` None = valid."""

    name: str
    role: Role
    created_at_us: int
    revoked_at_us: int | None


class Tokens:
    """The tokens of one state store. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, role: Role, *, now_us: int) -> str:
        """Make a token and return its text: the only time it is known. One transaction."""
        text = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        row = {"token_sha256": _digest(text), "name": name, "role": role.value, "created_at_us": now_us}
        with self._database.writing() as connection:
            connection.execute(tokens.insert(), row)
        return text

    def find(self, text: str) -> Token | None:
        """Return the valid token with this text; None = unknown or revoked. One indexed query."""
        chosen = and_(tokens.c.token_sha256 == _digest(text), tokens.c.revoked_at_us.is_(None))
        with self._database.reading() as connection:
            row = connection.execute(select(tokens).where(chosen)).one_or_none()
        return None if row is None else _token(row)

    def revoke(self, name: str, *, now_us: int) -> int:
        """Revoke every valid token of a name; returns how many there were."""
        chosen = and_(tokens.c.name == name, tokens.c.revoked_at_us.is_(None))
        with self._database.writing() as connection:
            return connection.execute(update(tokens).where(chosen).values(revoked_at_us=now_us)).rowcount

    def listed(self) -> list[Token]:
        """Return every token there ever was, revoked ones too, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tokens).order_by(tokens.c.created_at_us, tokens.c.name))
            return [_token(row) for row in rows]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _token(row: Row[Any]) -> Token:
    return Token(
        name=row.name,
        role=Role(row.role),
        created_at_us=row.created_at_us,
        revoked_at_us=row.revoked_at_us,
    )
