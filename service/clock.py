"""The service's one reading of the wall clock; everything below is handed the instant."""

from __future__ import annotations

import time

from telemetry.units import NANOS_PER_MICRO


def now_us() -> int:
    """Return the present instant, UTC, in microseconds since 1970."""
    return time.time_ns() // NANOS_PER_MICRO
