"""From a verdict for every cell to stretches of time: when it began, and whether it is over.

A cell is bad, good, or neither (not known). Cells that are neither interrupt nothing and prove
nothing: a stretch ends only where something good is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from telemetry.frame import Ints, Mask
from telemetry.units import MICROS_PER_SECOND

BLIND_US: Final = 15 * MICROS_PER_SECOND
"""Bad samples further apart than this, with nothing known in between, are not one stretch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a stretch counts. Microseconds.

    It needs `min_samples` bad samples (k of n: one sample taken mid-step proves nothing) that
    span `min_span_us`. It is over after `quiet_us` of good; stretches closer than that are one.
    """

    min_span_us: int
    quiet_us: int
    min_samples: int = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every subject's cells, [S, T]; a cell is never both. `min_span_us` [S] overrides the rule's."""

    bad: Mask
    good: Mask
    min_span_us: Ints | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Cells `first`..`last` of one subject were bad. `over` = good for long enough since."""

    subject: int
    first: int
    last: int
    over: bool


def stretches(verdict: Verdict, at_us: Ints, rule: Rule) -> list[Stretch]:
    """Return every stretch that the rule counts, by subject and time. Loops over stretches only."""
    found: list[Stretch] = []
    for subject in np.flatnonzero(verdict.bad.any(axis=1)):
        span = rule.min_span_us if verdict.min_span_us is None else int(verdict.min_span_us[subject])
        runs = _runs(verdict.bad[subject], verdict.good[subject], at_us)
        long = [
            (first, last)
            for first, last, samples in runs
            if samples >= rule.min_samples and at_us[last] - at_us[first] >= span
        ]
        good_us = at_us[verdict.good[subject]]
        for first, last in _merged(long, at_us, rule.quiet_us):
            over = bool(good_us.size) and int(good_us[-1]) - int(at_us[last]) >= rule.quiet_us
            found.append(Stretch(int(subject), first, last, over))
    return found


def _runs(bad: Mask, good: Mask, at_us: Ints) -> Iterator[tuple[int, int, int]]:
    """Yield (first, last, samples) of each run of bad cells that no good cell interrupts."""
    known = np.flatnonzero(bad | good)
    marks = bad[known]
    blind = np.diff(at_us[known]) > BLIND_US
    breaks = np.flatnonzero((marks[1:] != marks[:-1]) | blind) + 1
    for part in np.split(np.arange(len(known)), breaks):
        if part.size and marks[part[0]]:
            yield int(known[part[0]]), int(known[part[-1]]), int(part.size)


def _merged(runs: list[tuple[int, int]], at_us: Ints, quiet_us: int) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in runs:
        if merged and at_us[first] - at_us[merged[-1][1]] < quiet_us:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged


def good_since(verdict: Verdict, at_us: Ints, quiet_us: int) -> Ints:
    """Return, for each subject, since when it has been good for at least `quiet_us`; -1 = it has not.

    Looks from the last bad cell to the last good one; with no bad cell, from the first good one.
    """
    steps = np.arange(at_us.size)
    last_bad = np.where(verdict.bad, steps, -1).max(axis=1, initial=-1)
    after = verdict.good & (steps > last_bad[:, None])
    first, last = after.argmax(axis=1), at_us.size - 1 - after[:, ::-1].argmax(axis=1)
    began = np.where(last_bad >= 0, at_us[last_bad], at_us[first])
    enough = after.any(axis=1) & (at_us[last] - began >= quiet_us)
    since: Ints = np.where(enough, at_us[first], -1)
    return since


def within(found: list[Stretch], shape: tuple[int, int]) -> Mask:
    """Return the cells [S, T] that lie in a stretch."""
    mask = np.zeros(shape, dtype=np.bool_)
    for one in found:
        mask[one.subject, one.first : one.last + 1] = True
    return mask
