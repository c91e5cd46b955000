"""Engine absence: the share of engine samples in which the engine answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.indicator import Indicator, Verdicts
from telemetry.frame import Frame
from telemetry.identity import Vantage


@dataclass(frozen=True, slots=True)
class EngineAbsence(Indicator):
    """Good = the engine answered; bad = it did not (`up` false).

    Each sample counts for one; an agent tells of a silent engine once a second, with its
    identity. Only samples of engines themselves count, not a router's view of them. While the
    agent itself is silent nothing is known of its engines, and nothing counts: the alert
    `agent_silent` and `gpu_absence` tell of it.
    """

    kind: ClassVar[str] = "engine_absence"
    table: ClassVar[str] = "engine_samples"
    unit: ClassVar[str] = "samples"
    columns: ClassVar[tuple[str, ...]] = ("up", "vantage")

    def promise(self) -> str:
        """Return the promise in words."""
        return "engine answers"

    def judge(self, facts: Frame) -> Verdicts:
        """Return whether each sample found its engine."""
        own = facts.texts("vantage").equals(Vantage.ENGINE)
        return Verdicts.of_rows(own & (facts.numbers("up").values != 0), own)


INDICATOR: Final = EngineAbsence
