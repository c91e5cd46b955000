"""Engine predicate: the share of engine samples of which a condition is true that the user writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.conditional import Conditional
from telemetry.frame import Frame, Mask
from telemetry.identity import Vantage


@dataclass(frozen=True, slots=True)
class EnginePredicate(Conditional):
    """Good = `holds` is true, bad = it is false; only samples of which `among` is true count.

    Both are [conditions](#conditions) over the columns of an engine sample, where one column
    and one value do not say it: `requests_waiting <= requests_running`, among `state ==
    'ready'`. Each sample counts for one; only what an engine says of itself counts, not a
    router's view of it. What was not measured makes a condition unknown, and then it is not
    counted.
    """

    kind: ClassVar[str] = "engine_predicate"
    table: ClassVar[str] = "engine_samples"
    unit: ClassVar[str] = "samples"
    columns: ClassVar[tuple[str, ...]] = ("vantage",)

    def counted(self, facts: Frame) -> Mask:
        """Return the samples of engines themselves."""
        return facts.texts("vantage").equals(Vantage.ENGINE)


INDICATOR: Final = EnginePredicate
