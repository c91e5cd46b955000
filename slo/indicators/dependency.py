"""Dependency latency: the share of requests that did not wait long for something outside the engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from slo.durations import written
from slo.indicator import OUTCOME_COLUMNS, Promise, RequestIndicator, require_limits, within
from telemetry.frame import Frame


class Waited(StrEnum):
    """What a request waited for: anything outside the engine (retrieval, KV store), or tool calls."""

    DEPENDENCY = "dependency"
    TOOL_CALL = "tool_call"


@dataclass(frozen=True, slots=True)
class DependencyLatency(RequestIndicator):
    """Good = waited at most the limit (inclusive) for what `of` names.

    Only what traced it knows it: where it was not measured, the request is not counted. A
    client that left is judged by what had been measured; nothing counts while in flight.
    """

    limit_us: int
    of: Waited = Waited.DEPENDENCY

    kind: ClassVar[str] = "dependency"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "dependency_us", "tool_call_us")

    def __post_init__(self) -> None:
        require_limits(limit=self.limit_us)

    def promise(self) -> str:
        """Return the promise in words."""
        waited = "dependencies" if self.of is Waited.DEPENDENCY else "tool calls"
        return f"at most {written(self.limit_us)} in {waited}"

    def kept(self, requests: Frame) -> Promise:
        """Kept or broken by the measured wait, however the request ended."""
        return within(requests.numbers(f"{self.of}_us"), self.limit_us)


INDICATOR: Final = DependencyLatency
