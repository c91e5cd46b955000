"""One thread for one source: read on a steady grid, give up a reading that hangs, never start two."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from collector.clock import HostClock, elapsed_us
from telemetry.source import Health, Reading, Source

log = logging.getLogger(__name__)


class Watcher:
    """Reads one source and delivers what came in time.

    The grid is of one monotonic clock and does not drift; ticks missed by a slow reading are
    left out. A reading past its deadline is abandoned: counted at once, its late result not
    delivered, and no second one begun while it hangs. The plain attributes are written by one
    thread each and may be read by any.
    """

    def __init__(
        self,
        source: Source,
        *,
        clock: HostClock,
        interval_seconds: float,
        deadline_seconds: float,
        deliver: Callable[[Reading], None],
    ) -> None:
        self.source = source
        self.latest: Reading | None = None
        self.latest_at = time.monotonic()
        """When the last reading ended in time (at first: when watching began), monotonic seconds."""
        self.reads = 0
        self.failures = 0
        self.abandoned = 0
        self._clock = clock
        self._interval = interval_seconds
        self._deadline = deadline_seconds
        self._deliver = deliver
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._begun: float | None = None
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name=source.name, daemon=True)

    @property
    def unresponsive(self) -> bool:
        """Tell whether a reading hangs past its deadline now."""
        return self._given_up

    @property
    def healthy(self) -> bool:
        """Tell whether the last reading went well and none hangs now."""
        return self.latest is not None and self.latest.health.ok and not self.unresponsive

    @property
    def age_seconds(self) -> float:
        """Return how long ago the last reading ended in time."""
        return time.monotonic() - self.latest_at

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def abandon_if_late(self) -> bool:
        """Give up the reading under way when it is past its deadline; true once for each."""
        with self._lock:
            late = self._begun is not None and time.monotonic() - self._begun > self._deadline
            if not late or self._given_up:
                return False
            self._given_up = True
            self.abandoned += 1
            return True

    def stop(self) -> None:
        """Ask the thread to end; it does after the reading under way."""
        self._stop.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread and release the source; false when it hangs: then nothing is released."""
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            return False
        self.source.close()
        return True

    def _run(self) -> None:
        origin, tick = time.monotonic(), 0
        while not self._stop.wait(origin + tick * self._interval - time.monotonic()):
            self._read_once()
            tick = int((time.monotonic() - origin) / self._interval) + 1

    def _read_once(self) -> None:
        with self._lock:
            self._begun = begun = time.monotonic()
        reading = self._attempt()
        with self._lock:
            late = self._given_up or time.monotonic() - begun > self._deadline
            self.abandoned += late and not self._given_up
            self._begun, self._given_up = None, False
        self.reads += 1
        self.failures += not reading.health.ok
        if late:
            return
        self.latest, self.latest_at = reading, time.monotonic()
        self._deliver(reading)

    def _attempt(self) -> Reading:
        now_us, begun = self._clock.now_us(), time.monotonic()
        try:
            return self.source.read(now_us)
        except Exception as error:
            # A source must not raise. One that does loses its tick, not its thread.
            log.exception("source %s broke", self.source.name)
            health = Health(
                source=self.source.name,
                at_us=now_us,
                took_us=elapsed_us(begun),
                ok=False,
                error=f"read {self.source.name}: {type(error).__name__}: {error}",
            )
            return Reading(records=(), health=health)
