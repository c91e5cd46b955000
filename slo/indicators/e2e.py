"""End-to-end latency: the share of requests that were answered whole in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.durations import written
from slo.indicator import OUTCOME_COLUMNS, Promise, RequestIndicator, ended_well, require_limits, within
from telemetry.frame import Frame, Mask


@dataclass(frozen=True, slots=True)
class EndToEnd(RequestIndicator):
    """Good = ended well within the limit (inclusive).

    A client that left is bad if it left after the limit, else not counted. A request still in
    flight counts bad the instant it crosses the limit.
    """

    limit_us: int

    kind: ClassVar[str] = "e2e"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "e2e_us")

    def __post_init__(self) -> None:
        require_limits(limit=self.limit_us)

    def promise(self) -> str:
        """Return the promise in words."""
        return f"whole answer within {written(self.limit_us)}"

    def kept(self, requests: Frame) -> Promise:
        """Kept by a whole answer in time; broken by any that took longer."""
        timed = within(requests.numbers("e2e_us"), self.limit_us)
        return Promise(timed.kept & ended_well(requests), timed.broken)

    def overdue(self, in_flight: Frame) -> Mask:
        """Bad for certain: not ended when the limit is over."""
        elapsed_us = in_flight.numbers("at_us").values - in_flight.numbers("started_at_us").values
        overdue: Mask = elapsed_us > self.limit_us
        return overdue


INDICATOR: Final = EndToEnd
