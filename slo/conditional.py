"""What indicators share whose rule the user writes: a condition, among rows of which another is true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slo.errors import ObjectiveError
from slo.expression import Expression, ExpressionError, expression
from slo.indicator import Indicator, Verdicts
from telemetry.frame import Frame, Mask

_EVERY = "True"


@dataclass(frozen=True, slots=True)
class Conditional(Indicator):
    """Good = `holds` is true, bad = it is false; only rows of which `among` is true count.

    Unknown is neither: what was not measured is not counted.
    """

    holds: str
    among: str = _EVERY

    def __post_init__(self) -> None:
        self._conditions()

    def _conditions(self) -> tuple[Expression, Expression]:
        return self._read("holds", self.holds), self._read("among", self.among)

    def _read(self, name: str, text: str) -> Expression:
        try:
            return expression(text, self.table)
        except ExpressionError as error:
            raise ObjectiveError(name, error.cause, error.hint) from None

    def promise(self) -> str:
        """Return the promise in words: the conditions as they were written."""
        return self.holds if self.among == _EVERY else f"{self.holds} (of those with {self.among})"

    def reads(self) -> tuple[str, ...]:
        """Return the columns that the conditions name, and those that all of its kind read."""
        holds, among = self._conditions()
        return tuple(dict.fromkeys((*self.columns, *holds.columns, *among.columns)))

    def judge(self, facts: Frame) -> Verdicts:
        """Return whether the condition is true of each row that counts."""
        holds, among = (condition.of(facts) for condition in self._conditions())
        rows = among.kept & self.counted(facts)
        return Verdicts.of_rows(rows & holds.kept, rows & (holds.kept | holds.broken))

    def counted(self, facts: Frame) -> Mask:
        """Return the rows that are its business, whatever the user writes."""
        return np.ones(facts.rows, dtype=np.bool_)
