"""The budget of one objective over its period: how much was left when, corrected, as its budget counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from service.counting.counts import key_text
from service.counting.rollup import minutes_from
from service.views.asking import POINTS, Asked, Queries, columns
from slo.calendars import Calendar, Period
from slo.cells import Cells, measured
from slo.corrections import Correction, Mask, corrected
from slo.evaluate import Judgement
from slo.objective import Objective
from telemetry.frame import Floats, Ints
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MILLI, MICROS_PER_MINUTE

_CELLS: Final = """
SELECT bucket_us, sum(newest.1) AS good, sum(newest.2) AS total
  FROM (SELECT bucket_us, group_key, argMax((good, total), (upto, written_at_us)) AS newest FROM count_cells
         WHERE objective_version = {version:String} AND bucket_width_us = {width_us:Int64}
           AND bucket_us >= {from_us:Int64} AND bucket_us < {to_us:Int64} AND dataset = {dataset:String}
           AND (bucket_us - {from_us:Int64}) % {width_us:Int64} = 0
           AND ({group:String} = '' OR group_key = {group:String})
         GROUP BY bucket_us, group_key)
 GROUP BY bucket_us ORDER BY bucket_us"""


def burn_down(
    store: Queries, question: Asked, judgement: Judgement, group: int | None
) -> dict[str, list[Any]]:
    """Return the share of the period's budget left at up to `POINTS` instants of it; two statements.

    It begins with all of it and only falls, by what each instant spent, to what the verdict says is
    left. `left` is drawn above zero and `over` below, so that a spent budget has a colour of its
    own. Without a group all are taken together; nothing then where slices are counted, for a slice
    is one group's.
    """
    objective = judgement.objective
    nothing: dict[str, list[Any]] = {"at": [], "left": [], "over": []}
    if group is None and objective.group_by and objective.budgeting.slice_us is not None:
        return nothing
    key = "" if group is None else key_text(judgement.counts.keys[group])
    period = _begun(objective, question.to_us)
    whole = replace(question, from_us=period.from_us, to_us=period.to_us)
    at_us, good, total = _units(store, whole, objective, key, judgement.corrections)
    if not len(at_us):
        return nothing
    left, at_us = _left(objective, at_us, good, total), np.append(at_us, period.to_us)
    shown = np.flatnonzero(np.diff(at_us // max(int(np.ptp(at_us)) // POINTS, 1), append=-1))
    kept = left[shown].tolist()
    return {
        "at": (at_us[shown] // MICROS_PER_MILLI).tolist(),
        "left": [max(value, 0.0) for value in kept],
        "over": [min(value, 0.0) for value in kept],
    }


def _begun(objective: Objective, now_us: int) -> Period:
    """Return the part of the period that counts by now: whole minutes, or slices that have ended."""
    slice_us = objective.budgeting.slice_us
    to_us = now_us // slice_us * slice_us if slice_us else now_us // MICROS_PER_MINUTE * MICROS_PER_MINUTE
    to_us += 0 if slice_us else MICROS_PER_MINUTE
    if isinstance(objective.window, Calendar):
        return Period(objective.window.period(now_us).from_us, to_us)
    return objective.window.period(to_us)


def _units(
    store: Queries, question: Asked, objective: Objective, key: str, corrections: Sequence[Correction]
) -> tuple[Ints, Ints, Ints]:
    """Return when there was what: the start of each slice, minute or old hour, and its good and total.

    The minutes of an import are kept for good, those of what is live for a month.
    """
    oldest_us = question.from_us if question.dataset else minutes_from(question.from_us, question.now_us)
    middle_us = min(oldest_us, question.to_us)
    phase_us = question.from_us % MICROS_PER_HOUR
    bound = {"version": objective.version, "group": key}
    old = _cells(store, replace(question, to_us=middle_us, width_us=MICROS_PER_HOUR), bound)
    new = _cells(store, replace(question, from_us=middle_us, width_us=MICROS_PER_MINUTE), bound)
    old = corrected(old, Mask.of(corrections, MICROS_PER_HOUR, phase_us=phase_us))
    new = measured(corrected(new, Mask.of(corrections, MICROS_PER_MINUTE)), objective)
    at_us = np.concatenate((old.bucket * MICROS_PER_HOUR + phase_us, new.bucket * MICROS_PER_MINUTE))
    return at_us, np.concatenate((old.good, new.good)), np.concatenate((old.total, new.total))


def _cells(store: Queries, question: Asked, bound: dict[str, str]) -> Cells:
    found = columns(store, _CELLS, question.bound(**bound))
    at_us, good, total = (
        np.array(found.get(name, ()), dtype=np.int64) for name in ("bucket_us", "good", "total")
    )
    return Cells.of(
        [()], group=np.zeros_like(at_us), bucket=at_us // question.width_us, good=good, total=total
    )


def _left(objective: Objective, at_us: Ints, good: Ints, total: Ints) -> Floats:
    """Return the share of the budget left before each instant and after the last, of all there surely is."""
    ahead, slice_us = 0, objective.budgeting.slice_us
    if slice_us and isinstance(objective.window, Calendar):
        end_us = objective.window.period(int(at_us[-1])).to_us
        ahead = (end_us - int(at_us[-1]) - slice_us) // slice_us * objective.budgeting.scale
    allowed = float((int(total.sum()) + ahead) * objective.budget)
    left: Floats = 1 - np.cumsum(np.append(0, total - good)) / max(allowed, 1e-9)
    return left
