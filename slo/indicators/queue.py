"""Queue time: the share of requests that were scheduled in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.durations import written
from slo.indicator import OUTCOME_COLUMNS, Promise, RequestIndicator, require_limits, within
from telemetry.frame import Frame


@dataclass(frozen=True, slots=True)
class QueueTime(RequestIndicator):
    """Good = first scheduled within the limit (inclusive).

    Only engines and spans see it; where it was not measured, the request is not counted. A
    client that left is judged by what had been measured. Nothing counts while in flight: a
    request under way does not tell whether it was scheduled.
    """

    limit_us: int

    kind: ClassVar[str] = "queue"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "queue_us")

    def __post_init__(self) -> None:
        require_limits(limit=self.limit_us)

    def promise(self) -> str:
        """Return the promise in words."""
        return f"scheduled within {written(self.limit_us)}"

    def kept(self, requests: Frame) -> Promise:
        """Kept or broken by the measured queue time, however the request ended."""
        return within(requests.numbers("queue_us"), self.limit_us)


INDICATOR: Final = QueueTime
