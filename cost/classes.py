"""The reasons a nano-dollar is spent: the closed list of ledger classes and replica states."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class CostClass(StrEnum):
    """Why a piece of the bill was spent. Every priced nanosecond of a GPU is in exactly one."""

    HEADROOM = "headroom"
    IDLE_READY = "idle.ready"
    IDLE_UNALLOCATED = "idle.unallocated"
    OVERHEAD_DRAIN = "overhead.drain"
    OVERHEAD_LOAD = "overhead.load"
    OVERHEAD_WARMUP = "overhead.warmup"
    SLO_MISS = "slo_miss"
    UNOBSERVED = "unobserved"
    UNPRICED = "unpriced"
    USEFUL = "useful"
    WASTE_CANCEL = "waste.cancel"
    WASTE_ERROR = "waste.error"
    WASTE_PREEMPT = "waste.preempt"
    WASTE_SPEC = "waste.spec"


CLASSES: Final[tuple[CostClass, ...]] = tuple(sorted(CostClass))
"""Classes by the bytes of their names; a class's code is its place here (ties go by it)."""

CODE: Final[dict[CostClass, int]] = {klass: code for code, klass in enumerate(CLASSES)}


class InstanceState(StrEnum):
    """What an instance is doing as far as its own reports say; `READY` is busy or idle by its requests."""

    READY = "ready"
    LOADING = "loading"
    WARMING = "warming"
    DRAINING = "draining"
    UNOBSERVED = "unobserved"


CLASS_OF_STATE: Final[dict[InstanceState, CostClass]] = {
    InstanceState.READY: CostClass.IDLE_READY,
    InstanceState.LOADING: CostClass.OVERHEAD_LOAD,
    InstanceState.WARMING: CostClass.OVERHEAD_WARMUP,
    InstanceState.DRAINING: CostClass.OVERHEAD_DRAIN,
    InstanceState.UNOBSERVED: CostClass.UNOBSERVED,
}
"""Where a piece without running requests goes, whole."""


class Tier(StrEnum):
    """How well the work is known: stated by the engine per interval (B), or request events only (C)."""

    ENGINE = "B"
    EVENTS = "C"


class Scope(StrEnum):
    """Whom a row is about: one replica, or a pool whose requests name no replica."""

    REPLICA = "replica"
    POOL = "pool"
