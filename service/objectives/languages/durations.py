"""How Prometheus writes durations: `5m`, `1d12h`, `4w`."""

from __future__ import annotations

import re
from typing import Final

from service.objectives.section import NotThatError
from slo.durations import MICROS_PER_DAY, UNITS_US

_WHOLE_ONLY: Final = {"y": 365 * MICROS_PER_DAY, "w": 7 * MICROS_PER_DAY}
"""Units of which a duration is a whole number or has none: 30 days are `30d`, not `4w2d`."""
_UNITS: Final = {**_WHOLE_ONLY, **UNITS_US}
_PART: Final = re.compile(r"(\d{1,6})(ms|[ywdhms])")


def prometheus_us(text: str) -> int:
    """Return `5m`, `36h` or `1d12h` in microseconds; raises `NotThatError`."""
    parts = _PART.findall(text)
    length = sum(int(count) * _UNITS[unit] for count, unit in parts)
    if not length or "".join(count + unit for count, unit in parts) != text:
        raise NotThatError(f"{text!r} is not a duration", "write one such as 5m, 36h or 30d")
    return length


def prometheus_duration(length_us: int) -> str:
    """Return a length as Prometheus writes it: 36 h is `1d12h`, 28 days are `4w`."""
    for unit, size in _WHOLE_ONLY.items():
        if length_us % size == 0:
            return f"{length_us // size}{unit}"
    parts = []
    for unit, size in UNITS_US.items():
        count, length_us = divmod(length_us, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts)
