"""What a GPU costs over any span, exactly (WCS-1 step 1).

Guarantee: C(t) = floor(sum over segments of rate x overlap / 3.6e9), and a span costs
C(to) - C(from): any way of slicing a span sums to the same integer, with no float between.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cost.prices import Segment
from telemetry.frame import Ints
from telemetry.units import MICROS_PER_HOUR


def cumulative(segments: Sequence[Segment], at_us: Ints) -> NDArray[Any]:
    """Return C(t) in nano-currency at each instant, as Python integers (it may pass 2**63).

    Counted from the first segment's start; 0 before it and for no segments.
    """
    total = np.zeros(at_us.shape, dtype=object)
    end = Segment(np.iinfo(np.int64).max, 0)
    for segment, following in pairwise([*segments, end]):
        inside = np.clip(at_us, segment.from_us, following.from_us) - segment.from_us
        total += inside.astype(object) * segment.nano_per_hour
    return total // MICROS_PER_HOUR


def charges(segments: Sequence[Segment], edges_us: Ints) -> Ints:
    """Return what each piece between consecutive edges costs, in nano-currency.

    Raises `OverflowError` past 9.2e9 currency units for one piece.
    """
    return np.diff(cumulative(segments, edges_us)).astype(np.int64)


def charge(segments: Sequence[Segment], from_us: int, to_us: int) -> int:
    """Return what [from_us, to_us) costs in nano-currency."""
    return int(charges(segments, np.array([from_us, to_us], dtype=np.int64))[0])
