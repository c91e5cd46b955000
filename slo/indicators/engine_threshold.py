"""Engine threshold: the share of engine samples whose value was on the good side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.samples import SampleThreshold
from telemetry.frame import Frame, Mask
from telemetry.identity import Vantage


@dataclass(frozen=True, slots=True)
class EngineThreshold(SampleThreshold):
    """Good = `column` is at most (`op: lte`), below (`lt`), at least (`gte`) or above (`gt`) `value`.

    `column` is a number of engine samples, in its own unit: `kv_usage_ratio`,
    `requests_waiting`, `oldest_waiting_us`. Each sample counts for one. Only what an engine
    says of itself counts, not a router's view of it. Not counted where it was not measured, so
    a silent engine says nothing here: that is `engine_absence`.
    """

    kind: ClassVar[str] = "engine_threshold"
    table: ClassVar[str] = "engine_samples"
    columns: ClassVar[tuple[str, ...]] = ("vantage",)

    def counted(self, samples: Frame) -> Mask:
        """Return the samples of engines themselves."""
        return samples.texts("vantage").equals(Vantage.ENGINE)


INDICATOR: Final = EngineThreshold
