"""Which sequence numbers of one (agent, boot) were ever received: a set as ranges.

Guarantee: `plus` tells a repeat from a first exactly, in memory proportional to the number of
gaps, however many numbers were received; giving gaps up (`bounded`) only ever turns a first
into a repeat, never a repeat into a first.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Received:
    """Everything up to `contiguous` (-1 = nothing) and the inclusive, apart, sorted ranges beyond."""

    contiguous: int = -1
    beyond: tuple[tuple[int, int], ...] = ()

    def __contains__(self, seq: int) -> bool:
        at = self._after(seq)
        return seq <= self.contiguous or (at > 0 and self.beyond[at - 1][1] >= seq)

    def _after(self, seq: int) -> int:
        """Return the index of the first range that begins after `seq`."""
        return bisect_right(self.beyond, seq, key=lambda span: span[0])

    def plus(self, seq: int) -> Received | None:
        """Return the set with `seq` in it; None when it was in it already (a repeat)."""
        if seq in self:
            return None
        at = self._after(seq)
        first, last, before, after = seq, seq, self.beyond[:at], self.beyond[at:]
        if before and before[-1][1] == seq - 1:
            first, before = before[-1][0], before[:-1]
        if after and after[0][0] == seq + 1:
            last, after = after[0][1], after[1:]
        if first == self.contiguous + 1:
            return Received(last, after)
        return Received(self.contiguous, (*before, (first, last), *after))

    def bounded(self, gaps: int) -> tuple[Received, int]:
        """Return the set with at most `gaps` gaps, and how many numbers were given up for it.

        The lowest gaps go first: what is missing there has been missing longest.
        """
        excess = len(self.beyond) - gaps
        if excess <= 0:
            return self, 0
        closed = Received(self.beyond[excess - 1][1], self.beyond[excess:])
        held = self.contiguous + 1 + sum(last - first + 1 for first, last in self.beyond[:excess])
        return closed, closed.contiguous + 1 - held

    def gaps(self) -> str:
        """Return the ranges beyond as text, `7-9,12-12`; empty = none."""
        return ",".join(f"{first}-{last}" for first, last in self.beyond)

    @classmethod
    def of(cls, contiguous: int, gaps: str) -> Self:
        """Return the set that `contiguous` and `gaps()` describe."""
        ranges = (item.split("-") for item in gaps.split(",") if item)
        return cls(contiguous, tuple((int(first), int(last)) for first, last in ranges))
