"""What the GPUs drew, by their energy counters, and what that costs. Pure.

Guarantee: joules come from counters and never from power readings (the sensors of A100 and H100
see a quarter of the time), so how often a GPU is read changes nothing; the sum is an integer of
millijoules and the price is applied to it once, exactly.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

MILLIJOULES_PER_KWH: Final = 3_600_000_000


def kilowatt_hours(millijoules: int) -> float:
    """Return an energy in kWh, for people; money is computed from the integer."""
    return millijoules / MILLIJOULES_PER_KWH


def electricity(millijoules: int, nano_per_kwh: int) -> int:
    """Return what an energy costs in nano-currency, rounded half to even."""
    return round(Fraction(millijoules * nano_per_kwh, MILLIJOULES_PER_KWH))


def joules_per_token(millijoules: int | None, output_tokens: int | None) -> float | None:
    """Return joules for each output token, idle time included; None = one is not known, or no token came."""
    return millijoules / 1_000 / output_tokens if millijoules is not None and output_tokens else None
