"""When budgets will be spent: `slo.forecast` over the count cells of objectives in force.

Corrections are not applied here: a corrected outage still counts towards the pace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa

from service.counting.counts import key_of, key_text
from slo.calendars import Calendar
from slo.cells import Key
from slo.forecast import WIDTH_US, Forecast, Term, forecast
from slo.objective import Objective
from telemetry.frame import Ints
from telemetry.units import MICROS_PER_MILLI, MICROS_PER_MINUTE

MOST_GROUPS: Final = 200
"""Most groups of one objective that are forecast at once."""
_SUMS: Final = """
SELECT group_key, intDiv(bucket_us - {offset_us:Int64}, {width_us:Int64}) AS at,
       sum(newest.1) AS good, sum(newest.2) AS total
  FROM (SELECT group_key, bucket_us, argMax((good, total), (upto, written_at_us)) AS newest FROM count_cells
         WHERE objective_version = {version:String} AND bucket_width_us = 60000000
           AND bucket_us >= {from_us:Int64} AND bucket_us < {to_us:Int64} AND dataset = ''
           AND has({groups:Array(String)}, group_key)
         GROUP BY group_key, bucket_us)
 GROUP BY group_key, at"""


class Queries(Protocol):
    """What this module needs of the facts store."""

    def query(self, sql: str, params: Mapping[str, Any]) -> pa.Table:
        """Return the answer of a bounded, parameterised SELECT."""
        ...


def foresee(store: Queries, objective: Objective, keys: Sequence[Key], now_us: int) -> dict[Key, Forecast]:
    """Return the forecast of each group that has been seen for long enough. One query.

    Of more than `MOST_GROUPS` keys the first ones are forecast; none for slices over an hour.
    """
    width_us = objective.budgeting.slice_us or WIDTH_US
    if not keys or WIDTH_US % width_us:
        return {}
    now_us = now_us // MICROS_PER_MINUTE * MICROS_PER_MINUTE
    if objective.budgeting.slice_us is not None:
        now_us = now_us // WIDTH_US * WIDTH_US  # slices lie on the grid of UTC
    begins_us, term = _term(objective, now_us)
    bound = {"from_us": begins_us, "to_us": now_us, "offset_us": now_us % width_us, "width_us": width_us}
    groups = [key_text(key) for key in keys[:MOST_GROUPS]]
    found = store.query(_SUMS, {**bound, "version": objective.version, "groups": groups})
    upto = now_us // width_us
    made = {key: forecast(*sums, term, now_us=now_us) for key, sums in _by_group(found, objective, upto)}
    return {key: each for key, each in made.items() if each is not None}


def row(made: Forecast) -> dict[str, Any]:
    """Return a forecast as the API answers: instants in UTC microseconds, null = not within a period."""
    return {
        "burn": made.burn,
        "seen_us": made.seen_us,
        "earliest_us": made.earliest_us,
        "likely_us": made.likely_us,
        "latest_us": made.latest_us,
    }


def band(made: Forecast) -> dict[str, list[Any]]:
    """Return the share of the budget left in time to come, as the columns of a chart."""
    return {
        "at": (made.band.at_us // MICROS_PER_MILLI).tolist(),
        "low": made.band.low.tolist(),
        "middle": made.band.middle.tolist(),
        "high": made.band.high.tolist(),
    }


def _term(objective: Objective, now_us: int) -> tuple[int, Term]:
    """Return when the running period began, and what its budget must last for."""
    period = objective.window.period(now_us)
    ends_us = period.to_us if isinstance(objective.window, Calendar) else None
    return period.from_us, Term(budget=objective.budget, period_us=objective.period_us, ends_us=ends_us)


def _by_group(found: pa.Table, objective: Objective, upto: int) -> Iterator[tuple[Key, tuple[Ints, Ints]]]:
    """Yield the (bad, total) units of each group by the hour, from its first request on."""
    names = found["group_key"].to_numpy()
    at, good, total = (found[name].to_numpy().astype(np.int64) for name in ("at", "good", "total"))
    hour = WIDTH_US // (objective.budgeting.slice_us or WIDTH_US)
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        hours = -(-(upto - int(at[rows].min())) // hour)
        sums = np.zeros((2, hours * hour), dtype=np.int64)
        place = at[rows] - upto + hours * hour
        sums[0, place], sums[1, place] = good[rows], total[rows]
        units_good, units = objective.budgeting.units(sums).reshape(2, hours, hour).sum(axis=2)
        yield key_of(str(name)), (units - units_good, units)
