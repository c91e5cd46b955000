"""Availability: the share of requests that were answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from slo.durations import written
from slo.indicator import (
    OUTCOME_COLUMNS,
    Promise,
    RequestIndicator,
    ended_well,
    left_without_token,
    require_limits,
    waiting_us,
    within,
)
from telemetry.frame import Frame, Mask


@dataclass(frozen=True, slots=True)
class Availability(RequestIndicator):
    """Good = ended without failure.

    An aborted request says nothing about the service and is not counted, unless `patience` is
    set: then whoever waits longer than that for the first token of a stream has been let down.
    It counts bad at that instant, and whether the token came after all or the client left.
    """

    patience_us: int | None = None

    kind: ClassVar[str] = "availability"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "stream", "vantage", "ttft_us", "e2e_us")

    def __post_init__(self) -> None:
        require_limits(patience=self.patience_us)

    def promise(self) -> str:
        """Return the promise in words."""
        if self.patience_us is None:
            return "answered without failure"
        return f"answered without failure, nobody kept waiting over {written(self.patience_us)}"

    def kept(self, requests: Frame) -> Promise:
        """Kept by a request that ended well, broken by a wait beyond patience."""
        if self.patience_us is None:
            return Promise(ended_well(requests), np.zeros(requests.rows, dtype=np.bool_))
        streamed = requests.numbers("stream").values != 0
        late = streamed & within(requests.numbers("ttft_us"), self.patience_us).broken
        lost = left_without_token(requests) & (requests.numbers("e2e_us").values > self.patience_us)
        return Promise(ended_well(requests) & ~late, late | lost)

    def overdue(self, in_flight: Frame) -> Mask:
        """Bad for certain: the first token came too late, or is missing when the patience is over."""
        if self.patience_us is None:
            return np.zeros(in_flight.rows, dtype=np.bool_)
        streamed = in_flight.numbers("stream").values != 0
        late: Mask = streamed & within(in_flight.numbers("ttft_us"), self.patience_us).broken
        return late | within(waiting_us(in_flight), self.patience_us).broken


INDICATOR: Final = Availability
