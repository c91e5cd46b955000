"""How durations are written: `100ms`, `2s`, `5m`, `1h`, `30d`."""

from __future__ import annotations

from typing import Final

from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MILLI, MICROS_PER_MINUTE, MICROS_PER_SECOND

MICROS_PER_DAY: Final = 24 * MICROS_PER_HOUR

UNITS_US: Final[dict[str, int]] = {
    "d": MICROS_PER_DAY,
    "h": MICROS_PER_HOUR,
    "m": MICROS_PER_MINUTE,
    "s": MICROS_PER_SECOND,
    "ms": MICROS_PER_MILLI,
    "us": 1,
}
"""Every unit a duration may be written in, longest first, in microseconds."""


def written(duration_us: int) -> str:
    """Return a duration in the largest unit that holds it whole: 120,000,000 is `2m`."""
    unit = next(unit for unit, size in UNITS_US.items() if duration_us % size == 0)
    return f"{duration_us // UNITS_US[unit]}{unit}"
