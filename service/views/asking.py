"""What a view is asked, and how it asks the facts store: columns in, JSON-ready columns out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pyarrow as pa

from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MILLI, MICROS_PER_MINUTE, MICROS_PER_SECOND

RANGES: Final[Mapping[str, int]] = {
    "15m": 15 * MICROS_PER_MINUTE,
    "1h": MICROS_PER_HOUR,
    "6h": 6 * MICROS_PER_HOUR,
    "1d": 24 * MICROS_PER_HOUR,
    "7d": 168 * MICROS_PER_HOUR,
    "30d": 720 * MICROS_PER_HOUR,
}
POINTS: Final = 240
"""About how many points a chart gets; the store aggregates down to them."""
_WIDTHS_SECONDS: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600)


class ViewError(ValueError):
    """A question that no view understands; the message says what is allowed."""


class Queries(Protocol):
    """What views need of the facts store."""

    def query(self, sql: str, params: Mapping[str, Any]) -> pa.Table:
        """Return the answer of a bounded, parameterised SELECT."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question: the range [from_us, to_us), the chart's bucket width, the filters."""

    now_us: int
    from_us: int
    to_us: int
    width_us: int
    dataset: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)

    def bound(self, **more: Any) -> dict[str, Any]:
        """Return the parameters that every statement of a view may use."""
        return {
            "from_us": self.from_us,
            "to_us": self.to_us,
            "width_us": self.width_us,
            "dataset": self.dataset,
            **more,
        }


def asked(now_us: int, range_name: str, filters: Mapping[str, str]) -> Asked:
    """Return the question of a page. Raises `ViewError` naming the ranges there are."""
    if range_name not in RANGES:
        raise ViewError(f"range {range_name!r}: not one of {', '.join(RANGES)}")
    length = RANGES[range_name]
    wanted = length / POINTS / MICROS_PER_SECOND
    width = next((w for w in _WIDTHS_SECONDS if w >= wanted), _WIDTHS_SECONDS[-1]) * MICROS_PER_SECOND
    end = now_us // MICROS_PER_SECOND * MICROS_PER_SECOND + MICROS_PER_SECOND
    start = (end - length) // width * width
    return Asked(now_us=now_us, from_us=start, to_us=end, width_us=width, filters=filters)


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


def gapless(found: dict[str, list[Any]], question: Asked, *, empty: Any = None) -> dict[str, list[Any]]:
    """Put a bucket in every place of the range, so that a gap in data is a gap in the line.

    `found["at"]` are bucket starts in microseconds; the answer's `at` is in milliseconds.
    Buckets nobody measured hold `empty`: None, or 0 for counts of what was watched.
    """
    place = {at: index for index, at in enumerate(found["at"])}
    starts = range(question.from_us, question.to_us, question.width_us)
    filled = {
        name: [values[place[at]] if at in place else empty for at in starts]
        for name, values in found.items()
        if name != "at"
    }
    return {"at": [at // MICROS_PER_MILLI for at in starts], **filled}
