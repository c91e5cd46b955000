"""The cells of one objective in memory: good and total of every group in a ring of buckets.

2 counts of 2 bytes a bucket and group, widened when a count outgrows them: 174 kB a group for 30
days of minutes; rows that were never written cost nothing. Slices lie whole: a slice never spans
the end of the ring.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slo.corrections import NO_MASK
from slo.slices import Budgeting
from telemetry.frame import Ints

_WIDTHS: Final = (np.uint16, np.uint32, np.int64)
_FIRST_CAPACITY: Final = 16
_MOST_AT_ONCE: Final = 4_000_000
"""Most cells worked on at once: bounds the memory of a recount."""


class Grid:
    """Buckets times groups. Which buckets are in it is the caller's to know."""

    def __init__(self, *, slices: int, width: int, budgeting: Budgeting) -> None:
        """Make an empty grid of `slices` slices, each `width` buckets wide."""
        self.width = width
        self.mask = NO_MASK
        self._rows = slices * width
        self._budgeting = budgeting
        self._counts: NDArray[np.integer] = np.zeros((2, self._rows, _FIRST_CAPACITY), dtype=_WIDTHS[0])

    @property
    def groups(self) -> int:
        """How many groups there is room for."""
        return int(self._counts.shape[2])

    @property
    def plain(self) -> bool:
        """Whether a cell counts for what it holds: nothing is cut in slices, nothing is left out."""
        return self._budgeting.slice_us is None and self.mask is NO_MASK

    def grow(self, groups: int) -> None:
        """Make room for more groups; only rows that hold something are copied."""
        old = self._counts
        self._counts = np.zeros((2, self._rows, groups), dtype=old.dtype)
        written = np.flatnonzero(old[1].any(axis=1))
        self._counts[:, written, : old.shape[2]] = old[:, written]

    def put(self, bucket: Ints, column: Ints, counts: Ints) -> Ints:
        """Add (good, total) to cells that are all different; return them as they now stand."""
        stored = self.at(bucket, column) + counts
        self._widen(stored)
        self._counts[:, bucket % self._rows, column] = stored
        return stored

    def at(self, bucket: Ints, column: Ints) -> Ints:
        """Return (good, total) of single cells, as they were put."""
        cells: Ints = self._counts[:, bucket % self._rows, column].astype(np.int64)
        return cells

    def page(self, buckets: Ints) -> NDArray[np.integer]:
        """Return a copy of the cells of these buckets: good and total by bucket and group."""
        return self._counts[:, buckets % self._rows]

    def fill(self, buckets: Ints, page: NDArray[np.integer]) -> None:
        """Set the cells of these buckets to what `page` returned, of the groups there were then."""
        self._widen(page)
        self._counts[:, buckets % self._rows, : page.shape[2]] = page

    def busy(self) -> Ints:
        """Return the groups of which anything is held."""
        return np.flatnonzero(self._counts[1].any(axis=0))

    def keep(self, columns: Ints) -> None:
        """Forget every group but these, which come to stand beside each other."""
        self._counts[:, :, : len(columns)] = self._counts[:, :, columns]
        self._counts[:, :, len(columns) :] = 0

    def _widen(self, counts: NDArray[np.integer]) -> None:
        largest = int(counts.max(initial=0))
        if largest > np.iinfo(self._counts.dtype).max:
            width = next(width for width in _WIDTHS if largest <= np.iinfo(width).max)
            self._counts = self._counts.astype(width)

    def units(self, slices: Ints, column: Ints | int) -> Ints:
        """Return the units of single slices of a column each, corrected: an array (2, slices)."""
        buckets = slices[:, np.newaxis] * self.width + np.arange(self.width)
        columns = np.broadcast_to(column, slices.shape)[:, np.newaxis]
        cells = self.mask.applied(self._counts[:, buckets % self._rows, columns], buckets)
        return self._budgeting.units(cells.sum(axis=2, dtype=np.int64))

    def between(self, after: int, upto: int) -> Ints:
        """Return the units of every group over the slices in (after, upto], corrected: (2, groups)."""
        total = np.zeros((2, self.groups), dtype=np.int64)
        for first, last in self._runs(after, upto):
            rows = slice(first * self.width % self._rows, None)
            cells = self._counts[:, rows][:, : (last - first) * self.width]
            cells = self.mask.applied(cells, np.arange(first * self.width, last * self.width))
            if self._budgeting.slice_us is None:
                total += cells.sum(axis=1, dtype=np.int64)
            else:
                by_slice = cells.reshape(2, last - first, self.width, self.groups)
                total += self._budgeting.units(by_slice.sum(axis=2, dtype=np.int64)).sum(axis=1)
        return total

    def clear(self, after: int, upto: int) -> None:
        """Forget the slices in (after, upto]."""
        for first, last in self._runs(after, upto):
            row = first * self.width % self._rows
            self._counts[:, row : row + (last - first) * self.width] = 0

    def _runs(self, after: int, upto: int) -> Iterator[tuple[int, int]]:
        """Yield [first, last) of slices that lie in one piece, each bounded in cells."""
        most = max(_MOST_AT_ONCE // (self.width * self.groups), 1)
        slices, first = self._rows // self.width, after + 1
        while first <= upto:
            last = min(upto + 1, first + most, first - first % slices + slices)
            yield first, last
            first = last
