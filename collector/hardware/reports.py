"""One Xid, two routes: the driver's events and the kernel log report the same error, to be counted once.

Guarantee: of two reports of one error by different routes whose times can be the same, the second
counts nothing, whatever hung in between; two reports by one route are always two errors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SLACK_US: Final = 2_000_000
"""How far two routes' times of one error may lie apart."""

_KEPT_US: Final = 600_000_000
_MAX_KEPT: Final = 256


class Route(StrEnum):
    """How an Xid became known."""

    DRIVER = "driver"
    KERNEL_LOG = "kernel_log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report of an Xid: it happened between `after_us` and `at_us`, UTC.

    `gpu` is the UUID, or the PCI address of a GPU whose UUID is not known. `fatal` and `pid`
    are the kernel line's words; None = not told. `implied` = it has no Xid of its own.
    """

    gpu: str
    code: int
    route: Route
    after_us: int
    at_us: int
    pid: int | None = None
    fatal: bool | None = None
    implied: bool = False


class Twins:
    """Recent reports that no other route has confirmed yet. Not thread-safe. Bounded."""

    def __init__(self, alone: Iterable[Report] = ()) -> None:
        self._alone: deque[Report] = deque(alone, maxlen=_MAX_KEPT)

    def alone(self) -> list[Report]:
        """Return the reports that still wait for the other route, oldest first."""
        return list(self._alone)

    def is_repeat(self, report: Report) -> bool:
        """Tell whether the other route has told this error before; if not, keep it to be matched."""
        while self._alone and self._alone[0].at_us < report.after_us - _KEPT_US:
            self._alone.popleft()
        for earlier in self._alone:
            if _same(earlier, report):
                self._alone.remove(earlier)
                return True
        self._alone.append(report)
        return False


def _same(one: Report, other: Report) -> bool:
    return (
        one.route is not other.route
        and (one.gpu, one.code) == (other.gpu, other.code)
        and one.after_us - SLACK_US <= other.at_us
        and other.after_us - SLACK_US <= one.at_us
    )
