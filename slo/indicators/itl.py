"""ITL: the share of the gaps between tokens that were short, pooled over all requests."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

import numpy as np

from slo.durations import written
from slo.indicator import OUTCOME_COLUMNS, Indicator, Verdicts, answerable, failed, require_limits
from telemetry.frame import Frame, Ints, Lists, Mask
from telemetry.gaps import BOUNDS_US


class Unsure(StrEnum):
    """What becomes of gaps of which it is not known on which side of the limit they were."""

    UNCOUNTED = "uncounted"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Itl(Indicator):
    """Good = a gap within the limit (inclusive); every gap counts for one.

    A gap is the time between two streamed outputs: a chunk of several tokens is one gap, as in
    vLLM's benchmarks. A request keeps its gaps as counts between the edges 1, 2, 4, ... 16,384
    ms and its largest one, so a limit on an edge is exact. Of a limit between two edges the
    gaps between the same two are unsure, unless the largest gap settles it: it is within the
    limit, or it is the one that is known to be over. `unsure` says whether they are
    `uncounted`, `good` or `bad`; good and bad enclose the truth.

    All gaps of a failed request are bad, and one if it had none. A client that left is judged by
    the gaps until then. Where no gaps were watched nothing is counted; nor while in flight.
    """

    limit_us: int
    unsure: Unsure = Unsure.UNCOUNTED

    kind: ClassVar[str] = "itl"
    unit: ClassVar[str] = "gaps"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "gap_buckets", "gap_max_us")

    def __post_init__(self) -> None:
        require_limits(limit=self.limit_us)

    @property
    def straddles(self) -> bool:
        """Whether the limit lies between two edges, so that some gaps are unsure."""
        return self.limit_us not in BOUNDS_US

    def promise(self) -> str:
        """Return the promise in words."""
        told = f"at most {written(self.limit_us)}"
        return f"{told}, unsure ones {self.unsure}" if self.straddles else told

    def judge(self, facts: Frame) -> Verdicts:
        """Return good of all known gaps on each request."""
        buckets, largest = facts.lists("gap_buckets"), facts.numbers("gap_max_us")
        place = np.arange(len(buckets.values)) - np.repeat(buckets.offsets[:-1], np.diff(buckets.offsets))
        limit = bisect_right(BOUNDS_US, self.limit_us)
        good = _sums(buckets, place < limit)
        between = _sums(buckets, (place == limit) & self.straddles)
        bad = _sums(buckets, place >= limit) - between

        settled = largest.valid & (bad == 0)
        short = np.where(settled & (largest.values <= self.limit_us), between, 0)
        over = np.where(settled & (largest.values > self.limit_us), np.minimum(between, 1), 0)
        unsure = between - short - over
        good, bad = good + short, bad + over
        if self.unsure is Unsure.GOOD:
            good = good + unsure
        if self.unsure is Unsure.BAD:
            bad = bad + unsure

        lost = failed(facts)
        every = _sums(buckets, np.ones(len(place), dtype=np.bool_))
        total = np.where(lost, np.maximum(every, 1), good + bad)
        return Verdicts(np.where(lost, 0, good), total).among(answerable(facts))


def _sums(counts: Lists, chosen: Mask) -> Ints:
    """Return the sum of each row's chosen counts."""
    running = np.concatenate(([0], np.cumsum(counts.values.astype(np.int64) * chosen)))
    sums: Ints = running[counts.offsets[1:]] - running[counts.offsets[:-1]]
    return sums


INDICATOR: Final = Itl
