"""GPU threshold: the share of GPU samples whose value was on the good side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.samples import SampleThreshold


@dataclass(frozen=True, slots=True)
class GpuThreshold(SampleThreshold):
    """Good = `column` is at most (`op: lte`), below (`lt`), at least (`gte`) or above (`gt`) `value`.

    `column` is a number of GPU samples, in its own unit: `temperature_celsius`, `power_watts`.
    Each sample counts for one. Not counted where it was not measured, so a lost GPU says
    nothing here: that is `gpu_absence`.
    """

    kind: ClassVar[str] = "gpu_threshold"
    table: ClassVar[str] = "gpu_samples"
    columns: ClassVar[tuple[str, ...]] = ()


INDICATOR: Final = GpuThreshold
