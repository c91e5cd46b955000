"""Inserts kept to few partitions: an insert makes one part for each it touches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from telemetry.units import MICROS_PER_HOUR

MAX_PARTITIONS: Final = 50
_DAY_US: Final = 24 * MICROS_PER_HOUR


def by_partitions(rows: pa.Table, time: pa.ChunkedArray) -> Iterator[pa.Table]:
    """Yield the rows as they are when they fall on at most 50 days, else 50 days at a time.

    Every table is partitioned by day or by something coarser. No rows give nothing.
    """
    if not rows.num_rows:
        return
    days, place = np.unique(time.to_numpy() // _DAY_US, return_inverse=True)
    if len(days) <= MAX_PARTITIONS:
        yield rows
        return
    for first in range(0, len(days), MAX_PARTITIONS):
        chosen = (place >= first) & (place < first + MAX_PARTITIONS)
        yield rows.filter(pa.array(chosen))
