"""Which agents were heard, kept in memory as batches come and written every few seconds."""

from __future__ import annotations

import threading

from service.store.fleet import AgentSeen, Fleet
from telemetry.identity import Origin
from telemetry.wire import BatchHeader


class Seen:
    """The newest word of each agent. Thread-safe."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._new: dict[str, AgentSeen] = {}
        self._lock = threading.Lock()
        self.simulated = False
        """Whether any batch since the start came from a simulated fleet."""

    def note(self, agent: str, header: BatchHeader, at_us: int) -> None:
        """Keep what a batch says of its agent; its clock's offset is sealing minus receipt."""
        seen = AgentSeen(
            name=agent,
            host=header.host,
            boot=header.boot,
            software=header.software,
            last_seen_us=at_us,
            clock_offset_us=header.sealed_at_us - at_us,
        )
        self.simulated = self.simulated or header.origin is Origin.SIMULATED
        with self._lock:
            self._new[agent] = seen

    def step(self) -> bool:
        """Write what is new; false, as there is never more to do at once. One transaction."""
        with self._lock:
            new, self._new = self._new, {}
        if new:
            self._fleet.heard(list(new.values()))
        return False
