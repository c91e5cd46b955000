"""Counts stored facts into objectives that are new or changed, an hour of them at a step.

Guarantee: `cells` holds every stored fact of journal entries up to `upto` exactly once. Facts are
told apart by their block, whose number is the journal entry it begins with: what is stored while
the count runs is in later blocks, and is added by `reach` at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slo.cells import Cells, fold, merge
from slo.objective import Objective
from telemetry.frame import Frame
from telemetry.units import MICROS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Stretch:
    """Stored facts with event time in [from_us, to_us), of blocks in (after, upto]."""

    from_us: int
    to_us: int
    after: int
    upto: int


StoredFacts = Callable[[Objective, Stretch], Frame]
"""Returns the facts of a stretch that an objective counts."""
_FIRST: Final = -1
"""Before every block."""
LATEST_US: Final = 25 * MICROS_PER_HOUR
"""Facts come at most 24 hours after their event; an hour more for clocks."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a count is: whole hours of facts counted, of all that are to be."""

    names: tuple[str, ...]
    done: int
    total: int

    def __str__(self) -> str:
        return f"{', '.join(self.names)}: {self.done} of {self.total} hours counted, then in force"


class Recount:
    """One count for some objectives. Belongs to one thread; `progress` may be read by any."""

    def __init__(
        self, objectives: Sequence[Objective], facts: StoredFacts, *, from_us: int, to_us: int, upto: int
    ) -> None:
        """Begin with stored facts of [from_us, to_us), of journal entries up to `upto`."""
        self.objectives, self.upto = tuple(objectives), upto
        self._facts, self.from_us, self._to_us = facts, from_us, to_us
        self._hours = _hours(from_us, to_us)
        self._done = 0
        self._parts: dict[str, list[Cells]] = {each.version: [] for each in objectives}

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(tuple(each.name for each in self.objectives), self._done, len(self._hours))

    def step(self) -> bool:
        """Count the next hour; true = there is another. Raises `StoreError`: then nothing was counted."""
        if self._done < len(self._hours):
            start = self._hours[self._done]
            self._count([Stretch(start, start + MICROS_PER_HOUR, _FIRST, self.upto)])
            self._done += 1
        return self._done < len(self._hours)

    def reach(self, upto: int, to_us: int) -> None:
        """Count also what was stored since, up to a later journal entry and `to_us`. Raises as `step`."""
        hours = _hours(max(self.from_us, self._to_us - LATEST_US), to_us)
        self._count([Stretch(start, start + MICROS_PER_HOUR, self.upto, upto) for start in hours])
        self.upto = upto

    def cells(self) -> Mapping[str, Cells]:
        """Return what was counted, by objective version."""
        return {version: merge(parts) for version, parts in self._parts.items()}

    def _count(self, stretches: Sequence[Stretch]) -> None:
        counted = [
            (each.version, fold(self._facts(each, stretch), each))
            for each in self.objectives
            for stretch in stretches
        ]
        for version, cells in counted:
            self._parts[version].append(cells)


def _hours(from_us: int, to_us: int) -> range:
    """Return the starts of the whole hours that cover a span."""
    return range(from_us // MICROS_PER_HOUR * MICROS_PER_HOUR, to_us, MICROS_PER_HOUR)
