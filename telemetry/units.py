"""The only conversions between units.

Inside the program a duration that is compared with a limit is an integer number of
microseconds, money is an integer number of nano-currency units, and a ratio is 0..1.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

MICROS_PER_SECOND: Final = 1_000_000
MICROS_PER_MILLI: Final = 1_000
MICROS_PER_MINUTE: Final = 60 * MICROS_PER_SECOND
MICROS_PER_HOUR: Final = 3_600 * MICROS_PER_SECOND
NANOS_PER_MICRO: Final = 1_000
NANO: Final = 1_000_000_000
BYTES_PER_MIB: Final = 1_048_576


def micros(seconds: float | Decimal | str) -> int:
    """Return `seconds` as whole microseconds, rounded half to even.

    Goes through the shortest decimal text of the number, so that 0.1 is 100,000 and the
    same recorded text always gives the same integer. Raises `ValueError` for NaN and
    infinity.
    """
    exact = Decimal(str(seconds))
    if not exact.is_finite():
        raise ValueError(f"{seconds!r} is not a finite number of seconds")
    return int((exact * MICROS_PER_SECOND).quantize(Decimal(1), ROUND_HALF_EVEN))


def seconds(duration_us: int | None) -> float | None:
    """Return microseconds as seconds; None (not measured) stays None."""
    return None if duration_us is None else duration_us / MICROS_PER_SECOND


def nano(amount: Decimal | str) -> int:
    """Return a money amount as integer nano-currency (1e-9), rounded half to even."""
    exact = Decimal(amount)
    if not exact.is_finite():
        raise ValueError(f"{amount!r} is not a finite amount of money")
    return int((exact * NANO).quantize(Decimal(1), ROUND_HALF_EVEN))
