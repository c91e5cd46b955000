"""What happened at an instant: restarts, Xid errors, deploys, losses, drops."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """The closed list of things that happen; a new one is added here and nowhere else."""

    AGENT_START = "agent_start"
    AGENT_STOP = "agent_stop"
    ENGINE_START = "engine_start"
    ENGINE_RESTART = "engine_restart"
    GPU_LOST = "gpu_lost"
    GPU_BACK = "gpu_back"
    GPU_RESET = "gpu_reset"
    XID = "xid"
    ECC = "ecc"
    THROTTLE = "throttle"
    LINK = "link"
    DEPLOY = "deploy"
    DROP = "drop"
    CLOCK_STEP = "clock_step"
    SOURCE_FAULT = "source_fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One lifecycle or hardware event; `code` is the kind's own number (an Xid, a count)."""

    at_us: int
    kind: EventKind
    host: str
    replica: str | None = None
    gpu_uuid: str | None = None
    code: int | None = None
    message: str = ""
