"""Truncation: the share of requests whose answer was not cut off by the limit on its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from slo.indicator import OUTCOME_COLUMNS, Promise, RequestIndicator, ended_well
from telemetry.frame import Frame
from telemetry.requests import Finish

WHOLE: Final = (Finish.STOP, Finish.TOOL_CALLS, Finish.CONTENT_FILTER)


@dataclass(frozen=True, slots=True)
class Truncation(RequestIndicator):
    """Good = the model stopped by itself (finish `stop`, `tool_calls` or `content_filter`).

    Bad = finish `length`: cut by the limit the caller gave or by the end of the context. Not
    counted where no reason was given. A client that left says nothing, its answer was still
    open; so does a request in flight.
    """

    kind: ClassVar[str] = "truncation"
    columns: ClassVar[tuple[str, ...]] = (*OUTCOME_COLUMNS, "finish")

    def promise(self) -> str:
        """Return the promise in words."""
        return "answer not cut off"

    def kept(self, requests: Frame) -> Promise:
        """Kept or broken by the finish reason of a request that ended well."""
        finish, ended = requests.texts("finish"), ended_well(requests)
        whole = np.logical_or.reduce([finish.equals(reason) for reason in WHOLE])
        return Promise(ended & whole, ended & finish.equals(Finish.LENGTH))


INDICATOR: Final = Truncation
