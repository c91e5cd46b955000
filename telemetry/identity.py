"""Who a fact is about: hosts, GPUs, replicas, models, tenants, and how their names are made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

UNKNOWN_TENANT: Final = "__unknown__"
"""The tenant of a request that nobody authenticated."""

OTHER_TENANT: Final = "__other__"
"""Where tenants past the label cap are folded; always said aloud."""

UNMAPPED: Final = "__unmapped__"
"""The replica of a GPU that no placement names, and the pool of a replica without one."""

MAX_NAME_LENGTH: Final = 200
"""Longest identity text accepted anywhere; a longer one is refused, never cut."""


class Vantage(StrEnum):
    """Where a request was timed. Each pool has one vantage of record; others never count twice."""

    EDGE = "edge"
    ENGINE = "engine"
    SPAN = "span"
    LOG = "log"


class Origin(StrEnum):
    """How a fact came to be; everything that is not `live` wears a mark on every page."""

    LIVE = "live"
    SIMULATED = "simulated"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class Replica:
    """One serving process: a host, the port of its engine (or a pod uid), a data-parallel rank.

    A restart is a new epoch of the same replica, never a new replica.
    """

    host: str
    port: str
    rank: int = 0

    def __str__(self) -> str:
        suffix = f"#{self.rank}" if self.rank else ""
        return f"{self.host}:{self.port}{suffix}"


def gpu_without_uuid(host: str, index: str) -> str:
    """Return the identity of a GPU in a recording that has no UUIDs: `host/gpu-index`, marked.

    The mark keeps it from ever being taken for a real UUID (which starts with `GPU-`).
    """
    return f"{host}/gpu-{index}"


def is_real_uuid(gpu_uuid: str) -> bool:
    """Tell whether a GPU identity is a driver's UUID, not a stand-in from a recording."""
    return gpu_uuid.startswith(("GPU-", "MIG-"))
