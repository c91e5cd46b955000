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
_MAX_KEPT: Final = 8_192
"""Of one GPU, code and route: a storm may be told whole by one way before the other begins."""
_MAX_KEYS: Final = 1_024
_MAX_TOLD: Final = 256


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
    """Recent reports that no other route has confirmed yet. Not thread-safe. Bounded.

    Kept apart by GPU, code and route, so that a report is compared only with those it can repeat.
    """

    def __init__(self, alone: Iterable[Report] = ()) -> None:
        self._alone: dict[tuple[str, int, Route], deque[Report]] = {}
        for report in alone:
            self._waiting(report, report.route).append(report)

    def alone(self) -> list[Report]:
        """Return the newest reports that still wait for the other route, oldest first."""
        waiting = (report for reports in self._alone.values() for report in reports)
        return sorted(waiting, key=lambda report: report.at_us)[-_MAX_TOLD:]

    def is_repeat(self, report: Report) -> bool:
        """Tell whether the other route has told this error before; if not, keep it to be matched."""
        for route in Route:
            if route is not report.route:
                others = self._waiting(report, route)
                for earlier in others:
                    if _same(earlier, report):
                        others.remove(earlier)
                        return True
        self._waiting(report, report.route).append(report)
        return False

    def _waiting(self, report: Report, route: Route) -> deque[Report]:
        key = (report.gpu, report.code, route)
        if key not in self._alone and len(self._alone) >= _MAX_KEYS:
            self._alone.clear()
        waiting = self._alone.setdefault(key, deque(maxlen=_MAX_KEPT))
        while waiting and waiting[0].at_us < report.after_us - _KEPT_US:
            waiting.popleft()
        return waiting


def _same(one: Report, other: Report) -> bool:
    return one.after_us - SLACK_US <= other.at_us and other.after_us - SLACK_US <= one.at_us
