"""Takes up the counts where the last process left them, and counts anew for objectives that are new."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from service.counting.counts import CellRows, LoadedCells, ObjectiveCounts, StoredRows, backfill
from service.counting.sightings import Notes, Sightings
from service.store.facts import Facts
from slo.cells import Cells
from slo.objective import Objective
from slo.ring import AHEAD_US
from telemetry.units import MICROS_PER_MINUTE

NOTE: Final = "counted_upto"
"""Objective version -> the journal entry up to which it was counted from stored rows."""


@dataclass(frozen=True, slots=True)
class Counting:
    """The durable side of counting. Used before the fold runs."""

    notes: Notes
    cells: CellRows
    group_cap: int

    def taken_up(
        self, objectives: Sequence[Objective], sightings: Sightings, now_us: int
    ) -> list[ObjectiveCounts]:
        """Return every objective with the cells that were written for it. One query each."""
        known, counts = self._known(), []
        for objective in objectives:
            counting = ObjectiveCounts(objective, now_us=now_us, group_cap=self.group_cap)
            counts.append(counting)
            if objective.version not in known:
                continue  # cells of a backfill that was cut off are written anew by the next one
            from_bucket = counting.ring.held_from_us // MICROS_PER_MINUTE
            stored = self.cells.read(objective.version, MICROS_PER_MINUTE, from_bucket)
            early = sightings.early.get(objective.version, {})
            counting.load(stored, early, known[objective.version], cursor=sightings.cursor)
        return counts

    def new(self, counts: Sequence[ObjectiveCounts]) -> list[ObjectiveCounts]:
        """Return those for which nothing was counted before."""
        known = self._known()
        return [one for one in counts if one.objective.version not in known]

    def backfill(self, new: Sequence[ObjectiveCounts], rows: StoredRows, *, upto: int, span: Span) -> None:
        """Count stored rows, which are all there is up to journal entry `upto`, into new objectives.

        The fold counts for them what comes after that entry, and nothing before it.
        """
        for counting in new:
            objective = counting.objective
            from_us = max(objective.window.period(span.now_us).from_us, span.first_us)
            cells = backfill(objective, rows, from_us, span.now_us + AHEAD_US)
            self._written(counting, cells, upto)

    def counted(self, objective: Objective, cells: Cells, *, upto: int, now_us: int) -> ObjectiveCounts:
        """Return an objective with counts that hold every entry up to `upto`, and write these."""
        counting = ObjectiveCounts(objective, now_us=now_us, group_cap=self.group_cap)
        self._written(counting, cells, upto)
        return counting

    def _written(self, counting: ObjectiveCounts, cells: Cells, upto: int) -> None:
        named = counting.ring.named(cells)
        if len(named.bucket):
            self.cells.write(counting.objective.version, MICROS_PER_MINUTE, named, upto)
        counting.load(LoadedCells(named, np.full(len(named.bucket), upto)), {}, upto)

    def note(self, counts: Sequence[ObjectiveCounts], upto: int) -> None:
        """Remember that all of these are counted, new ones up to an entry. One transaction.

        One that is dropped and comes back is counted anew: meanwhile nobody counted for it.
        """
        known = self._known()
        versions = [one.objective.version for one in counts]
        self.notes.set({NOTE: json.dumps({version: known.get(version, upto) for version in versions})})

    def _known(self) -> dict[str, int]:
        known: dict[str, int] = json.loads(self.notes.get(NOTE) or "{}")
        return known


@dataclass(frozen=True, slots=True)
class Span:
    """The time that stored facts cover: from the first one's to now. UTC microseconds."""

    first_us: int
    now_us: int

    @classmethod
    def of(cls, facts: Facts, now_us: int, tables: Collection[str] = ("requests",)) -> Span:
        """Return the span of what is stored in some tables; empty when nothing is. One query each."""
        found = [span for span in map(facts.span, tables) if span is not None]
        return cls(min((first for first, _ in found), default=now_us), now_us)
