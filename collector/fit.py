"""What a column can hold: a value that no reading can be is left out, so that it spoils no batch.

Drivers answer all ones for "not available" and engines -1 for "off"; the service refuses a whole
batch for one such value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from telemetry.identity import MAX_NAME_LENGTH

_INT64: Final = 2**63


def fitting(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns whose value can be.

    Those are None, flags, whole numbers of 0 .. 2^63-1, finite numbers (0..1 for a ratio) and
    printable texts of at most 200 characters.
    """
    return {name: value for name, value in columns.items() if _fits(name, value)}


def _fits(name: str, value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_NAME_LENGTH and value.isprintable()
    if isinstance(value, float):
        return 0 <= value <= 1 if name.endswith("_ratio") else math.isfinite(value)
    return not isinstance(value, int) or 0 <= value < _INT64
