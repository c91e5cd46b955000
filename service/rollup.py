"""Minutes become hours: what is left of the counts when the cells of single minutes have expired.

Hour cells hold absolute values like those of minutes, so rolling the same hours up again, with
what came late, replaces them. Facts come at most 24 hours late, so the last `SPAN_US` will do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from service.counts import CellRows
from slo.cells import Cells
from slo.objective import Objective
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE

SPAN_US: Final = 26 * MICROS_PER_HOUR
_MINUTES: Final = MICROS_PER_HOUR // MICROS_PER_MINUTE


def roll_up(cells: CellRows, objectives: Iterable[Objective], *, upto: int, now_us: int) -> int:
    """Write the hour cells of the last `SPAN_US` of each objective; return how many were written.

    `upto` is a journal entry that the minute cells hold already. Two statements an objective.
    """
    first_hour = (now_us - SPAN_US) // MICROS_PER_HOUR
    written = 0
    for objective in objectives:
        minutes = cells.read(objective.version, MICROS_PER_MINUTE, first_hour * _MINUTES).cells
        hours = hourly(minutes)
        if len(hours.bucket):
            cells.write(objective.version, MICROS_PER_HOUR, hours, upto)
            written += len(hours.bucket)
    return written


def hourly(minutes: Cells) -> Cells:
    """Return counts by minute as counts by hour."""
    return Cells.of(
        minutes.keys,
        group=minutes.group,
        bucket=minutes.bucket // _MINUTES,
        good=minutes.good,
        total=minutes.total,
    )
