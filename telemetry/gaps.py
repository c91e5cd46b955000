"""Token gaps of one request as 16 log-spaced buckets and a maximum.

Guarantee: merging is addition; a quantile read from the buckets is within a factor of 2 of
the truth (one bucket), the maximum is exact. Whole gaps are kept only for failed, slow or
sampled requests (`TokenGaps`), because every gap of every request would cost 370 bytes a
request at rest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

BUCKETS: Final = 16
BOUNDS_US: Final[tuple[int, ...]] = tuple(1_000 << power for power in range(BUCKETS - 1))
"""Inclusive upper edges of the first 15 buckets, 1 ms .. 16.4 s; the last has no edge."""


def bucket_of(gap_us: int) -> int:
    """Return the bucket index, 0..15, of a gap in microseconds (upper edges inclusive)."""
    return bisect_left(BOUNDS_US, gap_us)


def bucket_counts(gaps_us: Iterable[int]) -> tuple[int, ...]:
    """Return the 16 counts of an iterable of gaps in microseconds."""
    counts = [0] * BUCKETS
    for gap in gaps_us:
        counts[bucket_of(gap)] += 1
    return tuple(counts)
