"""Corrections: dated times that do not count, or whose bad requests do not.

Facts and stored counts are never changed by one: it is applied whenever counts are added up, so
that a correction that is ended or was a mistake leaves no trace in any number. A correction acts
on every bucket it touches, so its edges are widened to whole minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from slo.cells import Cells
from telemetry.frame import Ints


class Excluded(StrEnum):
    """What a correction leaves out: the bad requests of its time, or all of them."""

    BAD = "bad"
    ALL = "all"


@dataclass(frozen=True, slots=True, order=True)
class Correction:
    """One dated time [from_us, to_us) and what is left out of it."""

    from_us: int
    to_us: int
    excluded: Excluded


Kinds = NDArray[np.int8]
"""What is left out of each bucket: nothing, the bad ones, or all."""

NOTHING: Final = 0
BAD: Final = 1
ALL: Final = 2


@dataclass(frozen=True, slots=True)
class Mask:
    """Corrections by bucket: from `edges[i]` on and before `edges[i + 1]`, `kinds[i]` holds."""

    edges: Ints
    kinds: Kinds

    @classmethod
    def of(cls, corrections: Sequence[Correction], width_us: int, *, phase_us: int = 0) -> Self:
        """Return the mask of corrections; where they overlap, the one that excludes more holds.

        Bucket n begins at n widths and `phase_us`.
        """
        begin = np.array([(each.from_us - phase_us) // width_us for each in corrections], dtype=np.int64)
        end = np.array([-(-(each.to_us - phase_us) // width_us) for each in corrections], dtype=np.int64)
        edges = np.unique(np.concatenate((begin, end)))
        kinds = np.zeros(len(edges), dtype=np.int8)
        for kind, excluded in ((BAD, Excluded.BAD), (ALL, Excluded.ALL)):
            rows = np.array([each.excluded is excluded for each in corrections], dtype=np.bool_)
            steps = np.zeros(len(edges), dtype=np.int64)
            np.add.at(steps, np.searchsorted(edges, begin[rows]), 1)
            np.add.at(steps, np.searchsorted(edges, end[rows]), -1)
            kinds[np.cumsum(steps) > 0] = kind
        return cls(edges, kinds)

    def of_buckets(self, buckets: Ints) -> Kinds:
        """Return what is left out of each bucket; an array of the shape of `buckets`."""
        at = np.searchsorted(self.edges, buckets, side="right")
        kinds: Kinds = np.concatenate((np.zeros(1, dtype=np.int8), self.kinds))[at]
        return kinds

    def applied(self, counts: NDArray[np.integer], buckets: Ints) -> NDArray[np.integer]:
        """Return (good, total) by bucket without what is left out.

        The first axis of `counts` has the two, the next ones are those of `buckets`, others follow.
        What needs no change is returned as it is, not copied.
        """
        kinds = self.of_buckets(buckets) if len(self.edges) else self.kinds
        if not kinds.any():
            return counts
        kinds = kinds.reshape(kinds.shape + (1,) * (counts.ndim - 1 - kinds.ndim))
        good = np.where(kinds == ALL, 0, counts[0])
        return np.stack((good, np.where(kinds == NOTHING, counts[1], good)))


NO_MASK: Final = Mask.of((), 1)


def corrected(cells: Cells, mask: Mask) -> Cells:
    """Return cells without what corrections leave out; a cell may be left with a total of 0."""
    good, total = mask.applied(np.stack((cells.good, cells.total)), cells.bucket)
    return Cells(cells.keys, cells.group, cells.bucket, good, total)
