"""The source of placements that processes prove: asks the driver seldom, for a list costs milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from collector.clock import elapsed_us
from collector.gpus.nvml import DriverBusy, DriverError, Session
from collector.gpus.processes import compute_processes
from collector.placement.placements import Placements, Serving, seen
from collector.placement.processes import Processes
from telemetry.source import Health, Reading

LOOK_SECONDS: Final = 30.0


class ProcessPlacements:
    """Joins the processes on the GPUs with the engines' ports, every half a minute."""

    name = "placements"

    def __init__(
        self,
        session: Session,
        placements: Placements,
        engines: Callable[[], Sequence[Serving]],
        *,
        processes: Processes | None = None,
        every_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._session = session
        self._placements = placements
        self._engines = engines
        self._processes = processes or Processes()
        self._every = every_seconds
        self._due = 0.0

    def read(self, now_us: int) -> Reading:
        """Return placements that began or ended since the last look; mostly nothing."""
        begun = time.monotonic()
        engines = self._engines()
        if begun < self._due or not engines or not self._session.generation:
            return self._reading(now_us, begun)
        self._due = begun + self._every
        try:
            running = compute_processes(self._session)
        except (DriverError, DriverBusy) as error:
            return self._reading(now_us, begun, error=f"list the processes on the GPUs: {error}")
        found = [*seen(running, engines, self._processes, now_us)]
        changed = tuple(self._placements.find(found, now_us))
        health = Health(source=self.name, at_us=now_us, took_us=elapsed_us(begun), ok=True)
        return Reading(records=changed, health=health)

    def _reading(self, now_us: int, begun: float, error: str | None = None) -> Reading:
        health = Health(
            source=self.name, at_us=now_us, took_us=elapsed_us(begun), ok=error is None, error=error
        )
        return Reading(records=(), health=health)

    def close(self) -> None:
        """Nothing is held."""
