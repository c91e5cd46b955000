"""The running sums of every window, over counts kept by bucket.

Guarantee: `Ring.counts` equals a recount of every accepted fact in each window, as integers, for
any order of `add`, `advance` and `correct` (tested by property). A window of n buckets ends with
the bucket that holds now, the current one included, and its edge is exact to the bucket. Where a
budget counts slices, a window holds the last whole slices that have ended. The window of a
calendar period begins with it. Reading a window costs O(1) a group, closing a bucket O(windows) a
group, a new set of corrections one pass over the ring.

Memory: see `slo.grid`. A calendar period may be longer than the ring: of what is older than the
ring only its sum is kept. At most `group_cap` groups are told apart; later ones are counted
together as `__other__`.

Not thread-safe: one thread owns a ring.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from slo.calendars import Calendar, Period
from slo.cells import Cells, Key
from slo.corrections import NO_MASK, Correction, Mask
from slo.durations import MICROS_PER_DAY
from slo.grid import Grid
from slo.objective import Objective
from slo.running import Running
from slo.slices import OCCURRENCES, Budgeting
from telemetry.frame import Ints
from telemetry.identity import OTHER_TENANT
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE

GROUP_CAP: Final = 1_000
AHEAD_US: Final = 10 * MICROS_PER_MINUTE
"""How far a sender's clock may run ahead: kept, but in no window until its time has come."""

HELD_US: Final = 8 * MICROS_PER_DAY
"""A ring of an objective holds at least this: a fact a day late finds its bucket after a week's outage."""

LAG_US: Final = 2 * MICROS_PER_HOUR
"""How much deeper than its windows the ring of a calendar is: `rebase` may lag behind by this much."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The windows of every group at one instant.

    `good[w, g]` of `total[w, g]` units of group `keys[g]` were good in the window of
    `windows_us[w]` that ends with `at_us`; units are what the budget counts, requests unless it
    counts slices. `folded` = requests counted under `__other__` because the cap on groups was
    reached, since the ring was made. `ahead` = units that the period is still to bring, 0 unless
    it is a calendar period of slices.
    """

    at_us: int
    windows_us: tuple[int, ...]
    keys: tuple[Key, ...]
    good: Ints
    total: Ints
    folded: int = 0
    ahead: int = 0

    def window(self, window_us: int) -> tuple[Ints, Ints]:
        """Return (bad, total) of one window for every group; `ValueError` for one not kept."""
        at = self.windows_us.index(window_us)
        return self.total[at] - self.good[at], self.total[at]


@dataclass(frozen=True, slots=True)
class Page:
    """The cells of the buckets from `first` on: `counts` is (good, total) by bucket and by group.

    Groups are those of `Ring.keys` when it was made, in that order.
    """

    first: int
    counts: NDArray[np.integer]


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
        budgeting: Budgeting = OCCURRENCES,
        calendar: Calendar | None = None,
        depth_us: int = 0,
    ) -> None:
        """Make an empty ring that holds its windows, and at least `depth_us`.

        With a calendar the last window is its running period, whatever its length. `ValueError`
        for a window that is not a multiple of the slice or bucket.
        """
        slice_us = budgeting.slice_us or width_us
        if not windows_us or any(window <= 0 or window % slice_us for window in windows_us):
            raise ValueError(f"windows {tuple(windows_us)} are not multiples of the bucket of {slice_us} us")
        self.width_us, self.group_cap = width_us, group_cap
        self._slice_us, self._budgeting = slice_us, budgeting
        self._windows_us = tuple(windows_us)
        self._spans = [window // slice_us for window in windows_us[: -1 if calendar else None]]
        self._longest = max([*self._spans, -(-depth_us // slice_us)])
        self._now_us, self._now = now_us, self._newest(now_us)
        ahead = -(-AHEAD_US // slice_us) + 2
        self._grid = Grid(slices=self._longest + ahead, width=slice_us // width_us, budgeting=budgeting)
        self._keys: list[Key] = []
        self._columns: dict[Key, int] = {}
        self._folded = 0
        self._sums = np.zeros((2, len(self._spans), self._grid.groups), dtype=np.int64)
        self._running: Running | None = None
        if calendar:
            self._running = Running(calendar, self._grid, slice_us=slice_us, now_us=now_us)

    @classmethod
    def of(
        cls,
        objective: Objective,
        *,
        now_us: int,
        width_us: int = MICROS_PER_MINUTE,
        group_cap: int = GROUP_CAP,
    ) -> Self:
        """Return an empty ring for all that an objective asks: its windows, its budgeting, its calendar."""
        calendar = objective.window if isinstance(objective.window, Calendar) else None
        windows_us = objective.windows_us
        rolling_us = max(windows_us[:-1], default=0) if calendar else windows_us[-1]
        return cls(
            windows_us=windows_us,
            now_us=now_us,
            width_us=width_us,
            group_cap=group_cap,
            budgeting=objective.budgeting,
            calendar=calendar,
            depth_us=max(rolling_us, HELD_US) + (LAG_US if calendar else 0),
        )

    @property
    def period(self) -> Period | None:
        """The running calendar period; None without a calendar."""
        return self._running.period if self._running else None

    @property
    def held_from_us(self) -> int:
        """From when on buckets are held; what a calendar period held before is `rebase`'s to tell."""
        lag = LAG_US // self._slice_us if self._running else 0
        return (self._now - self._longest + 1 + lag) * self._slice_us

    def add(self, cells: Cells) -> Added:
        """Add counts, each to its own bucket and to every window that still holds it.

        Order and lateness do not matter. A ring is restored by adding its stored cells.
        """
        inside = self._holds(cells.bucket)
        outside = int(cells.total[~inside].sum())
        kept = self.named(cells.take(inside))
        columns = self._columns_of(kept.keys)[kept.group]
        stored = self._put(kept.bucket, columns, np.stack((kept.good, kept.total)))
        return Added(Cells(kept.keys, kept.group, kept.bucket, stored[0], stored[1]), outside)

    def settle(self, cells: Cells) -> None:
        """Bring cells to these absolute counts, of which they may hold a part already."""
        kept = self.named(cells.take(self._holds(cells.bucket)))
        held = self._grid.at(kept.bucket, self._columns_of(kept.keys)[kept.group])
        self.add(replace(kept, good=kept.good - held[0], total=kept.total - held[1]))

    @property
    def keys(self) -> tuple[Key, ...]:
        """The groups that are told apart, in the order in which they came."""
        return tuple(self._keys)

    def page(self, first: int, last: int) -> Page:
        """Return the cells of the buckets [first, last) that are held."""
        held = self._held(first, last)
        return Page(held.start, self._grid.page(np.arange(held.start, held.stop))[:, :, : len(self._keys)])

    def restore(self, keys: Sequence[Key], pages: Iterable[Page]) -> None:
        """Fill an empty ring with pages of another, whose groups were `keys`. Two passes over the ring.

        Groups of which nothing is held any more are forgotten: they make room under the cap.
        """
        self._columns_of(keys)
        for page in pages:
            held = self._held(page.first, page.first + page.counts.shape[1])
            cells = page.counts[:, held.start - page.first : held.stop - page.first]
            self._grid.fill(np.arange(held.start, held.stop), cells)
        if len(busy := self._grid.busy()) < len(keys):
            self._keys = [keys[at] for at in busy]
            self._columns = {key: at for at, key in enumerate(self._keys)}
            self._grid.keep(busy)
        self.correct(())

    def advance(self, now_us: int) -> None:
        """Move every window on to `now_us`; an earlier instant than the last changes nothing."""
        now_us = max(self._now_us, now_us)
        then, now = self._now, self._newest(now_us)
        known = (self._now_us + AHEAD_US) // self._slice_us
        for at, span in enumerate(self._spans):
            self._sums[:, at] += self._grid.between(max(then, now - span), min(now, known))
            self._sums[:, at] -= self._grid.between(then - span, min(then, now - span))
        if self._running:
            self._running.advance(now_us, then=then, now=min(now, known))
        self._grid.clear(then - self._longest, min(now - self._longest, known))
        self._now_us, self._now = now_us, now

    def correct(self, corrections: Sequence[Correction]) -> None:
        """Count without what these corrections, and no others, leave out. One pass over the ring.

        A calendar period that began before `held_from_us` needs a `rebase` besides.
        """
        self._grid.mask = Mask.of(corrections, self.width_us) if corrections else NO_MASK
        upto, sums = self._now, np.zeros((2, self._grid.groups), dtype=np.int64)
        for at in np.argsort(self._spans).tolist():
            first = self._now - self._spans[at]
            sums += self._grid.between(first, upto)
            self._sums[:, at], upto = sums, first
        if self._running:
            self.rebase(Cells.empty(), self.held_from_us)

    def rebase(self, older: Cells, until_us: int) -> None:
        """Set what the running calendar period held before `until_us`, which was `held_from_us` lately.

        Cells of units (`slo.cells.measured`), corrected; their buckets do not matter.
        """
        if self._running is None:
            return
        older = self.named(older)
        columns = self._columns_of(older.keys)[older.group]
        sums = np.zeros((2, self._grid.groups), dtype=np.int64)
        for of, counts in enumerate((older.good, older.total)):
            np.add.at(sums[of], columns, counts)
        self._running.rebase(sums, upto=until_us // self._slice_us - 1, newest=self._now)

    def counts(self) -> Counts:
        """Return a snapshot of every window of every group."""
        used, sums = len(self._keys), self._sums
        ahead = 0
        if self._running:
            sums = np.concatenate((sums, self._running.sums[:, np.newaxis]), axis=1)
            slices = self._running.ahead(self._now) if self._budgeting.slice_us else 0
            ahead = slices * self._budgeting.scale
        good, total = sums[:, :, :used].copy()
        return Counts(self._now_us, self._windows_us, tuple(self._keys), good, total, self._folded, ahead)

    def first_bad_us(self, key: Key, window_us: int) -> int | None:
        """Return the start of the first bucket or slice of a window that is not all good; None if none."""
        span = window_us // self._slice_us
        slices = np.arange(self._now - span + 1, self._now + 1)
        good, total = self._grid.units(slices, self._columns[key])
        bad = np.flatnonzero(good != total)
        return int(slices[bad[0]]) * self._slice_us if len(bad) else None

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

    @property
    def _places(self) -> range:
        """The buckets that there is a place for."""
        first = (self._now - self._longest + 1) * self._grid.width
        return range(first, (self._now_us + AHEAD_US) // self.width_us + 1)

    def _holds(self, buckets: Ints) -> NDArray[np.bool_]:
        places = self._places
        return (buckets >= places.start) & (buckets < places.stop)

    def _held(self, first: int, last: int) -> range:
        """Return those of the buckets [first, last) that there is a place for."""
        places = self._places
        first = max(first, places.start)
        return range(first, max(first, min(last, places.stop)))

    def _newest(self, now_us: int) -> int:
        """Return the newest slice that counts: the running bucket, or the last slice that has ended."""
        return now_us // self._slice_us - (self._budgeting.slice_us is not None)

    def _put(self, buckets: Ints, columns: Ints, counts: Ints) -> Ints:
        """Add to cells, and to windows what that changes; return the cells as they now stand."""
        if self._grid.plain:
            self._change(buckets, columns, counts)
            return self._grid.put(buckets, columns, counts)
        touched = np.unique(buckets // self._grid.width * self._grid.groups + columns)
        slices, of = np.divmod(touched, self._grid.groups)
        before = self._grid.units(slices, of)
        stored = self._grid.put(buckets, columns, counts)
        self._change(slices, of, self._grid.units(slices, of) - before)
        return stored

    def _change(self, slices: Ints, columns: Ints, change: Ints) -> None:
        """Add what changed in single slices of single groups to every window that holds them."""
        for at, span in enumerate(self._spans):
            held = (slices > self._now - span) & (slices <= self._now)
            for of in (0, 1):
                np.add.at(self._sums[of, at], columns[held], change[of, held])
        if self._running:
            self._running.add(slices, columns, change, newest=self._now)

    def _columns_of(self, keys: Sequence[Key]) -> Ints:
        for key in keys:
            if key not in self._columns:
                self._columns[key] = len(self._keys)
                self._keys.append(key)
        if len(self._keys) > self._grid.groups:
            self._grow(len(self._keys))
        return np.array([self._columns[key] for key in keys], dtype=np.int64)

    def _grow(self, groups: int) -> None:
        capacity = min(1 << (groups - 1).bit_length(), self.group_cap + 1)
        more = capacity - self._grid.groups
        self._grid.grow(capacity)
        self._sums = np.pad(self._sums, ((0, 0), (0, 0), (0, more)))
        if self._running:
            self._running.grow(capacity)


def _other(key: Key) -> Key:
    return (OTHER_TENANT,) * len(key)
