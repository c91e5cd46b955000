"""Minutes become hours: what is left of the counts when the cells of single minutes have expired.

Hour cells hold what the objective's budget counts, requests or slices, uncorrected, as absolute
values: rolling the same hours up again, with what came late, replaces them. Those of a calendar
objective begin where its period does, so that a period is whole hours in every time zone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from service.counting.counts import CellRows
from service.counting.sightings import Notes
from slo.calendars import Calendar
from slo.cells import Cells, measured
from slo.durations import MICROS_PER_DAY
from slo.objective import Objective
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE

NOTE: Final = "rolled_up"
"""Objective version -> when its minutes were last rolled up."""

LATE_US: Final = 26 * MICROS_PER_HOUR
"""Facts come at most a day late: what is older than this had all its facts when it was rolled up."""

MINUTES_US: Final = 34 * MICROS_PER_DAY
"""How far back the cells of single minutes are surely there."""


@dataclass(frozen=True, slots=True)
class RollUp:
    """Rolls the counts of objectives up, and remembers how far."""

    cells: CellRows
    notes: Notes

    def step(
        self, objectives: Iterable[Objective], *, upto: int, now_us: int, first_us: int | None = None
    ) -> int:
        """Write the hour cells of what may have changed since the last time; return how many.

        `upto` is a journal entry that the minute cells hold already; `first_us` is how far back the
        minutes reach of an objective that was never rolled up, None = no further than late facts
        do. Two statements an objective and day.
        """
        never_us = now_us if first_us is None else first_us
        last: dict[str, int] = json.loads(self.notes.get(NOTE) or "{}")
        written, rolled = 0, {}
        for objective in objectives:
            from_us = last.get(objective.version, never_us) - LATE_US
            written += self._roll(objective, from_us, now_us, upto)
            rolled[objective.version] = now_us
        self.notes.set({NOTE: json.dumps({**last, **rolled})})
        return written

    def _roll(self, objective: Objective, from_us: int, now_us: int, upto: int) -> int:
        phase_us, written = phase(objective, now_us), 0
        step_us = max(MICROS_PER_HOUR, objective.budgeting.slice_us or 0)
        begin_us = (from_us - phase_us) // step_us * step_us + phase_us
        for start_us in range(begin_us, now_us + step_us, MICROS_PER_DAY):
            first, last = (at // MICROS_PER_MINUTE for at in (start_us, start_us + MICROS_PER_DAY))
            minutes = self.cells.read(objective.version, MICROS_PER_MINUTE, first, last).cells
            hours = hourly(measured(minutes, objective), phase_us)
            if len(hours.bucket):
                self.cells.write(objective.version, MICROS_PER_HOUR, hours, upto, phase_us=phase_us)
                written += len(hours.bucket)
        return written


def phase(objective: Objective, at_us: int) -> int:
    """Return how long after a whole hour the hour cells of an objective begin."""
    window = objective.window
    return window.period(at_us).from_us % MICROS_PER_HOUR if isinstance(window, Calendar) else 0


def minutes_from(from_us: int, now_us: int) -> int:
    """Return from when on a period that begins at `from_us` is to be read by minutes; before it, by hours.

    Hours of the period's own: it is a whole number of them after `from_us`, or that itself.
    """
    phase_us = from_us % MICROS_PER_HOUR
    return max(from_us, (now_us - MINUTES_US - phase_us) // MICROS_PER_HOUR * MICROS_PER_HOUR + phase_us)


def hourly(minutes: Cells, phase_us: int = 0) -> Cells:
    """Return counts by minute as counts by hour, the hours beginning so long after whole ones."""
    wide, late = MICROS_PER_HOUR // MICROS_PER_MINUTE, phase_us // MICROS_PER_MINUTE
    return Cells.of(
        minutes.keys,
        group=minutes.group,
        bucket=(minutes.bucket - late) // wide,
        good=minutes.good,
        total=minutes.total,
    )
