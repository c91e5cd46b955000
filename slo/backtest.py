"""When an objective would have alerted, had it been in force: every bucket of the past at once.

Guarantee: the answers are those that `slo.ring.Ring` and `slo.evaluate.judge` would have given
at the end of each bucket (tested by property). Windows are differences of running totals, so a
month of minutes takes some 50 ms a group. An alert begins with the first bucket at which a pair
of its severity fires and ends with the first at which none does; while nothing is known it stays
as it was, as a live one does.

Live evaluation also looks between the buckets' ends, so it may page up to a bucket earlier.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from slo.burn import NO, UNKNOWN, YES, Answers, burn_rate, pair_fires
from slo.cells import Cells, Key, measured
from slo.objective import Objective
from slo.pairs import Pair
from telemetry.condition import Severity
from telemetry.frame import Ints
from telemetry.units import MICROS_PER_MINUTE

AT_ONCE: Final = 2_000_000
"""Most buckets times groups that are judged together: some 250 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldBe:
    """One alert that would have been, UTC microseconds; `to_us` None = it would still stand.

    `pair` is what fired first, `burn` its long window's rate then, `worst` the highest until the
    alert ended. A burn of 1 spends the budget just within the period.
    """

    group: Key
    severity: Severity
    pair: Pair
    from_us: int
    to_us: int | None
    burn: Fraction
    worst: Fraction


@dataclass(frozen=True, slots=True)
class _Past:
    """Running totals of some groups: `sums[i]` = (good, total) of everything before bucket `first + i`."""

    keys: tuple[Key, ...]
    first: int
    sums: Ints

    def window(self, span: int, start: int) -> tuple[Ints, Ints]:
        """Return (bad, total) of the last `span` buckets at the end of each bucket from `start` on."""
        ends = np.arange(start - self.first + 1, len(self.sums))
        good, total = np.moveaxis(self.sums[ends] - self.sums[np.maximum(ends - span, 0)], -1, 0)
        return total - good, total


def would_have_alerted(
    objective: Objective, cells: Cells, *, from_us: int, to_us: int, width_us: int = MICROS_PER_MINUTE
) -> list[WouldBe]:
    """Return the alerts of [from_us, to_us), in the order they would have begun.

    `cells` are counts of requests as `slo.cells.fold` makes them; those before `from_us` fill the
    first windows. Only whole buckets are judged.
    """
    slice_us = objective.budgeting.slice_us or width_us
    start, end = -(-from_us // slice_us), to_us // slice_us
    if end <= start or not objective.alerts.pairs:
        return []
    longest = max(objective.paired_us) // slice_us
    units = _rebucketed(measured(cells, objective, width_us=width_us), slice_us // width_us)
    found = [
        each
        for past in _pasts(units, first=start - longest, end=end)
        for severity in Severity
        for each in _alerts(objective, past, severity=severity, start=start, slice_us=slice_us)
    ]
    return sorted(found, key=lambda each: (each.from_us, list(Severity).index(each.severity), each.group))


def _rebucketed(cells: Cells, wide: int) -> Cells:
    """Return cells whose bucket is the number of their slice."""
    return Cells(cells.keys, cells.group, cells.bucket // wide, cells.good, cells.total)


def _pasts(cells: Cells, *, first: int, end: int) -> Iterator[_Past]:
    """Yield the groups that had a bad request, as many at a time as fit; no other could alert."""
    inside = (cells.bucket >= first) & (cells.bucket < end)
    spoilt = np.unique(cells.group[inside & (cells.good < cells.total)])
    together = max(AT_ONCE // (end - first), 1)
    for at in range(0, len(spoilt), together):
        some = spoilt[at : at + together]
        rows = np.flatnonzero(inside & np.isin(cells.group, some))
        sums = np.zeros((end - first + 1, len(some), 2), dtype=np.int64)
        place = (cells.bucket[rows] - first + 1, np.searchsorted(some, cells.group[rows]))
        sums[(*place, 0)], sums[(*place, 1)] = cells.good[rows], cells.total[rows]
        np.cumsum(sums, axis=0, out=sums)
        yield _Past(tuple(cells.keys[group] for group in some), first, sums)


def _alerts(
    objective: Objective, past: _Past, *, severity: Severity, start: int, slice_us: int
) -> Iterator[WouldBe]:
    pairs = [pair for pair in objective.alerts.pairs if pair.severity is severity]
    if not pairs:
        return
    answers = np.stack([_answers(objective, past, pair, start=start, slice_us=slice_us) for pair in pairs])
    for group, begin, end in _episodes(answers.max(axis=0)):
        first = int(np.argmax(answers[:, begin, group] == YES))
        bad, total = past.window(pairs[first].long_us // slice_us, start)
        bad, total = bad[begin:end, group], total[begin:end, group]
        worst = int(np.argmax(bad / np.maximum(total, 1)))
        yield WouldBe(
            group=past.keys[group],
            severity=severity,
            pair=pairs[first],
            from_us=(start + begin + 1) * slice_us,
            to_us=None if end is None else (start + end + 1) * slice_us,
            burn=burn_rate(int(bad[0]), int(total[0]), objective.budget) or Fraction(0),
            worst=burn_rate(int(bad[worst]), int(total[worst]), objective.budget) or Fraction(0),
        )


def _answers(objective: Objective, past: _Past, pair: Pair, *, start: int, slice_us: int) -> Answers:
    """Return whether a pair fires, at the end of each bucket from `start` on and for each group."""
    long, short = (past.window(window // slice_us, start) for window in (pair.long_us, pair.short_us))
    shape = long[0].shape
    flat = pair_fires(
        objective,
        pair,
        long=(long[0].ravel(), long[1].ravel()),
        short=(short[0].ravel(), short[1].ravel()),
    )
    return flat.reshape(shape)


def _episodes(answers: Answers) -> Iterator[tuple[int, int, int | None]]:
    """Yield (group, first bucket, bucket after the last) of every run that fires; None = it has no end.

    What is not known is as it was before; before the first bucket nothing fires.
    """
    steps = np.arange(1, len(answers) + 1)[:, np.newaxis]
    known = np.maximum.accumulate(np.where(answers == UNKNOWN, 0, steps), axis=0)
    framed = np.concatenate((np.full((1, answers.shape[1]), NO, dtype=np.int8), answers))
    firing = np.take_along_axis(framed, known, axis=0) == YES
    changes = np.diff(
        np.concatenate((np.zeros((1, firing.shape[1]), np.int8), firing.astype(np.int8))), axis=0
    )
    for group in range(firing.shape[1]):
        begins, ends = np.flatnonzero(changes[:, group] == 1), np.flatnonzero(changes[:, group] == -1)
        for at, begin in enumerate(begins.tolist()):
            yield group, begin, int(ends[at]) if at < len(ends) else None
