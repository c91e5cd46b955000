"""GPU predicate: the share of GPU samples of which a condition is true that the user writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.conditional import Conditional


@dataclass(frozen=True, slots=True)
class GpuPredicate(Conditional):
    """Good = `holds` is true, bad = it is false; only samples of which `among` is true count.

    Both are [conditions](#conditions) over the columns of a GPU sample, where one column and
    one value do not say it: `memory_used_bytes < 0.95 * memory_total_bytes`. Each sample counts
    for one. What was not measured makes a condition unknown, and then it is not counted.
    """

    kind: ClassVar[str] = "gpu_predicate"
    table: ClassVar[str] = "gpu_samples"
    unit: ClassVar[str] = "samples"
    columns: ClassVar[tuple[str, ...]] = ()


INDICATOR: Final = GpuPredicate
