"""The host's time: UTC that moves with a monotonic clock, and says so when the wall clock jumps."""

from __future__ import annotations

import threading
import time
from typing import Final

STEP_US: Final = 500_000
"""A wall clock further off than this was set, not slewed."""


def elapsed_us(since: float) -> int:
    """Return the microseconds since an instant of `time.monotonic`."""
    return round((time.monotonic() - since) * 1e6)


class HostClock:
    """UTC in integer microseconds that never jumps between two calls of `settle`. Thread-safe."""

    def __init__(self) -> None:
        self.steps = 0
        """How often the wall clock was found set."""
        self._lock = threading.Lock()
        self._offset_us = self._measured()

    @staticmethod
    def _measured() -> int:
        return (time.time_ns() - time.monotonic_ns()) // 1_000

    def now_us(self) -> int:
        """Return the current UTC instant, in microseconds."""
        with self._lock:
            return time.monotonic_ns() // 1_000 + self._offset_us

    def settle(self) -> int:
        """Follow the wall clock; returns the microseconds it was set by, 0 when it only drifted."""
        with self._lock:
            moved, self._offset_us = self._measured() - self._offset_us, self._measured()
            stepped = abs(moved) > STEP_US
            self.steps += stepped
        return moved if stepped else 0
