"""TTFT: the share of requests whose first token came in time, queueing included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.durations import written
from slo.indicator import (
    OUTCOME_COLUMNS,
    Promise,
    RequestIndicator,
    left_without_token,
    require_limits,
    waiting_us,
    within,
)
from telemetry.frame import Frame, Mask


@dataclass(frozen=True, slots=True)
class Ttft(RequestIndicator):
    """Good = first token within the limit (inclusive).

    A client that left before any token is bad if it had waited longer than the limit, else
    not counted: whether the token would have come in time is not known. A request still in
    flight counts bad the instant it has waited longer than the limit; an answer that comes
    whole has no first token that could be late.
    """

    limit_us: int

    kind: ClassVar[str] = "ttft"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "stream", "vantage", "ttft_us", "e2e_us")

    def __post_init__(self) -> None:
        require_limits(limit=self.limit_us)

    def promise(self) -> str:
        """Return the promise in words."""
        return f"first token within {written(self.limit_us)}"

    def kept(self, requests: Frame) -> Promise:
        """Kept or broken by the measured TTFT; broken by a client that waited in vain."""
        measured = within(requests.numbers("ttft_us"), self.limit_us)
        in_vain = left_without_token(requests) & (requests.numbers("e2e_us").values > self.limit_us)
        return Promise(measured.kept, measured.broken | in_vain)

    def overdue(self, in_flight: Frame) -> Mask:
        """Bad for certain: the first token came late, or is still missing past the limit."""
        late = within(in_flight.numbers("ttft_us"), self.limit_us).broken
        return late | within(waiting_us(in_flight), self.limit_us).broken


INDICATOR: Final = Ttft
