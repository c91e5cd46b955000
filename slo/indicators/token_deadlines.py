"""Token deadlines: the share of output tokens that came by the time they were due."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

import numpy as np

from slo.durations import written
from slo.indicator import Indicator, Verdicts, require_limits
from telemetry.frame import Frame, Ints


class Reading(StrEnum):
    """Which of Etalon's two formulas holds for a late token: its documentation's or its code's."""

    DOCUMENTED = "documented"
    CODED = "coded"


@dataclass(frozen=True, slots=True)
class TokenDeadlines(Indicator):
    """Good = a token that came by its deadline: fluidity-index and deadline miss rate of Etalon.

    The first token is due `first` after the request began, each other one `next` after the one
    before it. A token that comes early leaves the rest of its time to those after it; a late
    one starts anew from when it came. As `documented`, every token is one deadline, kept or
    missed. As `coded`, a late token has missed as many deadlines as would have fit into its
    delay: floor((gap - time left over) / next), and for the first token 1 +
    floor((TTFT - first) / next); one long stall counts many times.

    Judged on whole gaps, which are kept of requests that failed or were slow and of a sample of
    the others: the share is of those, not of all requests. Where the TTFT is not known, the
    first token is not judged and leaves no time over. A gap is between streamed chunks: one of
    several tokens is one deadline. A failed request is judged by the tokens it gave. Nothing
    counts while in flight.
    """

    first_us: int
    next_us: int
    reading: Reading = Reading.DOCUMENTED

    kind: ClassVar[str] = "token_deadlines"
    table: ClassVar[str] = "token_gaps"
    unit: ClassVar[str] = "deadlines"
    columns: ClassVar[tuple[str, ...]] = ("ttft_us", "gaps_us")

    def __post_init__(self) -> None:
        require_limits(first=self.first_us, next=self.next_us)

    def promise(self) -> str:
        """Return the promise in words."""
        told = f"first token within {written(self.first_us)}, the others {written(self.next_us)} apart"
        return told if self.reading is Reading.DOCUMENTED else f"{told}, a stall counts by its length"

    def judge(self, facts: Frame) -> Verdicts:
        """Return the kept of all deadlines of each request."""
        gaps, ttft = facts.lists("gaps_us"), facts.numbers("ttft_us")
        sizes = np.diff(gaps.offsets) + 1  # the first token is one more than there are gaps
        starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        first = np.zeros(starts[-1], dtype=np.bool_)
        first[starts[:-1]] = True
        took = np.zeros(starts[-1], dtype=np.int64)
        took[~first] = gaps.values
        took[first] = np.where(ttft.valid, ttft.values, self.first_us)

        early = np.where(first, self.first_us, self.next_us) - took
        left = _left_over(early, np.repeat(starts[:-1], sizes))
        before = np.where(first, 0, np.concatenate(([0], left[:-1])))
        late = early + before < 0
        missed = late.astype(np.int64)
        if self.reading is Reading.CODED:
            over = (took - before - np.where(first, self.first_us, 0)) // self.next_us + first
            missed = np.where(late, over, 0)
        judged = np.maximum(missed, ~late) * ~(first & ~np.repeat(ttft.valid, sizes))
        return Verdicts(_sums(judged * ~late, starts), _sums(judged, starts))


def _left_over(early: Ints, start: Ints) -> Ints:
    """Return the time left over after each token: max(0, what was left before + `early`).

    That is the running sum less its lowest point so far (or 0), within each request; `start` is
    where a token's request begins. The lowest points are found by doubling the reach: O(n log n).
    """
    total = np.cumsum(early)
    total -= (total - early)[start] if len(start) else 0
    lowest, at, reach = np.minimum(total, 0), np.arange(len(total)), 1
    while reach < len(total) and bool(np.any(at - reach >= start)):
        back = at - reach
        lowest = np.where(back >= start, np.minimum(lowest, lowest[back]), lowest)
        reach *= 2
    left: Ints = total - lowest
    return left


def _sums(values: Ints, starts: Ints) -> Ints:
    """Return the sums between starts."""
    running = np.concatenate(([0], np.cumsum(values)))
    sums: Ints = running[starts[1:]] - running[starts[:-1]]
    return sums


INDICATOR: Final = TokenDeadlines
