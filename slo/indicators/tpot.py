"""TPOT: the share of requests that kept their pace after the first token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.durations import written
from slo.indicator import OUTCOME_COLUMNS, Promise, RequestIndicator, ended_well, require_limits
from telemetry.frame import Frame
from telemetry.requests import Status


@dataclass(frozen=True, slots=True)
class Tpot(RequestIndicator):
    """Good = (e2e - TTFT) / (output tokens - 1) within the limit (inclusive).

    Compared without division, exact in integer microseconds: e2e - TTFT <= limit x (n - 1).
    An answer of at most one token has no pace and is good (vLLM's `--goodput` gives it 0).
    A client that left mid-stream is bad if even a token at that instant would have been late,
    (e2e - TTFT) > limit x n, else not counted: the pace could have recovered. For the same
    reason a request in flight is never bad for certain.
    """

    limit_us: int

    kind: ClassVar[str] = "tpot"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "ttft_us", "e2e_us", "output_tokens")

    def __post_init__(self) -> None:
        require_limits(limit=self.limit_us)

    def promise(self) -> str:
        """Return the promise in words."""
        return f"{written(self.limit_us)} per token after the first"

    def kept(self, requests: Frame) -> Promise:
        """Kept or broken by the mean gap, where TTFT and token count are known."""
        ttft, tokens = requests.numbers("ttft_us"), requests.numbers("output_tokens")
        streaming_us = requests.numbers("e2e_us").values - ttft.values
        timed = ttft.valid & tokens.valid
        whole, left = ended_well(requests), requests.texts("status").equals(Status.ABORTED)
        short = tokens.valid & (tokens.values <= 1)
        late = timed & ~short & (streaming_us > self.limit_us * (tokens.values - 1))
        late_when_left = timed & (tokens.values >= 1) & (streaming_us > self.limit_us * tokens.values)
        return Promise(whole & (short | (timed & ~late)), (whole & late) | (left & late_when_left))


INDICATOR: Final = Tpot
