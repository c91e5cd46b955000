"""GPU absence: the share of GPU samples in which the GPU answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from slo.indicator import Indicator, Verdicts
from telemetry.frame import Frame


@dataclass(frozen=True, slots=True)
class GpuAbsence(Indicator):
    """Good = the GPU answered; bad = its driver did not (`up` false), or nothing was heard of it.

    Each sample counts for one; an agent tells of a lost GPU once a second, with its identity.
    A GPU of which nothing is heard for longer than the service's `sample_lag_seconds`, its agent
    silent or no longer telling of it, has one bad sample for each second since it was last heard
    (an agent that was stopped, a revoked token and a retired GPU end the expectation). What was
    sampled then and comes late counts beside those: it was missing when it was due.
    """

    kind: ClassVar[str] = "gpu_absence"
    table: ClassVar[str] = "gpu_samples"
    unit: ClassVar[str] = "samples"
    columns: ClassVar[tuple[str, ...]] = ("up",)

    def promise(self) -> str:
        """Return the promise in words."""
        return "GPU answers"

    def judge(self, facts: Frame) -> Verdicts:
        """Return whether each sample found its GPU."""
        return Verdicts.of_rows(facts.numbers("up").values != 0, np.ones(facts.rows, dtype=np.bool_))


INDICATOR: Final = GpuAbsence
