"""Joint goodput: the share of requests that kept every limit at once.

Two histograms cannot tell it; only the request itself can.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

import numpy as np

from slo.errors import ObjectiveError
from slo.indicator import Promise, RequestIndicator, ended_well, require_limits
from slo.indicators.e2e import EndToEnd
from slo.indicators.tpot import Tpot
from slo.indicators.ttft import Ttft
from telemetry.frame import Frame, Mask


class Semantics(StrEnum):
    """Whose rules hold where a request cannot be measured whole."""

    VLLM = "vllm"
    AIPERF = "aiperf"


@dataclass(frozen=True, slots=True)
class Goodput(RequestIndicator):
    """Good = ended well and within each given limit (inclusive): the verdict of `--goodput`.

    With `vllm`, an answer of at most one token passes TPOT. A request is bad if any limit is
    known to be broken, even when another was not measured; not counted if none is and one is
    not known to be kept.

    With `aiperf`, a missing value makes a request bad: a TTFT nobody saw, the pace of an answer
    of at most one token, all that a client who left did not wait for.

    A request still in flight counts bad the instant any part is certain to be broken.
    """

    ttft_us: int | None = None
    tpot_us: int | None = None
    e2e_us: int | None = None
    semantics: Semantics = Semantics.VLLM

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
        told = ", ".join(part.promise() for part in self._parts())
        return told if self.semantics is Semantics.VLLM else f"{told}, all measured"

    def kept(self, requests: Frame) -> Promise:
        """Kept if every part is kept, broken if any part is broken."""
        joint = functools.reduce(operator.and_, [part.kept(requests) for part in self._parts()])
        if self.semantics is Semantics.VLLM:
            return joint
        kept = joint.kept & ended_well(requests)
        if self.tpot_us is not None:
            tokens = requests.numbers("output_tokens")
            kept &= requests.numbers("ttft_us").valid & tokens.valid & (tokens.values > 1)
        return Promise(kept, ~kept)

    def overdue(self, in_flight: Frame) -> Mask:
        """Bad for certain: any part is."""
        overdue: Mask = np.logical_or.reduce([part.overdue(in_flight) for part in self._parts()])
        return overdue


INDICATOR: Final = Goodput
