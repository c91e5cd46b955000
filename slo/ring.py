"""The counts that windows are made of, and the running sums of every window.

Guarantee: `Ring.counts` equals a recount of every accepted fact in each window, as integers,
for any order of `add` and `advance` (tested by property). A window of n buckets ends with the
bucket that holds now, the current one included, and its edge is exact to the bucket. Reading
a window costs O(1) a group; closing a bucket costs O(windows) a group.

Memory: 2 counts of 2 bytes a bucket and group, widened when a count outgrows them: 174 kB a
group for 30 days of minutes, whole rows that were never written cost nothing. At most
`group_cap` groups are told apart; later ones are counted together as `__other__`.

Not thread-safe: one thread owns a ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slo.cells import Cells, Key
from telemetry.frame import Ints
from telemetry.identity import OTHER_TENANT
from telemetry.units import MICROS_PER_MINUTE

GROUP_CAP: Final = 1_000
AHEAD_US: Final = 10 * MICROS_PER_MINUTE
"""How far a sender's clock may run ahead: kept, but in no window until its time has come."""

_WIDTHS: Final = (np.uint16, np.uint32, np.int64)
_FIRST_CAPACITY: Final = 16


@dataclass(frozen=True, slots=True)
class Counts:
    """The windows of every group at one instant.

    `good[w, g]` of `total[w, g]` requests of group `keys[g]` were good in the window of
    `windows_us[w]` that ends with `at_us`. `folded` = requests counted under `__other__`
    because the cap on groups was reached, since the ring was made.
    """

    at_us: int
    windows_us: tuple[int, ...]
    keys: tuple[Key, ...]
    good: Ints
    total: Ints
    folded: int = 0

    def window(self, window_us: int) -> tuple[Ints, Ints]:
        """Return (bad, total) of one window for every group; `ValueError` for one not kept."""
        at = self.windows_us.index(window_us)
        return self.total[at] - self.good[at], self.total[at]


@dataclass(frozen=True, slots=True)
class Added:
    """What became of counts: `stored` = the touched cells as they now stand, absolute.

    `outside` = requests too old or too far ahead for any window; they are in no cell.
    """

    stored: Cells
    outside: int


class Ring:
    """Good and total of every group in buckets, with a running sum for each window."""

    def __init__(
        self,
        *,
        windows_us: Sequence[int],
        now_us: int,
        width_us: int = MICROS_PER_MINUTE,
        group_cap: int = GROUP_CAP,
    ) -> None:
        """Make an empty ring; `ValueError` for a window that is not a multiple of the width."""
        if not windows_us or any(window <= 0 or window % width_us for window in windows_us):
            raise ValueError(f"windows {tuple(windows_us)} are not multiples of the bucket of {width_us} us")
        self.width_us = width_us
        self.group_cap = group_cap
        self._windows_us = tuple(windows_us)
        self._spans = [window // width_us for window in windows_us]
        self._longest = max(self._spans)
        self._ahead = -(-AHEAD_US // width_us)
        self._now = now_us // width_us
        self._now_us = now_us
        self._keys: list[Key] = []
        self._columns: dict[Key, int] = {}
        self._folded = 0
        rows = self._longest + self._ahead
        self._counts: NDArray[np.integer] = np.zeros((2, rows, _FIRST_CAPACITY), dtype=_WIDTHS[0])
        self._sums = np.zeros((2, len(self._spans), _FIRST_CAPACITY), dtype=np.int64)

    def add(self, cells: Cells) -> Added:
        """Add counts, each to its own bucket and to every window that still holds it.

        Order and lateness do not matter. A ring is restored by adding its stored cells.
        """
        inside = (cells.bucket > self._now - self._longest) & (cells.bucket <= self._now + self._ahead)
        outside = int(cells.total[~inside].sum())
        kept = self.named(cells.take(inside))
        columns = self._columns_of(kept.keys)[kept.group]
        counts = np.stack((kept.good, kept.total))
        stored = self._put(kept.bucket % len(self._counts[0]), columns, counts)
        for at, span in enumerate(self._spans):
            held = (kept.bucket > self._now - span) & (kept.bucket <= self._now)
            for of in (0, 1):
                np.add.at(self._sums[of, at], columns[held], counts[of, held])
        return Added(Cells(kept.keys, kept.group, kept.bucket, stored[0], stored[1]), outside)

    def advance(self, now_us: int) -> None:
        """Move every window on to `now_us`; an earlier instant than the last changes nothing."""
        self._now_us = max(self._now_us, now_us)
        then, now = self._now, max(self._now, now_us // self.width_us)
        known = then + self._ahead
        for at, span in enumerate(self._spans):
            self._sums[:, at] += self._between(max(then, now - span), min(now, known))
            self._sums[:, at] -= self._between(then - span, min(then, now - span))
        for rows in self._slices(then - self._longest, min(now - self._longest, known)):
            self._counts[:, rows] = 0
        self._now = now

    def counts(self) -> Counts:
        """Return a snapshot of every window of every group."""
        used = len(self._keys)
        good, total = self._sums[:, :, :used].copy()
        return Counts(self._now_us, self._windows_us, tuple(self._keys), good, total, self._folded)

    def first_bad_us(self, key: Key, window_us: int) -> int | None:
        """Return the start of the first bucket of a window that holds a bad request; None if none."""
        span, column = window_us // self.width_us, self._columns[key]
        buckets = np.arange(self._now - span + 1, self._now + 1)
        good, total = self._counts[:, buckets % len(self._counts[0]), column]
        bad = np.flatnonzero(good != total)
        return int(buckets[bad[0]]) * self.width_us if len(bad) else None

    def named(self, cells: Cells) -> Cells:
        """Return cells under the groups that are told apart here; those past the cap are one."""
        room = self.group_cap - sum(1 for key in self._keys if key != _other(key))
        new = [key for key in cells.keys if key not in self._columns and key != _other(key)]
        if len(new) <= room:
            return cells
        late = frozenset(new[room:])
        folded = np.array([key in late for key in cells.keys], dtype=np.bool_)
        self._folded += int(cells.total[folded[cells.group]].sum())
        return cells.renamed([_other(key) if key in late else key for key in cells.keys])

    def _columns_of(self, keys: Sequence[Key]) -> Ints:
        for key in keys:
            if key not in self._columns:
                self._columns[key] = len(self._keys)
                self._keys.append(key)
        if len(self._keys) > self._sums.shape[-1]:
            self._grow(len(self._keys))
        return np.array([self._columns[key] for key in keys], dtype=np.int64)

    def _grow(self, groups: int) -> None:
        """Make room for more groups; only rows that hold something are copied."""
        capacity = min(1 << (groups - 1).bit_length(), self.group_cap + 1)
        old_counts, old_sums = self._counts, self._sums
        self._counts = np.zeros((*old_counts.shape[:2], capacity), dtype=old_counts.dtype)
        self._sums = np.zeros((*old_sums.shape[:2], capacity), dtype=np.int64)
        written = np.flatnonzero(old_counts[1].any(axis=1))
        self._counts[:, written, : old_counts.shape[2]] = old_counts[:, written]
        self._sums[:, :, : old_sums.shape[2]] = old_sums

    def _put(self, rows: Ints, columns: Ints, counts: Ints) -> Ints:
        """Add to cells that are all different, widening the store if one outgrows it."""
        stored: Ints = self._counts[:, rows, columns].astype(np.int64) + counts
        largest = int(stored.max(initial=0))
        if largest > np.iinfo(self._counts.dtype).max:
            width = next(width for width in _WIDTHS if largest <= np.iinfo(width).max)
            self._counts = self._counts.astype(width)
        self._counts[:, rows, columns] = stored
        return stored

    def _between(self, after: int, upto: int) -> Ints:
        """Return good and total of the buckets in (after, upto], by group."""
        parts = [self._counts[:, rows].sum(axis=1, dtype=np.int64) for rows in self._slices(after, upto)]
        return sum(parts, np.zeros_like(self._sums[:, 0]))

    def _slices(self, after: int, upto: int) -> list[slice]:
        """Return where the buckets in (after, upto] lie: at most two runs of rows."""
        count, rows = max(upto - after, 0), len(self._counts[0])
        first = (after + 1) % rows
        runs = (slice(first, min(first + count, rows)), slice(0, max(first + count - rows, 0)))
        return [run for run in runs if run.start < run.stop]


def _other(key: Key) -> Key:
    return (OTHER_TENANT,) * len(key)
