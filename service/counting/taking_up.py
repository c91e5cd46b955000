"""Takes up the counts where the last process left them, and counts anew for objectives that are new."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from service.counting.checkpoints import Checkpoints, DamagedError
from service.counting.counts import (
    MINUTES_A_DAY,
    CellRows,
    LoadedCells,
    ObjectiveCounts,
    StoredRows,
    backfill,
)
from service.counting.sightings import Notes, Sightings
from service.store.facts import Facts
from slo.cells import Cells
from slo.durations import MICROS_PER_DAY
from slo.objective import Objective
from slo.ring import AHEAD_US
from telemetry.units import MICROS_PER_MINUTE

_LOG = logging.getLogger(__name__)
LATEST_US: Final = 3 * MICROS_PER_DAY
"""A cell written after a checkpoint is of a time no earlier than this before it: a fact comes up to a
day late, and may have waited in the journal besides."""
NOTE: Final = "counted_upto"
"""Objective version -> the journal entry up to which it was counted from stored rows."""


@dataclass(frozen=True, slots=True)
class Counting:
    """The durable side of counting. Used before the fold runs."""

    notes: Notes
    cells: CellRows
    group_cap: int
    checkpoints: Checkpoints | None = None

    def taken_up(
        self, objectives: Sequence[Objective], sightings: Sightings, now_us: int
    ) -> list[ObjectiveCounts]:
        """Return every objective with what was counted for it.

        From its checkpoint and the cells written since: a query each. From all cells where there is
        no checkpoint that can be used: a query for each day, so that memory is bounded by the busiest.
        """
        known, counts = self._known(), []
        for objective in objectives:
            upto = known.get(objective.version)
            if upto is None:  # cells of a backfill that was cut off are written anew by the next one
                counts.append(self._empty(objective, now_us))
                continue
            counting, starts, since = self._restored(objective, upto, sightings.cursor, now_us)
            early = sightings.early.get(objective.version, {})
            for first, end in zip(starts, [*starts[1:], None], strict=True):
                stored = self.cells.read(objective.version, MICROS_PER_MINUTE, first, end, since=since)
                counting.load(stored, early, upto, cursor=sightings.cursor)
            counts.append(counting)
        return counts

    def _empty(self, objective: Objective, now_us: int) -> ObjectiveCounts:
        return ObjectiveCounts(objective, now_us=now_us, group_cap=self.group_cap)

    def _restored(
        self, objective: Objective, whole_upto: int, cursor: int, now_us: int
    ) -> tuple[ObjectiveCounts, list[int], int]:
        """Return counts to load cells into, from which buckets on to read them, and since which entry.

        A checkpoint is of this count only from `whole_upto` on, and up to what will be told again.
        """
        counting = self._empty(objective, now_us)
        first = counting.ring.held_from_us // MICROS_PER_MINUTE
        kept = self.checkpoints.find(objective.version) if self.checkpoints else None
        if kept and whole_upto <= kept.upto <= cursor and len(kept.keys) <= self.group_cap + 1:
            try:
                counting.restore(kept)
            except (DamagedError, OSError) as error:
                _LOG.warning("checkpoint of %s is not used: %s", objective.name, error)
                counting = self._empty(objective, now_us)
            else:
                return counting, [max(first, (kept.at_us - LATEST_US) // MICROS_PER_MINUTE)], kept.upto
        return counting, list(range(first, now_us // MICROS_PER_MINUTE + 1, MINUTES_A_DAY)), -1

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
        counting = self._empty(objective, now_us)
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
