"""Who is calling: a token's name and what it may do."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from service.store.tokens import Role, Tokens


@dataclass(frozen=True, slots=True)
class Caller:
    """A known caller. An admin may do everything; an agent may only deliver its own facts."""

    name: str
    role: Role


REMEMBERED_SECONDS: Final = 1.0
MOST_REMEMBERED: Final = 10_000

ANYONE: Final = Caller("anyone", Role.READ)
"""Who reads pages of a service that is open to readers."""


def may(caller: Caller, role: Role) -> bool:
    """Tell whether a caller may do what is kept for a role."""
    return caller.role is Role.ADMIN or caller.role is role


class KnownCallers:
    """Tokens looked up in the last second, so that a busy agent costs no query a batch. Thread-safe."""

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens, self._clock = tokens, clock
        self._known: dict[str, tuple[float, Caller]] = {}
        self._lock = threading.Lock()

    def remembered(self, secret: str) -> Caller | None:
        """Return who a token belongs to, if it was looked up within the last second. No query."""
        with self._lock:
            found = self._known.get(_digest(secret))
        return found[1] if found is not None and self._clock() - found[0] < REMEMBERED_SECONDS else None

    def find(self, secret: str) -> Caller | None:
        """Return who a token belongs to; None for one that is unknown or revoked."""
        now = self._clock()
        if (known := self.remembered(secret)) is not None:
            return known
        token = self._tokens.find(secret)
        if token is None:
            return None
        caller = Caller(token.name, token.role)
        with self._lock:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[_digest(secret)] = (now, caller)
        return caller


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
