"""Joint goodput: the share of requests that kept every limit at once.

The verdict of vLLM's `--goodput` on each request: limits inclusive, a failed request never
good, an answer of at most one token passes TPOT. Two histograms cannot tell it; only the
request itself can.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from slo.errors import ObjectiveError
from slo.indicator import Promise, RequestIndicator, require_limits
from slo.indicators.e2e import EndToEnd
from slo.indicators.tpot import Tpot
from slo.indicators.ttft import Ttft
from telemetry.frame import Frame, Mask


@dataclass(frozen=True, slots=True)
class Goodput(RequestIndicator):
    """Good = ended well and within each given limit; None = no such limit.

    Bad if any limit is broken, even when another was not measured; not counted if none is
    known to be broken and one is not known to be kept.
    """

    ttft_us: int | None = None
    tpot_us: int | None = None
    e2e_us: int | None = None

    kind: ClassVar[str] = "goodput"
    columns: ClassVar[tuple[str, ...]] = tuple(dict.fromkeys(Ttft.columns + Tpot.columns + EndToEnd.columns))

    def __post_init__(self) -> None:
        require_limits(ttft=self.ttft_us, tpot=self.tpot_us, e2e=self.e2e_us)
        if not self._parts():
            raise ObjectiveError("indicator", "goodput without a limit", "give ttft, tpot or e2e")

    def _parts(self) -> list[RequestIndicator]:
        given = ((Ttft, self.ttft_us), (Tpot, self.tpot_us), (EndToEnd, self.e2e_us))
        return [part(limit_us) for part, limit_us in given if limit_us is not None]

    def promise(self) -> str:
        """Return the promise in words."""
        return ", ".join(part.promise() for part in self._parts())

    def kept(self, requests: Frame) -> Promise:
        """Kept if every part is kept, broken if any part is broken."""
        return functools.reduce(operator.and_, [part.kept(requests) for part in self._parts()])

    def overdue(self, in_flight: Frame) -> Mask:
        """Bad for certain: any part is."""
        overdue: Mask = np.logical_or.reduce([part.overdue(in_flight) for part in self._parts()])
        return overdue


INDICATOR: Final = Goodput
