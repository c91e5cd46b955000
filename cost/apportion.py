"""Dividing integers so that the parts sum to the whole: largest remainder.

Guarantee: parts are never negative, sum to the total exactly, and lie within one unit of the
exact share; ties go to the earlier row, so the order of rows is part of the input.
"""

from __future__ import annotations

import numpy as np

from telemetry.frame import Ints

_WIDE = 2**62


def apportion(total: int, weights: Ints) -> Ints:
    """Return `total` divided by weight. All weights zero = equal parts; no weights = no parts."""
    totals = np.array([total], dtype=np.int64)
    return apportion_groups(totals, np.zeros(len(weights), dtype=np.int64), weights)


def apportion_groups(totals: Ints, groups: Ints, weights: Ints) -> Ints:
    """Return each row's part of its group's total, by weight within the group.

    `groups` numbers rows into `totals`; `weights` are >= 0 and a group whose weights are all
    zero is divided equally. A group without rows keeps its total: the caller must place it.
    O(rows log rows) in numpy; products past 2**62 are taken in Python integers.
    """
    if len(weights) == 0:
        return np.zeros(0, dtype=np.int64)
    sums = _sums(groups, weights, len(totals))
    weights = np.where(sums[groups] == 0, 1, weights)
    sums = _sums(groups, weights, len(totals))
    wide = int(totals.max()) * int(weights.max()) >= _WIDE
    products = totals[groups] * (weights.astype(object) if wide else weights)
    parts = (products // sums[groups]).astype(np.int64)
    remainders = (products % sums[groups]).astype(np.int64)
    left = totals - _sums(groups, parts, len(totals))
    order = np.lexsort((-remainders, groups))
    starts = np.searchsorted(groups[order], np.arange(len(totals)))
    place = np.arange(len(order)) - starts[groups[order]]
    parts[order] += place < left[groups[order]]
    return parts


def _sums(groups: Ints, values: Ints, count: int) -> Ints:
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, groups, values)
    return sums


def split(parts: Ints, holders: Ints) -> Ints:
    """Return a table of parts (rows) by holders (columns) with both margins exact.

    Both margins must have the same sum. Each part is divided by what every holder has left,
    so no cell is negative and each is near its proportional share. O(parts) steps.
    """
    table = np.zeros((len(parts), len(holders)), dtype=np.int64)
    left = holders.copy()
    for row, part in enumerate(parts):
        if part:
            table[row] = apportion(int(part), left)
            left -= table[row]
    return table
