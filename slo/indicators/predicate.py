"""Predicate: the share of requests of which a condition is true that the user writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.errors import ObjectiveError
from slo.expression import Expression, ExpressionError, expression
from slo.indicator import Indicator, Verdicts
from telemetry.frame import Frame


@dataclass(frozen=True, slots=True)
class Predicate(Indicator):
    """Good = `holds` is true, bad = it is false; only requests of which `among` is true count.

    Both are conditions over the columns of a request: `ttft_us <= 2_000_000 and finish !=
    'length'`. What was not measured makes a condition unknown, and then the request is not
    counted; `is None` asks for it. How a request ended plays no part but what the conditions
    say of it: only our own probes are always left out. Nothing counts while in flight.
    """

    holds: str
    among: str = "True"

    kind: ClassVar[str] = "predicate"
    columns: ClassVar[tuple[str, ...]] = ("synthetic",)

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
        """Return the promise in words."""
        return self.holds if self.among == "True" else f"{self.holds} (of those with {self.among})"

    def reads(self) -> tuple[str, ...]:
        """Return the columns that the conditions name."""
        holds, among = self._conditions()
        return tuple(dict.fromkeys((*self.columns, *holds.columns, *among.columns)))

    def judge(self, facts: Frame) -> Verdicts:
        """Return whether the condition is true of each request that counts."""
        holds, among = (condition.of(facts) for condition in self._conditions())
        rows = among.kept & (facts.numbers("synthetic").values == 0)
        return Verdicts.of_rows(rows & holds.kept, rows & (holds.kept | holds.broken))


INDICATOR: Final = Predicate
