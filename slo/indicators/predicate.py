"""Predicate: the share of requests of which a condition is true that the user writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from slo.conditional import Conditional
from telemetry.frame import Frame, Mask


@dataclass(frozen=True, slots=True)
class Predicate(Conditional):
    """Good = `holds` is true, bad = it is false; only requests of which `among` is true count.

    Both are [conditions](#conditions) over the columns of a request: `ttft_us <= 2_000_000 and
    finish != 'length'`. What was not measured makes a condition unknown, and then the request
    is not counted; `is None` asks for it. How a request ended plays no part but what the
    conditions say of it: only our own probes are always left out. Nothing counts in flight.
    """

    kind: ClassVar[str] = "predicate"
    columns: ClassVar[tuple[str, ...]] = ("synthetic",)

    def counted(self, facts: Frame) -> Mask:
        """Return the requests of users."""
        users: Mask = facts.numbers("synthetic").values == 0
        return users


INDICATOR: Final = Predicate
