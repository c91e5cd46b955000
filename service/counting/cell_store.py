"""Between the fold's cells and the facts store's: the same integers, other names for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from service.counting.counts import LoadedCells, key_of, key_text
from service.store.cells import CellRows as Rows
from service.store.cells import StoredCells
from slo.cells import Cells

FAR_US = 2**62
"""Later than any bucket."""


class CellStore:
    """Implements `service.counting.counts.CellRows` over a facts store, for one dataset."""

    def __init__(self, rows: Rows, *, clock: Callable[[], int], dataset: str = "") -> None:
        self._rows, self._clock, self._dataset = rows, clock, dataset

    def write(self, version: str, width_us: int, cells: Cells, upto: int, *, phase_us: int = 0) -> None:
        """Append cells of an objective version that include journal entries up to `upto`."""
        count = len(cells.bucket)
        stored = StoredCells(
            width_us=width_us,
            versions=(version,),
            group_keys=tuple(key_text(key) for key in cells.keys),
            version=np.zeros(count, dtype=np.int64),
            group=cells.group,
            bucket_us=cells.bucket * width_us + phase_us,
            good=cells.good,
            total=cells.total,
            upto=np.full(count, upto, dtype=np.int64),
        )
        self._rows.write(stored, written_at_us=self._clock(), dataset=self._dataset)

    def read(
        self,
        version: str,
        width_us: int,
        from_bucket: int,
        to_bucket: int | None = None,
        *,
        phase_us: int = 0,
        since: int = -1,
    ) -> LoadedCells:
        """Return the cells of a version from a bucket on, before another, in the order of `Cells`."""
        stored = self._rows.read(
            width_us=width_us,
            from_us=from_bucket * width_us + phase_us,
            to_us=FAR_US if to_bucket is None else to_bucket * width_us + phase_us,
            version=version,
            since=since,
            dataset=self._dataset,
        )
        keys = [key_of(text) for text in stored.group_keys]
        rows = np.flatnonzero((stored.bucket_us - phase_us) % width_us == 0)
        bucket, named = (stored.bucket_us[rows] - phase_us) // width_us, stored.group[rows]
        cells = Cells.of(keys, group=named, bucket=bucket, good=stored.good[rows], total=stored.total[rows])
        rank = {key: at for at, key in enumerate(sorted(keys))}
        group = np.array([rank[key] for key in keys], dtype=np.int64)[named]
        return LoadedCells(cells, stored.upto[rows][np.lexsort((bucket, group))])
