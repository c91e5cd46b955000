"""Requests still in flight that are already certain to be bad: a hang burns while it hangs.

Each is counted once, at the first instant it was seen past its limit, and keyed by its id;
`cells.fold` leaves it out when it ends.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from slo.cells import Cells, counted, selected, with_ids
from slo.indicator import Verdicts
from slo.objective import Objective
from telemetry.columns import TABLE
from telemetry.frame import Frame
from telemetry.units import MICROS_PER_MINUTE

_COLUMNS = frozenset(column.name for column in TABLE["in_flight"].columns)


@dataclass(frozen=True, slots=True)
class Overdue:
    """What was counted early: the counts to add, and the ids never to count again."""

    cells: Cells
    ids: frozenset[str]


def overdue(
    in_flight: Frame,
    objective: Objective,
    counted_early: Collection[str],
    *,
    width_us: int = MICROS_PER_MINUTE,
) -> Overdue:
    """Return the newly overdue requests of an `in_flight` frame.

    Nothing is counted early for an objective that selects or groups by a column which an
    unended request does not carry: its group is not known yet.
    """
    named = {*objective.group_by, *(column for column, _ in objective.selector)}
    if not in_flight.rows or not named <= _COLUMNS:
        return Overdue(Cells.empty(), frozenset())
    users = in_flight.numbers("synthetic").values == 0
    late = users & objective.indicator.overdue(in_flight) & selected(in_flight, objective)
    rows = np.flatnonzero(late & ~with_ids(in_flight, counted_early))
    rows = rows[np.argsort(in_flight.numbers("at_us").values[rows], kind="stable")]
    ids = in_flight.texts("request_id").take(rows)
    codes, first_seen = np.unique(ids.codes, return_index=True)
    once = in_flight.take(rows[first_seen])
    bad = Verdicts(np.zeros(once.rows, dtype=np.int64), np.ones(once.rows, dtype=np.int64))
    return Overdue(
        counted(once, objective, bad, width_us=width_us), frozenset(ids.words[code] for code in codes)
    )
