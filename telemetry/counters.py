"""The one reset-aware difference of a counter.

The rule is Prometheus' own (`increase()`): a value below its predecessor means that the
counter began again at zero, so the whole new value is the increase. A gap in knowledge is
not an increase: None in gives None out.
"""

from __future__ import annotations


def increase(before: float | None, after: float | None) -> float | None:
    """Return how much a counter grew, in the counter's unit, never negative.

    None means that either end was not measured, so the growth is unknown (not zero).
    """
    if before is None or after is None:
        return None
    return after - before if after >= before else after
