"""What the fold remembers of requests in flight, durable: who was counted early, how far agents were heard.

A sighting in a batch that was sealed before one already folded from the same agent (the backlog
of an outage comes newest first) is history: its request may have ended, and been counted, since.

Guarantee: after a crash at any instant a replay of the journal from the cursor decides as the
first time, because what was known at the cursor is kept until the cursor has moved.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, Protocol

NOTE: Final = "fold.sightings"


class Notes(Protocol):
    """What remembering needs of the state store; each call is one transaction."""

    def get(self, key: str) -> str | None:
        """Return a note; None = there is none."""
        ...

    def set(self, values: Mapping[str, str]) -> None:
        """Keep notes, all or none."""
        ...


class Sightings:
    """The fold's memory of requests in flight. Belongs to the fold's thread."""

    def __init__(self, notes: Notes, cursor: int) -> None:
        """Take up what was known when the journal had been folded up to `cursor`. One query."""
        self._notes, self.cursor = notes, cursor
        told = json.loads(notes.get(NOTE) or "{}")
        self.early: dict[str, dict[str, int]] = told.get("early", {})
        """Objective version -> request id -> the journal entry that told of it."""
        known = [(upto, heard) for upto, heard in told.get("heard", ()) if upto <= cursor]
        self._settled: tuple[int, dict[str, int]] = max(known, key=lambda each: each[0], default=(0, {}))
        self._next = self._settled
        self._heard = dict(self._settled[1])

    def is_history(self, agent: str, sealed_at_us: int) -> bool:
        """Tell whether a newer batch of the agent came before this one; ask once for each batch, in order."""
        newest = self._heard.get(agent, 0)
        self._heard[agent] = max(newest, sealed_at_us)
        return sealed_at_us < newest

    def keep(self, early: Mapping[str, Mapping[str, int]], upto: int) -> None:
        """Write what is known at entry `upto`, beside what was known at the cursor. One transaction."""
        self._next = (upto, dict(self._heard))
        text = json.dumps({"early": early, "heard": [self._settled, self._next]}, separators=(",", ":"))
        self._notes.set({NOTE: text})

    def settle(self) -> None:
        """Take what was kept last for what is known at the cursor, which has moved there."""
        self._settled = self._next
