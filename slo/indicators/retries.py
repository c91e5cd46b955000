"""Retry share: the share of requests that were not repetitions of an earlier attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.indicator import OUTCOME_COLUMNS, Indicator, Verdicts, answerable
from telemetry.frame import Frame


@dataclass(frozen=True, slots=True)
class Retries(Indicator):
    """Good = a first attempt; bad = one that repeats an earlier attempt (`retry` above 0).

    How an attempt ended plays no part: a failure is bad in `availability`, its repetition here.
    """

    kind: ClassVar[str] = "retries"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "retry")

    def promise(self) -> str:
        """Return the promise in words."""
        return "not repeated after an earlier attempt"

    def judge(self, facts: Frame) -> Verdicts:
        """Return whether each attempt was the first."""
        asked = answerable(facts)
        return Verdicts.of_rows(asked & (facts.numbers("retry").values <= 0), asked)


INDICATOR: Final = Retries
