"""The running sum of a calendar period, which may be longer than the ring of its buckets.

Guarantee: the sum equals a recount of the period from its first bucket to the newest, as long as
`rebase` is told what was before the ring; nothing is kept of that but one sum a group. When a
period ends the next begins at its own first bucket, whatever the time at which that is noticed.
"""

from __future__ import annotations

import numpy as np

from slo.calendars import Calendar, Period
from slo.grid import Grid
from telemetry.frame import Ints


class Running:
    """The units of each group since the running period began. Slices are numbered as in the grid."""

    def __init__(self, calendar: Calendar, grid: Grid, *, slice_us: int, now_us: int) -> None:
        """Begin with nothing counted."""
        self._calendar, self._grid, self._slice_us = calendar, grid, slice_us
        self.period: Period = calendar.period(now_us)
        self.sums = np.zeros((2, grid.groups), dtype=np.int64)

    @property
    def first(self) -> int:
        """The first slice of the period."""
        return self.period.from_us // self._slice_us

    def ahead(self, newest: int) -> int:
        """Return how many slices of the period are still to come after `newest`."""
        return self.period.to_us // self._slice_us - newest - 1

    def grow(self, groups: int) -> None:
        """Make room for more groups."""
        self.sums = np.pad(self.sums, ((0, 0), (0, groups - self.sums.shape[1])))

    def add(self, slices: Ints, columns: Ints, change: Ints, *, newest: int) -> None:
        """Take in what changed in single slices of single groups."""
        held = (slices >= self.first) & (slices <= newest)
        for of in (0, 1):
            np.add.at(self.sums[of], columns[held], change[of, held])

    def advance(self, now_us: int, *, then: int, now: int) -> None:
        """Move on from one newest slice to another; the grid still holds what is between them."""
        if now_us >= self.period.to_us:
            self.period = self._calendar.period(now_us)
            self.sums[:], then = 0, self.first - 1
        self.sums += self._grid.between(then, now)

    def rebase(self, older: Ints, *, upto: int, newest: int) -> None:
        """Set what the period held in the slices up to `upto`; the grid holds those after it."""
        self.sums = older + self._grid.between(max(upto, self.first - 1), newest)
