"""Facts folded into integers: good and total for each group and bucket of time.

Merging is addition, so order and grouping of the parts never matter. Everything here is
vectorised over rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from slo.indicator import Verdicts
from slo.objective import Objective
from telemetry.columns import TABLE
from telemetry.frame import Frame, Ints, Mask, Texts, combined, numbered
from telemetry.units import MICROS_PER_MINUTE

Key = tuple[str, ...]
"""One word for each column of an objective's `group_by`; the empty tuple when it has none."""

UNKNOWN_WORD: Final = "__unknown__"
"""The word of a group whose column was not known."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts by group and bucket, in one canonical form: equal counts are equal arrays.

    Row i: of `total[i]` counted requests (or tokens, samples: the indicator's unit) of group
    `keys[group[i]]` in bucket `bucket[i]`,
    `good[i]` were good. A bucket is its start divided by the width. Sorted by key and bucket;
    each pair at most once; every key has a row.
    """

    keys: tuple[Key, ...]
    group: Ints
    bucket: Ints
    good: Ints
    total: Ints

    @classmethod
    def of(cls, keys: Sequence[Key], *, group: Ints, bucket: Ints, good: Ints, total: Ints) -> Cells:
        """Return counts in canonical form, adding up what falls together. O(rows log rows) at most."""
        ordered = sorted(set(keys))
        place = {key: at for at, key in enumerate(ordered)}
        group = np.array([place[key] for key in keys], dtype=np.int64)[group]
        first = int(bucket.min(initial=0))
        span = int(bucket.max(initial=0)) - first + 1
        cell, row = numbered(group * span + (bucket - first), len(ordered) * span)
        used, group = numbered(cell // span, len(ordered))
        counts = np.zeros((2, len(cell)), dtype=np.int64)
        np.add.at(counts[0], row, good)
        np.add.at(counts[1], row, total)
        return cls(tuple(ordered[at] for at in used), group, cell % span + first, counts[0], counts[1])

    @classmethod
    def empty(cls) -> Cells:
        """Return no counts."""
        none = np.zeros(0, dtype=np.int64)
        return cls((), none, none, none, none)

    def take(self, rows: Mask) -> Cells:
        """Return the chosen rows."""
        if rows.all():
            return self
        return Cells.of(
            self.keys,
            group=self.group[rows],
            bucket=self.bucket[rows],
            good=self.good[rows],
            total=self.total[rows],
        )

    def renamed(self, keys: Sequence[Key]) -> Cells:
        """Return the counts under other keys, one for each of `self.keys`; equal ones add up."""
        return Cells.of(keys, group=self.group, bucket=self.bucket, good=self.good, total=self.total)

    def sums(self) -> tuple[int, int]:
        """Return (good, total) over everything."""
        return int(self.good.sum()), int(self.total.sum())


def merge(parts: Sequence[Cells]) -> Cells:
    """Return the sum of counts."""
    starts = np.cumsum([0, *(len(part.keys) for part in parts)])
    if not parts:
        return Cells.empty()
    return Cells.of(
        [key for part in parts for key in part.keys],
        group=np.concatenate([part.group + start for part, start in zip(parts, starts, strict=False)]),
        bucket=np.concatenate([part.bucket for part in parts]),
        good=np.concatenate([part.good for part in parts]),
        total=np.concatenate([part.total for part in parts]),
    )


def measured(cells: Cells, objective: Objective, *, width_us: int = MICROS_PER_MINUTE) -> Cells:
    """Return counts as what the objective's budget counts, each slice in its first bucket.

    Requests stay as they are where nothing is sliced. Every slice must be there whole, or not at all.
    """
    slice_us = objective.budgeting.slice_us
    if slice_us is None:
        return cells
    wide = slice_us // width_us
    first = cells.bucket // wide * wide
    slices = Cells.of(cells.keys, group=cells.group, bucket=first, good=cells.good, total=cells.total)
    good, total = objective.budgeting.units(np.stack((slices.good, slices.total)))
    return Cells(slices.keys, slices.group, slices.bucket, good, total)


def fold(
    facts: Frame,
    objective: Objective,
    *,
    width_us: int = MICROS_PER_MINUTE,
    counted_early: Collection[str] = frozenset(),
) -> Cells:
    """Return the counts of a frame of the objective's table, each row in the bucket of its end.

    Requests whose id is in `counted_early` were counted bad while in flight (`slo.overdue`)
    and are left out. The frame must hold each request once: rows of the pool's vantage of
    record, each fact folded once.
    """
    rows = selected(facts, objective)
    if counted_early:
        rows &= ~with_ids(facts, counted_early)
    return counted(facts, objective, objective.indicator.judge(facts).among(rows), width_us=width_us)


def counted(facts: Frame, objective: Objective, verdicts: Verdicts, *, width_us: int) -> Cells:
    """Return verdicts added up by the objective's groups and by buckets of the event time."""
    rows = np.flatnonzero(verdicts.counted)
    time = facts.numbers(TABLE[facts.table].time_column).values[rows]
    keys, group = _groups([facts.texts(column).take(rows) for column in objective.group_by], len(rows))
    good, total = verdicts.good[rows], verdicts.total[rows]
    return Cells.of(keys, group=group, bucket=time // width_us, good=good, total=total)


def selected(facts: Frame, objective: Objective) -> Mask:
    """Return the rows that the objective is about."""
    rows = np.ones(facts.rows, dtype=np.bool_)
    for column, word in objective.selector:
        rows &= facts.texts(column).equals(word)
    return rows


def with_ids(facts: Frame, ids: Collection[str]) -> Mask:
    """Return the rows whose request id is among `ids`."""
    column = facts.texts("request_id")
    among = np.zeros(len(column.words) + 1, dtype=np.bool_)  # the last answers for code -1
    among[:-1] = np.fromiter(map(ids.__contains__, column.words), dtype=np.bool_, count=len(column.words))
    mask: Mask = among[column.codes]
    return mask


def _groups(columns: Sequence[Texts], rows: int) -> tuple[list[Key], Ints]:
    """Number the distinct rows of text columns; an unknown text is `UNKNOWN_WORD`."""
    if not columns or not rows:
        return [()] if rows else [], np.zeros(rows, dtype=np.int64)
    group, keys = combined(columns, UNKNOWN_WORD)
    return keys, group
