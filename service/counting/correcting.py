"""Corrections put into force: every objective counts without what is left out, from the next tick on.

The counts of one objective are corrected anew when what is left out of them changes: a correction
was added or ended, or a recurring one came nearer. What a calendar period held before the ring is
then read back from the stored cells, by minutes as far as they are kept whole, by hours before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from service.counting.counts import CellRows, ObjectiveCounts
from service.counting.fold import Fold
from service.counting.rollup import minutes_from
from service.objectives.corrections import NamedCorrection, when_of
from service.objectives.recurrence import dated
from service.store.corrections import Ending, StoredCorrection
from service.store.errors import StoreError
from slo.calendars import Period
from slo.cells import Cells, measured, merge
from slo.corrections import Correction, Mask, corrected
from slo.durations import MICROS_PER_DAY
from slo.objective import Objective
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND

_LOG = logging.getLogger(__name__)
FILES: Final = "files"
"""Who asks for a correction that a file says."""

MONTH_US: Final = 30 * MICROS_PER_DAY
LOOK_BACK_US: Final = 400 * MICROS_PER_DAY
LOOK_AHEAD_US: Final = 2 * MICROS_PER_HOUR
"""Recurring corrections are dated so far ahead, anew every hour."""


Asked = Mapping[str, Sequence[NamedCorrection]]
"""File -> the corrections it asks for."""


class CorrectionRows(Protocol):
    """What correcting needs of the state store."""

    def listed(self) -> list[StoredCorrection]:
        """Return every correction there ever was."""
        ...

    def replace(self, added: Sequence[StoredCorrection], ended: Mapping[str, Ending]) -> None:
        """Keep some and end others, by id, in one transaction."""
        ...


class CorrectionFiles(Protocol):
    """What correcting needs of the watched files."""

    @property
    def corrections(self) -> Asked:
        """Return what the files ask for now."""
        ...


class Correcting:
    """Keeps the counts of a fold corrected. `step` belongs to one thread."""

    def __init__(
        self,
        rows: CorrectionRows,
        files: CorrectionFiles,
        fold: Fold,
        cells: CellRows,
        clock: Callable[[], int],
    ) -> None:
        self._rows, self._files, self._fold, self._cells, self._clock = rows, files, fold, cells, clock
        self._heard: Asked | None = None
        self._known: tuple[list[StoredCorrection], int] = ([], -1)
        self._of_all: tuple[Correction, ...] = ()
        self._of: dict[str, tuple[Correction, ...]] = {}

    def step(self) -> None:
        """Correct the counts for which something has changed. One query; more where a calendar changes.

        Raises `StoreError`; counts that were corrected before keep that while their cells cannot be read.
        """
        now_us = self._clock()
        self._hear(now_us)
        self._date(now_us)
        for counts in self._fold.counts:
            wanted = self.of(counts.objective.name)
            if counts.corrections is wanted or counts.corrections == wanted:
                continue
            try:
                self._correct(counts, wanted, now_us)
            except StoreError as error:
                if counts.corrections is None:
                    raise  # judged by nothing yet: better not at all than without what is left out
                _LOG.warning("corrections of %s are not in force yet: %s", counts.objective.name, error)

    def of(self, objective: str) -> tuple[Correction, ...]:
        """Return the corrections in force for an objective of this name, whether there is one or not."""
        return self._of.get(objective, self._of_all)

    def _correct(self, counts: ObjectiveCounts, wanted: tuple[Correction, ...], now_us: int) -> None:
        with self._fold.lock:
            period, until_us = counts.ring.period, counts.ring.held_from_us
        older = Cells.empty()
        if period is not None:
            before = Period(period.from_us, until_us)
            older = units_before(self._cells, counts.objective, wanted, before, now_us=now_us)
        with self._fold.lock:
            if counts.ring.period == period:  # else another period began meanwhile: again at the next step
                counts.correct(wanted, older, until_us)

    def _hear(self, now_us: int) -> None:
        """Keep what files ask for, and end what they no longer do; once for each change."""
        asked = self._files.corrections
        if asked != self._heard:
            added, ended = changes(asked, self._rows.listed(), now_us)
            if added or ended:
                self._rows.replace(added, ended)
            self._heard = asked

    def _date(self, now_us: int) -> None:
        """Date every correction anew, where there are others or an hour has passed."""
        known = (self._rows.listed(), now_us // MICROS_PER_HOUR)
        if known == self._known:
            return
        of_all: list[Correction] = []
        of: dict[str, list[Correction]] = {}
        for each in known[0]:
            times = intervals(each, now_us - LOOK_BACK_US, now_us + LOOK_AHEAD_US)
            for name in each.objectives:
                of.setdefault(name, []).extend(times)
            of_all.extend(() if each.objectives else times)
        self._of_all = tuple(sorted(of_all))
        self._of = {name: tuple(sorted((*times, *of_all))) for name, times in of.items()}
        self._known = known


def intervals(stored: StoredCorrection, from_us: int, to_us: int) -> tuple[Correction, ...]:
    """Return the dated times of a correction that touch [from_us, to_us), as far as it was not ended."""
    until_us = to_us if stored.until_us is None else stored.until_us
    return tuple(
        Correction(begin_us, end_us if stored.until_us is None else min(end_us, until_us), stored.excluded)
        for begin_us, end_us in dated(when_of(stored), from_us, min(until_us, to_us))
    )


def changes(
    asked: Asked, stored: Sequence[StoredCorrection], now_us: int
) -> tuple[list[StoredCorrection], dict[str, Ending]]:
    """Return what to keep and what to end, so that what stands is what files ask for.

    One that left its file has ended now; one that was changed is withdrawn, for its file says that
    it was never so. What the API was given is not touched.
    """
    standing = {
        each.id.rpartition("-")[0]: each for each in stored if each.source and each.ended_at_us is None
    }
    wanted = {each.id: (file, each) for file, named in asked.items() for each in named}
    names = {each.name for _, each in wanted.values()}
    added = [
        each.asked.stored(f"{key}-{now_us // MICROS_PER_SECOND}", by=FILES, at_us=now_us, source=file)
        for key, (file, each) in wanted.items()
        if key not in standing
    ]
    ended = {}
    for key, each in standing.items():
        if key not in wanted:
            changed = key.rpartition("-")[0] in names
            why = "its file says otherwise now" if changed else "its file no longer says so"
            ended[each.id] = Ending(FILES, now_us, why, 0 if changed else now_us)
    return added, ended


def units_before(
    cells: CellRows, objective: Objective, corrections: Sequence[Correction], before: Period, *, now_us: int
) -> Cells:
    """Return what an objective's budget counts in the stored cells of a time, corrected and summed up.

    Exact to the minute for the last 34 days; of what is older a correction acts on whole hours, and
    leaves out bad slices where it leaves out bad requests. Reads a day of minutes, or a month of
    hours, at a time.
    """
    phase_us = before.from_us % MICROS_PER_HOUR
    middle_us = min(minutes_from(before.from_us, now_us), before.to_us)
    mask, parts = Mask.of(corrections, MICROS_PER_MINUTE), [Cells.empty()]
    for start_us in range(middle_us, before.to_us, MICROS_PER_DAY):
        end_us = min(start_us + MICROS_PER_DAY, before.to_us)
        ends = (at // MICROS_PER_MINUTE for at in (start_us, end_us))
        minutes = cells.read(objective.version, MICROS_PER_MINUTE, *ends).cells
        parts.append(_summed(measured(corrected(minutes, mask), objective)))
    mask = Mask.of(corrections, MICROS_PER_HOUR, phase_us=phase_us)
    for start_us in range(before.from_us, middle_us, MONTH_US):
        ends = (at // MICROS_PER_HOUR for at in (start_us, min(start_us + MONTH_US, middle_us)))
        hours = cells.read(objective.version, MICROS_PER_HOUR, *ends, phase_us=phase_us).cells
        parts.append(_summed(corrected(hours, mask)))
    return merge(parts)


def _summed(cells: Cells) -> Cells:
    """Return counts without their time: one bucket a group."""
    return Cells.of(
        cells.keys, group=cells.group, bucket=np.zeros_like(cells.bucket), good=cells.good, total=cells.total
    )
