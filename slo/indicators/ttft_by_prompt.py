"""TTFT by prompt length: the share of requests whose first token came in the time its prompt allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from slo.durations import MICROS_PER_DAY, written
from slo.errors import ObjectiveError
from slo.indicator import (
    MOST_TOKENS,
    OUTCOME_COLUMNS,
    Promise,
    RequestIndicator,
    left_without_token,
    require_limits,
)
from telemetry.frame import Frame, Numbers

MOST_PER: Final = 1_000_000
_LONGEST_US: Final = 10 * MICROS_PER_DAY
"""A first token that comes later than this after `base` is taken to have come then."""


@dataclass(frozen=True, slots=True)
class TtftByPrompt(RequestIndicator):
    """Good = TTFT <= base + each x prompt tokens / per (inclusive), compared without division.

    The linear form that long prompts are served by: `base: 4s`, `each: 1s`, `per: 8192`. The
    prompt counts whole, whatever of it was cached. Where its length is not known a first token
    within `base` is good, a later one is not counted. A client that left before any token is
    bad if it had waited longer than its prompt allows, else not counted. Nothing counts while
    in flight: a request under way does not tell its prompt.
    """

    base_us: int
    each_us: int
    per: int = 1

    kind: ClassVar[str] = "ttft_by_prompt"
    columns: ClassVar[tuple[str, ...]] = (
        *OUTCOME_COLUMNS, "stream", "vantage", "ttft_us", "e2e_us", "prompt_tokens",
    )  # fmt: skip

    def __post_init__(self) -> None:
        require_limits(base=self.base_us, each=self.each_us)
        if not 0 < self.per <= MOST_PER:
            raise ObjectiveError("per", f"{self.per} is not in 1 .. {MOST_PER:,}", "write one such as 1000")

    def promise(self) -> str:
        """Return the promise in words."""
        of = "prompt token" if self.per == 1 else f"{self.per} prompt tokens"
        return f"first token within {written(self.base_us)} and {written(self.each_us)} for each {of}"

    def kept(self, requests: Frame) -> Promise:
        """Kept or broken by the measured TTFT; broken by a client that waited in vain."""
        prompt, elapsed = requests.numbers("prompt_tokens"), requests.numbers("e2e_us")
        measured = self._within(requests.numbers("ttft_us"), prompt)
        in_vain = left_without_token(requests) & self._within(elapsed, prompt).broken
        return Promise(measured.kept, measured.broken | in_vain)

    def _within(self, time: Numbers, prompt: Numbers) -> Promise:
        excess = np.clip(time.values - self.base_us, 0, _LONGEST_US) * self.per
        allowed = np.clip(prompt.values, 0, MOST_TOKENS) * self.each_us
        late = excess > np.where(prompt.valid, allowed, 0)
        return Promise(time.valid & ~late, time.valid & late & prompt.valid)


INDICATOR: Final = TtftByPrompt
