"""Token goodput: the share of output tokens that came in answers which kept every limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.indicator import Indicator, Verdicts, require_count, tokens_given
from slo.indicators.goodput import Goodput, Semantics
from telemetry.frame import Frame


@dataclass(frozen=True, slots=True)
class TokenGoodput(Indicator):
    """Good = the tokens of a request that ended well and within each given limit.

    Each request has the verdict of `goodput`, by the rules that `semantics` names there, and
    weighs as many as the output tokens it gave; a failed one weighs at least `failure_tokens`.
    The good tokens over a time, divided by it, are the token goodput of the literature. Nothing
    counts while in flight: how much a request weighs is known at its end.
    """

    ttft_us: int | None = None
    tpot_us: int | None = None
    e2e_us: int | None = None
    failure_tokens: int = 1
    semantics: Semantics = Semantics.VLLM

    kind: ClassVar[str] = "token_goodput"
    unit: ClassVar[str] = "tokens"
    columns: ClassVar[tuple[str, ...]] = Goodput.columns

    def __post_init__(self) -> None:
        require_count(failure_tokens=self.failure_tokens)
        self._goodput()

    def _goodput(self) -> Goodput:
        return Goodput(self.ttft_us, self.tpot_us, self.e2e_us, self.semantics)

    def promise(self) -> str:
        """Return the promise in words."""
        return f"in answers with {self._goodput().promise()}"

    def judge(self, facts: Frame) -> Verdicts:
        """Return the verdicts of goodput, in tokens."""
        return self._goodput().judge(facts).weighed(tokens_given(facts, self.failure_tokens))


INDICATOR: Final = TokenGoodput
