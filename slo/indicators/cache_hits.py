"""Cache-hit share: the share of prompt tokens that were read from a cache instead of computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from slo.indicator import MOST_TOKENS, OUTCOME_COLUMNS, Indicator, Verdicts, answerable
from telemetry.frame import Frame


@dataclass(frozen=True, slots=True)
class CacheHits(Indicator):
    """Good = cached prompt tokens; bad = the other tokens of the prompt.

    A request weighs as many as its prompt tokens, so a long prompt matters more than a short
    one. Where either number is not known it is not counted; more cached than asked is all
    cached. How a request ended plays no part.
    """

    kind: ClassVar[str] = "cache_hits"
    unit: ClassVar[str] = "tokens"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "prompt_tokens", "cached_tokens")

    def promise(self) -> str:
        """Return the promise in words."""
        return "prompt read from cache"

    def judge(self, facts: Frame) -> Verdicts:
        """Return cached of all prompt tokens on each request."""
        prompt, cached = facts.numbers("prompt_tokens"), facts.numbers("cached_tokens")
        total = np.clip(prompt.values, 0, MOST_TOKENS)
        known = answerable(facts) & prompt.valid & cached.valid
        return Verdicts(np.clip(cached.values, 0, total), total).among(known)


INDICATOR: Final = CacheHits
