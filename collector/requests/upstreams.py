"""Which upstream serves the next request: the one with the fewest in flight, in turn when equal.

One that could not be reached is left alone for `COOL_SECONDS`, unless none other is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

COOL_SECONDS: Final = 2.0


@dataclass(slots=True)
class Upstream:
    """One inference server."""

    url: str
    replica: str
    in_flight: int = 0
    turns: int = 0
    unreachable_until: float = 0.0
    """Monotonic seconds."""


class Upstreams:
    """Chooses; used from one thread."""

    def __init__(self, servers: Sequence[Upstream]) -> None:
        self._servers = tuple(servers)
        self._turn = 0

    def choose(self, now: float) -> Upstream:
        """Return the server for the next request; `now` is monotonic seconds."""
        chosen = min(self._servers, key=lambda one: (one.unreachable_until > now, one.in_flight, one.turns))
        self._turn += 1
        chosen.turns = self._turn
        return chosen

    def unreachable(self, server: Upstream, now: float) -> None:
        """Note that a server could not be reached at `now`."""
        server.unreachable_until = now + COOL_SECONDS
