"""From rows in time to cells of a grid: the arithmetic under `anomalies.frame`.

A grid has R rows (replicas or GPUs) and T cells of equal width; a cell holds the last sample
that falls into it. Everything is numpy; no loop runs over samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telemetry.frame import Floats, Frame, Ints, Mask, Numbers, Texts, increases


@dataclass(frozen=True, slots=True)
class Signal:
    """One quantity of every row over time, shape [R, T]. A value that is not known is 0."""

    values: Floats
    known: Mask

    @classmethod
    def unknown(cls, shape: tuple[int, int]) -> Signal:
        """Return a signal of which nothing is known."""
        return cls(np.zeros(shape), np.zeros(shape, dtype=np.bool_))

    def held(self, steps: int) -> Signal:
        """Return it with each known value kept for up to `steps` further cells."""
        cells = np.arange(self.values.shape[1])
        last = np.maximum.accumulate(np.where(self.known, cells, -1), axis=1)
        known = (last >= 0) & (cells - last <= steps)
        values = np.take_along_axis(self.values, np.maximum(last, 0), axis=1)
        return Signal(np.where(known, values, 0.0), known)

    def above(self, limit: float) -> Mask:
        """Return where it is known and at least `limit`."""
        found: Mask = self.known & (self.values >= limit)
        return found

    def is_zero(self) -> Mask:
        """Return where it is known to be zero."""
        found: Mask = self.known & (self.values == 0)
        return found

    def positive(self) -> Mask:
        """Return where it is known to be more than zero."""
        found: Mask = self.known & (self.values > 0)
        return found


@dataclass(frozen=True, slots=True)
class Grid:
    """T cells of `step_us` from `from_us` on; cell t is [from_us + t step, from_us + (t + 1) step)."""

    from_us: int
    step_us: int
    steps: int

    @classmethod
    def between(cls, from_us: int, to_us: int, step_us: int) -> Grid:
        """Return the grid of [from_us, to_us); `ValueError` for an empty one."""
        if step_us <= 0 or to_us <= from_us:
            raise ValueError(f"grid from {from_us} to {to_us} by {step_us}: needs a positive span and step")
        return cls(from_us, step_us, -(-(to_us - from_us) // step_us))

    @property
    def at_us(self) -> Ints:
        """The start of each cell, UTC microseconds."""
        return self.from_us + np.arange(self.steps, dtype=np.int64) * self.step_us

    def cells_of(self, at_us: Ints) -> Ints:
        """Return the cell of each instant, -1 for one outside the grid."""
        cells = (at_us - self.from_us) // self.step_us
        return np.where((cells >= 0) & (cells < self.steps), cells, -1)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the rows of a frame go: `rows[i]` is sample `index[i]`'s row, `cells[i]` its cell.

    Ordered by time, so that of several samples in one cell the last one stays.
    """

    index: Ints
    rows: Ints
    cells: Ints
    shape: tuple[int, int]

    def place(self, column: Numbers) -> Signal:
        """Return a column on the grid."""
        chosen = column.take(self.index)
        signal = Signal.unknown(self.shape)
        rows, cells = self.rows[chosen.valid], self.cells[chosen.valid]
        signal.values[rows, cells] = chosen.values[chosen.valid]
        signal.known[rows, cells] = True
        return signal

    def grown(self, column: Numbers) -> Signal:
        """Return a counter's growth since its last known cell, resets taken into account."""
        signal = self.place(column)
        return Signal(*increases(signal.values, signal.known))


def places(frame: Frame, key: str, names: Sequence[str], grid: Grid, chosen: Mask | None = None) -> Places:
    """Return where a frame's rows go, by the text column `key`; unknown names are left out."""
    rows = renumbered(frame.texts(key), names)
    at_us = frame.numbers("at_us").values
    cells = grid.cells_of(at_us)
    kept = (rows >= 0) & (cells >= 0)
    index = np.flatnonzero(kept if chosen is None else kept & chosen)
    index = index[np.argsort(at_us[index], kind="stable")]
    return Places(index, rows[index], cells[index], (len(names), grid.steps))


def renumbered(column: Texts, names: Sequence[str]) -> Ints:
    """Return each row's position in `names`, -1 where it is missing or not known."""
    order = {name: at for at, name in enumerate(names)}
    table = np.array([*(order.get(word, -1) for word in column.words), -1], dtype=np.int64)
    found: Ints = table[column.codes]
    return found


def named(column: Texts, chosen: Mask) -> tuple[str, ...]:
    """Return the distinct texts of the chosen rows, sorted."""
    codes = np.unique(column.codes[chosen])
    return tuple(sorted(column.words[code] for code in codes if code >= 0))


def last_texts(column: Texts, where: Places) -> list[str | None]:
    """Return the last known text of each row of the grid; None where there is none."""
    codes = column.codes[where.index]
    last = np.full(where.shape[0], -1, dtype=np.int64)
    last[where.rows[codes >= 0]] = codes[codes >= 0]
    return [column.words[code] if code >= 0 else None for code in last]


def total(signals: Sequence[Signal]) -> Signal:
    """Return the sum of what is known; known where any of them is."""
    values = np.sum([signal.values for signal in signals], axis=0)
    known = np.any([signal.known for signal in signals], axis=0)
    return Signal(values, known)


def mean_over(members: NDArray[np.bool_], signal: Signal) -> Signal:
    """Return the mean over the members of each group: `members` is [groups, rows].

    Known where any member is: a replica whose second GPU is silent still has a first.
    """
    weights = members.astype(np.float64)
    counts = weights @ signal.known.astype(np.float64)
    sums = weights @ signal.values
    return Signal(np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0), counts > 0)


def recently(mask: Mask, steps: int) -> Mask:
    """Return where the mask was true in this cell or one of the `steps` before it."""
    counts = np.cumsum(mask, axis=1)
    before = np.zeros_like(counts)
    if steps + 1 < mask.shape[1]:
        before[:, steps + 1 :] = counts[:, : -steps - 1]
    found: Mask = counts > before
    return found
