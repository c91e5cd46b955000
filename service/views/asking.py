"""What a view is asked, and how it asks the facts store: columns in, JSON-ready columns out."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import pyarrow as pa

from dashboards.pages import RANGES as SHOWN
from telemetry.identity import Vantage
from telemetry.units import MICROS_PER_MILLI, MICROS_PER_MINUTE, MICROS_PER_SECOND

RANGES: Final[Mapping[str, int]] = {each.slug: each.seconds * MICROS_PER_SECOND for each in SHOWN}
POINTS: Final = 240
"""About how many points a chart gets; the store aggregates down to them."""
FILLING_US: Final = 30 * MICROS_PER_SECOND
"""How long after its end a bucket may still be waiting for rows from an agent or the block writer."""
SETTLE_US: Final = 3 * MICROS_PER_SECOND
"""How long before the newest fact counts may still grow: batches of several agents come in turn."""
FRESH_US: Final = 20 * MICROS_PER_SECOND
"""Requests under way are told of every second; one not told of for this long has ended or is lost."""
_WIDTHS_SECONDS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600)

AT_VANTAGE: Final = """vantage = transform(ifNull(pool, ''),
  {vantage_pools:Array(String)}, {vantage_words:Array(String)}, 'edge')"""
"""Requests each once: of each pool only its vantage of record."""
OF_RECORD: Final = f"NOT synthetic AND {AT_VANTAGE}"
"""Requests as users made them, each once."""

BUCKET: Final = "intDiv(at_us, {width_us:Int64}) * {width_us:Int64} AS at"
"""The start of a sample's bucket, UTC microseconds."""
PLACED: Final = """
SELECT gpu_uuid, argMax(replica, at_us) AS replica, argMax(tuple(pool), at_us).1 AS pool
  FROM placements WHERE dataset = {dataset:String} GROUP BY gpu_uuid"""
"""Where each GPU was placed last; one that never was has no row."""

_WATCHED: Final = """
SELECT DISTINCT intDiv(at_us, {width_us:Int64}) * {width_us:Int64} AS at FROM (
  SELECT at_us FROM engine_samples
   WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String}
   UNION ALL
  SELECT at_us FROM gpu_samples
   WHERE at_us >= {from_us:Int64} AND at_us < {to_us:Int64} AND dataset = {dataset:String})"""


class ViewError(ValueError):
    """A question that no view understands; the message says what is allowed."""


class Queries(Protocol):
    """What views need of the facts store."""

    def query(self, sql: str, params: Mapping[str, Any]) -> pa.Table:
        """Return the answer of a bounded, parameterised SELECT."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question: the range [from_us, to_us), the chart's bucket width, the filters.

    `pinned` = the range ends where the address says, not now. `vantages` are the pools whose
    requests count from elsewhere than the edge.
    """

    now_us: int
    from_us: int
    to_us: int
    width_us: int
    pinned: bool = False
    dataset: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)
    vantages: Mapping[str, Vantage] = field(default_factory=dict)

    def bound(self, **more: Any) -> dict[str, Any]:
        """Return the parameters that every statement of a view may use."""
        return {
            "from_us": self.from_us,
            "to_us": self.to_us,
            "width_us": self.width_us,
            "dataset": self.dataset,
            "vantage_pools": list(self.vantages),
            "vantage_words": [vantage.value for vantage in self.vantages.values()],
            **more,
        }

    def wanted(self, *names: str) -> dict[str, str]:
        """Return the filters of these names as parameters; empty text = not filtered."""
        return {name: self.filters.get(name, "") for name in names}

    @property
    def starts(self) -> range:
        """The start of every bucket of the range, UTC microseconds."""
        return range(self.from_us, self.to_us, self.width_us)

    @property
    def shift_us(self) -> int:
        """How far the period before lies back: whole buckets, so that points fall on points."""
        return len(self.starts) * self.width_us

    def before(self) -> Asked:
        """Return the same question about the period before this one."""
        shift = self.shift_us
        return replace(self, from_us=self.from_us - shift, to_us=self.to_us - shift, pinned=True)

    def at_least(self, width_us: int) -> Asked:
        """Return the same question in buckets no narrower than `width_us`, a multiple of ours or equal."""
        width = max(self.width_us, width_us)
        return replace(self, from_us=self.from_us // width * width, width_us=width)


def asked(
    now_us: int,
    range_name: str,
    filters: Mapping[str, str],
    *,
    to: str | None = None,
    vantages: Mapping[str, Vantage] | None = None,
) -> Asked:
    """Return the question of a page. Raises `ViewError` naming the ranges and forms there are.

    `to` is where the range ends, ISO 8601 such as 2026-11-21T03:00:00Z; None = now.
    """
    if range_name not in RANGES:
        raise ViewError(f"range {range_name!r}: not one of {', '.join(RANGES)}")
    length = RANGES[range_name]
    width = width_of(length)
    end = now_us // MICROS_PER_SECOND * MICROS_PER_SECOND + MICROS_PER_SECOND
    if to is not None:
        end = min(end, instant(to))
    return Asked(
        now_us=now_us,
        from_us=(end - length) // width * width,
        to_us=end,
        width_us=width,
        pinned=to is not None,
        filters=filters,
        vantages=vantages or {},
    )


def width_of(length_us: int) -> int:
    """Return how wide the buckets of a chart are that shows so much time."""
    wanted = length_us / POINTS / MICROS_PER_SECOND
    return next((w for w in _WIDTHS_SECONDS if w >= wanted), _WIDTHS_SECONDS[-1]) * MICROS_PER_SECOND


def instant(text: str) -> int:
    """Return an ISO 8601 instant as UTC microseconds, whole seconds; without a zone it is UTC.

    Raises `ViewError`.
    """
    try:
        told = datetime.fromisoformat(text)
        seconds = int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise ViewError(f"to {text!r}: not an instant; write 2026-11-21T03:00:00Z") from None
    if seconds <= RANGES["30d"] // MICROS_PER_SECOND:
        raise ViewError(f"to {text!r}: before anything was measured")
    return seconds * MICROS_PER_SECOND


def milliseconds(at_us: int | None) -> int | None:
    """Return an instant as the browser's milliseconds; None stays None."""
    return None if at_us is None else at_us // MICROS_PER_MILLI


def columns(store: Queries, sql: str, params: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return an answer as JSON-ready columns: NaN becomes None."""
    table = store.query(sql, params)
    return {name: [_plain(value) for value in table[name].to_pylist()] for name in table.column_names}


def rows(store: Queries, sql: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an answer as JSON-ready rows: NaN becomes None."""
    return [
        {name: _plain(value) for name, value in row.items()} for row in store.query(sql, params).to_pylist()
    ]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def gapless(found: Mapping[str, list[Any]], question: Asked) -> dict[str, list[Any]]:
    """Put a bucket in every place of the range, so that a gap in data is a gap in the line.

    `found["at"]` are bucket starts in microseconds; the answer's `at` is in milliseconds.
    Buckets nobody measured hold None.
    """
    place = {at: index for index, at in enumerate(found.get("at", ()))}
    filled = {
        name: [values[place[at]] if at in place else None for at in question.starts]
        for name, values in found.items()
        if name != "at"
    }
    return {"at": [at // MICROS_PER_MILLI for at in question.starts], **filled}


def counted(
    found: Mapping[str, list[Any]], question: Asked, watched: Collection[int]
) -> dict[str, list[Any]]:
    """Return counts by bucket: 0 where somebody watched and nothing came, None where nobody did.

    Buckets that are still filling are left out, so that no line falls at the end for no reason.
    """
    at = found.get("at", [])
    quiet = sorted(set(watched) - set(at))
    whole = {
        name: [*values, *(quiet if name == "at" else [0] * len(quiet))] for name, values in found.items()
    }
    newest = max([*watched, *at], default=0) + question.width_us
    if whole and newest > question.now_us - FILLING_US:
        kept = [i for i, start in enumerate(whole["at"]) if start + question.width_us <= newest - SETTLE_US]
        whole = {name: [values[i] for i in kept] for name, values in whole.items()}
    return gapless(whole, question)


def before(counter: str, window: str) -> str:
    """Return SQL of a counter's value one row earlier in a window, named `<counter>_before`."""
    return f"lagInFrame({counter}) OVER {window} AS {counter}_before"


def grown(counter: str) -> str:
    """Return SQL of what a counter grew by since the row before; after a reset, its whole value.

    NULL where either is not known; the rule is that of `telemetry.frame.increases`.
    """
    more = f"if({counter} >= {counter}_before, {counter} - {counter}_before, {counter})"
    return f"if(isNull({counter}_before), NULL, {more})"


def watched_buckets(store: Queries, question: Asked) -> set[int]:
    """Return the buckets in which any agent sent a sample. One statement."""
    return set(columns(store, _WATCHED, question.bound()).get("at", []))


def minutes_of(question: Asked) -> Asked:
    """Return the question in buckets of whole minutes, as promises are counted."""
    return question.at_least(MICROS_PER_MINUTE)
