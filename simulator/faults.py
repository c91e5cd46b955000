"""The fault catalogue: what can be made to go wrong, where, from when until when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from simulator.errors import FaultError


class FaultKind(StrEnum):
    """What goes wrong; the ids are those of the anomaly catalogue."""

    WEDGE = "wedge"
    """A1, on a replica: nothing is admitted. What runs drains, then requests wait beside an
    idle GPU; health stays 200."""
    HANG = "hang"
    """A2, on a replica: steps stand still with requests running; health stays 200."""
    KV_LEAK = "kv_leak"
    """A6, on a replica: blocks of ended requests are never free again until the fault ends."""
    IMBALANCE = "imbalance"
    """A9, on a pool: its router sends everything to one replica (`replica`, else the first)."""
    OVERLOAD = "overload"
    """Capacity, on a pool: arrivals come `factor` times as fast. What arrives is made by the
    traffic (`simulator.arrivals.Surge`), so a fleet by itself does not change."""
    GPU_LOST = "gpu_lost"
    """A16, on a replica: its GPU number `gpu` no longer answers and its steps stand still."""
    RESTART = "restart"
    """The replica's engine dies, with every request it held, and is back at the end."""


FREEZING: Final = frozenset({FaultKind.HANG, FaultKind.GPU_LOST})
ON_A_POOL: Final = frozenset({FaultKind.IMBALANCE, FaultKind.OVERLOAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, from `start_us` until before `end_us` (microseconds on the fleet's clock)."""

    kind: FaultKind
    start_us: int
    end_us: int
    replica: str | None = None
    """A replica's key (`chat-0`) or address (`host:port`)."""
    pool: str | None = None
    gpu: int = 0
    """Which of the replica's GPUs, counted from 0."""
    factor: float = 3.0

    def __post_init__(self) -> None:
        """Refuse a fault without a target, or one that ends before it starts."""
        if self.end_us <= self.start_us:
            raise FaultError(f"fault {self.kind}: it must end after it starts; give a longer time")
        needed = "pool" if self.kind in ON_A_POOL else "replica"
        if getattr(self, needed) is None:
            raise FaultError(f"fault {self.kind}: it needs a {needed}; name one of the fleet's")
