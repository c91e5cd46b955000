"""Availability by token: the share of output tokens that came in answers without failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.indicator import Indicator, Verdicts, require_count, tokens_given
from slo.indicators.availability import Availability
from telemetry.frame import Frame


@dataclass(frozen=True, slots=True)
class TokenAvailability(Indicator):
    """Good = the tokens of a request that ended without failure.

    Each request has the verdict of `availability` and weighs as many as the output tokens it
    gave. A failed one is bad with all it had given, and weighs at least `failure_tokens`, so
    that an outage before any first token is not silence. A client that left says nothing; an
    answer whose tokens nobody counted weighs nothing. Nothing counts while in flight: how much
    a request weighs is known at its end.
    """

    failure_tokens: int = 1

    kind: ClassVar[str] = "token_availability"
    unit: ClassVar[str] = "tokens"
    columns: ClassVar[tuple[str, ...]] = (*Availability.columns, "output_tokens")

    def __post_init__(self) -> None:
        require_count(failure_tokens=self.failure_tokens)

    def promise(self) -> str:
        """Return the promise in words."""
        return "in answers without failure"

    def judge(self, facts: Frame) -> Verdicts:
        """Return the verdicts of availability, in tokens."""
        return Availability().judge(facts).weighed(tokens_given(facts, self.failure_tokens))


INDICATOR: Final = TokenAvailability
