"""How a pool's router picks a replica: one function for each policy."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from simulator.arrivals import Arrival
from simulator.engine import Engine
from simulator.specs import Policy

Pick = Callable[[Arrival, Sequence[Engine], int], int]
"""Choose from (arrival, engines that are up, how many were routed before) the place of one."""


def _round_robin(arrival: Arrival, engines: Sequence[Engine], turn: int) -> int:
    del arrival
    return turn % len(engines)


def _least_loaded(arrival: Arrival, engines: Sequence[Engine], turn: int) -> int:
    """Ties go round, else the first replica of an idle pool gets everything."""
    del arrival
    count = len(engines)
    return min(
        range(count),
        key=lambda at: (len(engines[at].running) + len(engines[at].waiting), (at - turn) % count),
    )


def _sticky(arrival: Arrival, engines: Sequence[Engine], turn: int) -> int:
    del turn
    return _hashed(arrival.tenant, len(engines))


def _prefix_aware(arrival: Arrival, engines: Sequence[Engine], turn: int) -> int:
    if arrival.prefix is None:
        return _least_loaded(arrival, engines, turn)
    return _hashed(arrival.prefix, len(engines))


def _hashed(text: str, count: int) -> int:
    # Not hash(): that differs from process to process.
    return zlib.crc32(text.encode()) % count


POLICIES: Final[Mapping[Policy, Pick]] = {
    Policy.ROUND_ROBIN: _round_robin,
    Policy.LEAST_LOADED: _least_loaded,
    Policy.STICKY: _sticky,
    Policy.PREFIX_AWARE: _prefix_aware,
}


class Router:
    """One pool's router. It looks at liveness only, as real ones do: a wedged replica stays in."""

    def __init__(self, policy: Policy, engines: Sequence[Engine]) -> None:
        self._pick = POLICIES[policy]
        self._engines = tuple(engines)
        self._turn = 0
        self.stuck_on: Engine | None = None
        """Where everything goes while the router is at fault (class A9)."""

    def route(self, arrival: Arrival) -> Engine:
        """Return the engine for an arrival; one that is down only when all are."""
        if self.stuck_on is not None:
            return self.stuck_on
        up = [engine for engine in self._engines if engine.up] or self._engines
        chosen = up[self._pick(arrival, up, self._turn)]
        self._turn += 1
        return chosen
