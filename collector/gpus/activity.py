"""How busy a GPU really is: the ladder of ways to know, and the check that takes a liar off it.

Best first: SM cycle counters, ratios of the driver (both need Hopper or newer), kernel-busy weighted
by the clock, power between idle and limit, kernel-busy alone. Each tick takes the best rung that can
tell now, and the value never travels without its source. The rungs are a table; choosing is one loop.

Formulas (gpu-telemetry reference, fallback ladder), all ratios 0..1:
    clock-weighted = kernel-busy x SM clock / highest SM clock
    power          = (P - P_idle) / (P_limit - P_idle), P from the energy counter, P_idle learnt
Both are estimates of SM activity; tensor and DRAM activity and occupancy have no such stand-in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from telemetry.samples import ActivitySource

_ZERO_RATIO: Final = 0.001
"""Below this nothing runs: one busy SM of the largest GPU is seven times as much."""
_BUSY_RATIO: Final = 0.5
_DRAWN_RATIO: Final = 0.3
"""Kernel-busy and power (between idle and limit) from which zero activity cannot be true."""
_LIES_TO_TELL: Final = 3
"""Contradictions in a row that withdraw a rung."""
_IDLE_WEIGHT: Final = 0.2
"""Share of the newest idle reading in the learnt idle power: settled after some ten seconds."""
_UNKNOWN_IDLE_RATIO: Final = 0.25
"""Idle power as a share of the limit, for the check only, while none was seen (A100: 146 of 400 W)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Ratios 0..1 over the interval since the reading before; None = not measured."""

    source: ActivitySource
    sm_ratio: float | None = None
    occupancy_ratio: float | None = None
    tensor_ratio: float | None = None
    dram_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one tick knows of a GPU; None = not told. `watts` is the mean since the tick before."""

    counters: Activity | None = None
    ratios: Activity | None = None
    kernel_busy_ratio: float | None = None
    sm_clock_mhz: int | None = None
    sm_clock_max_mhz: int | None = None
    watts: float | None = None
    limit_watts: float | None = None
    idle: bool = False
    """The driver says itself that nothing runs."""
    idle_watts: float | None = None
    """Learnt from the ticks that were idle."""


def _clock_weighted(seen: Evidence) -> Activity | None:
    if seen.kernel_busy_ratio is None or seen.sm_clock_mhz is None or not seen.sm_clock_max_mhz:
        return None
    share = min(1.0, seen.sm_clock_mhz / seen.sm_clock_max_mhz)
    return Activity(source=ActivitySource.CLOCK_WEIGHTED, sm_ratio=seen.kernel_busy_ratio * share)


def _power(seen: Evidence) -> Activity | None:
    drawn = _drawn(seen, seen.idle_watts)
    return None if drawn is None else Activity(source=ActivitySource.POWER, sm_ratio=drawn)


def _kernel_busy(seen: Evidence) -> Activity | None:
    """Name the source only: kernel-busy has a column of its own and never fills an activity."""
    return None if seen.kernel_busy_ratio is None else Activity(source=ActivitySource.KERNEL_BUSY)


def _drawn(seen: Evidence, idle_watts: float | None) -> float | None:
    """Return where the power lies between idle and limit, 0..1."""
    if seen.watts is None or seen.limit_watts is None or idle_watts is None or seen.limit_watts <= idle_watts:
        return None
    return min(1.0, max(0.0, (seen.watts - idle_watts) / (seen.limit_watts - idle_watts)))


RUNGS: Final[tuple[tuple[ActivitySource, Callable[[Evidence], Activity | None]], ...]] = (
    (ActivitySource.GPM_COUNTERS, lambda seen: seen.counters),
    (ActivitySource.GPM, lambda seen: seen.ratios),
    (ActivitySource.CLOCK_WEIGHTED, _clock_weighted),
    (ActivitySource.POWER, _power),
    (ActivitySource.KERNEL_BUSY, _kernel_busy),
)
"""The ladder, best first: a source and how it tells, None where it cannot now."""
CHECKED: Final = frozenset({ActivitySource.GPM_COUNTERS, ActivitySource.GPM})
"""Rungs that were seen to answer zero for ever, after an Xid or while another tool profiles."""


class Ladder:
    """The choice for one GPU, and what it has learnt of it. Survives handles; not thread-safe."""

    def __init__(self) -> None:
        self.withdrawn: frozenset[ActivitySource] = frozenset()
        """Rungs that answer zero while the GPU works; each is back when it shows a value again."""
        self._lies: dict[ActivitySource, int] = {}
        self._idle_watts: float | None = None

    def climb(self, seen: Evidence) -> Activity | None:
        """Return the activity by the best rung that can tell and is believed; None = no rung can.

        `seen.idle_watts` is filled in here, from the idle ticks so far.
        """
        self._learn(seen)
        seen = replace(seen, idle_watts=self._idle_watts)
        told = {source: activity for source, tell in RUNGS if (activity := tell(seen)) is not None}
        working = _works_hard(seen)
        for source in CHECKED & told.keys():
            if (sm_ratio := told[source].sm_ratio) is not None:
                self._judge(source, sm_ratio, working=working)
        return next(
            (told[source] for source, _ in RUNGS if source in told and source not in self.withdrawn), None
        )

    def _learn(self, seen: Evidence) -> None:
        """Take an idle tick's power into account; busy ticks teach nothing."""
        idle = seen.idle or seen.kernel_busy_ratio == 0
        if not idle or seen.watts is None:
            return
        before = seen.watts if self._idle_watts is None else self._idle_watts
        self._idle_watts = before + _IDLE_WEIGHT * (seen.watts - before)

    def _judge(self, source: ActivitySource, sm_ratio: float, *, working: bool) -> None:
        if sm_ratio < _ZERO_RATIO and working:
            self._lies[source] = self._lies.get(source, 0) + 1
            if self._lies[source] >= _LIES_TO_TELL:
                self.withdrawn |= {source}
            return
        self._lies[source] = 0
        if sm_ratio >= _ZERO_RATIO:
            self.withdrawn -= {source}


def _works_hard(seen: Evidence) -> bool:
    """Tell whether the GPU certainly works: kernels run and the energy counter agrees."""
    if seen.limit_watts is None:
        return False
    idle_watts = _UNKNOWN_IDLE_RATIO * seen.limit_watts if seen.idle_watts is None else seen.idle_watts
    drawn = _drawn(seen, idle_watts)
    return (seen.kernel_busy_ratio or 0.0) >= _BUSY_RATIO and drawn is not None and drawn >= _DRAWN_RATIO
