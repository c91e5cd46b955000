"""Empty output: the share of requests that were answered with something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.indicator import OUTCOME_COLUMNS, Promise, RequestIndicator, ended_well
from telemetry.frame import Frame


@dataclass(frozen=True, slots=True)
class EmptyOutput(RequestIndicator):
    """Good = ended well with content; a tool call is content.

    Bad = ended well with none, or with no output token. Not counted where nobody looked into
    the answer: tokens alone do not tell, all of them may have been hidden reasoning. A client
    that left says nothing; so does a request in flight.
    """

    kind: ClassVar[str] = "empty_output"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "output_empty", "output_tokens", "tool_calls")

    def promise(self) -> str:
        """Return the promise in words."""
        return "answer not empty"

    def kept(self, requests: Frame) -> Promise:
        """Kept or broken by what was seen of a whole answer."""
        empty, tokens = requests.numbers("output_empty"), requests.numbers("output_tokens")
        called = requests.numbers("tool_calls").values > 0
        nothing = (empty.valid & (empty.values != 0)) | (tokens.valid & (tokens.values == 0))
        something = called | (empty.valid & (empty.values == 0))
        ended = ended_well(requests)
        return Promise(ended & something & (called | ~nothing), ended & nothing & ~called)


INDICATOR: Final = EmptyOutput
