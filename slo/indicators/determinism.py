"""Determinism: the share of probes that were given the same answer again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.indicator import Indicator, Verdicts, ended_well
from telemetry.frame import Frame
from telemetry.requests import DETERMINISM_PROBE, OTHER_ANSWER


@dataclass(frozen=True, slots=True)
class Determinism(Indicator):
    """Good = a probe's answer was the one its prompt was first given; bad = it was another one.

    A probe sends one prompt again and again at temperature 0 and compares the answers where it
    runs; it tells of each as a synthetic request of workload `determinism`, with the error
    class `other_answer` where it differed (`inferometer probe`). The first answer is what the
    others are compared with and is not counted, nor is a probe that failed or was cut off: that
    is availability. No user's request counts.
    """

    kind: ClassVar[str] = "determinism"
    unit: ClassVar[str] = "probes"
    columns: ClassVar[tuple[str, ...]] = ("synthetic", "status", "workload", "error_class")

    def promise(self) -> str:
        """Return the promise in words."""
        return "same answer to the same prompt"

    def judge(self, facts: Frame) -> Verdicts:
        """Return whether each probe was answered as before."""
        probes = ended_well(facts) & (facts.numbers("synthetic").values != 0)
        probes &= facts.texts("workload").equals(DETERMINISM_PROBE)
        return Verdicts.of_rows(probes & ~facts.texts("error_class").equals(OTHER_ANSWER), probes)


INDICATOR: Final = Determinism
