"""What indicators of samples share: a column held against a threshold, and samples that say `up`.

A sample is one reading of a GPU or an engine, once a second; each counts for one. A value that
was not measured is not counted. Counters are no values to hold against anything: refused.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Final

import numpy as np

from slo.errors import ObjectiveError
from slo.indicator import Indicator, Verdicts
from telemetry.columns import TABLE, Kind
from telemetry.frame import Frame, Mask, Numbers

_NUMERIC: Final = (Kind.INT, Kind.FLOAT, Kind.FLAG)
MOST_VALUE: Final = Decimal(2**62)


class Op(StrEnum):
    """On which side of the value a sample is good, in OpenSLO's words."""

    AT_MOST = "lte"
    BELOW = "lt"
    AT_LEAST = "gte"
    ABOVE = "gt"


_WORDS: Final[Mapping[Op, str]] = {
    Op.AT_MOST: "at most", Op.BELOW: "below", Op.AT_LEAST: "at least", Op.ABOVE: "above",
}  # fmt: skip
_COMPARE: Final[Mapping[Op, Callable[[Any, Any], Mask]]] = {
    Op.AT_MOST: np.less_equal, Op.BELOW: np.less, Op.AT_LEAST: np.greater_equal, Op.ABOVE: np.greater,
}  # fmt: skip
_WHOLE: Final[Mapping[Op, Callable[[Decimal], int]]] = {
    Op.AT_MOST: math.floor, Op.BELOW: math.ceil, Op.AT_LEAST: math.ceil, Op.ABOVE: math.floor,
}  # fmt: skip
"""The integer that divides integers as the decimal does: no integer is compared as a double."""


@dataclass(frozen=True, slots=True)
class SampleThreshold(Indicator):
    """A numeric column of samples, held against `value` by `op`."""

    column: str
    value: Decimal
    op: Op = Op.AT_MOST

    unit: ClassVar[str] = "samples"

    def __post_init__(self) -> None:
        known = _columns(self.table)
        if self.column not in known:
            close = difflib.get_close_matches(self.column, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"use one such as {', '.join(known[:5])}"
            raise ObjectiveError("column", f"{self.table} have no number {self.column!r} to compare", hint)
        if not self.value.is_finite() or abs(self.value) > MOST_VALUE:
            raise ObjectiveError("value", f"{self.value} is out of range", "write a number such as 0.9")

    def promise(self) -> str:
        """Return the promise in words: `power_watts at most 300`."""
        return f"{self.column} {_WORDS[self.op]} {self.value:f}"

    def reads(self) -> tuple[str, ...]:
        """Return the columns that `judge` reads."""
        return (*self.columns, self.column)

    def judge(self, facts: Frame) -> Verdicts:
        """Return whether each measured value is on the good side."""
        numbers = facts.numbers(self.column)
        good = numbers.valid & _COMPARE[self.op](numbers.values, self._bound(numbers))
        return Verdicts.of_rows(good, numbers.valid).among(self.counted(facts))

    def _bound(self, numbers: Numbers) -> int | float:
        whole = np.issubdtype(numbers.values.dtype, np.integer)
        return _WHOLE[self.op](self.value) if whole else float(self.value)

    def counted(self, samples: Frame) -> Mask:
        """Return the samples that are its business."""
        return np.ones(samples.rows, dtype=np.bool_)


def _columns(table: str) -> list[str]:
    """Return the columns of a table that hold a level, not a counter, an instant or a word."""
    spec = TABLE[table]
    return [
        column.name
        for column in spec.columns
        if column.kind in _NUMERIC and not column.name.endswith("_total") and column.name != spec.time_column
    ]
