"""What the GPUs say about a stall: they choose its cause, they never make one.

Two families must agree before a GPU counts as working or idle, because sensors lie: a profiling
counter that froze at zero is outvoted by DRAM or power (anomalies reference, trap T5).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from anomalies.finding import latest, percent
from anomalies.frame import ReplicaFrame
from telemetry.frame import Mask

WORKING_RATIO: Final = 0.10
"""Tensor or DRAM activity from here on is real work."""
IDLE_RATIO: Final = 0.05
_VERBS: Final = {
    (True, True): "stands idle",
    (True, False): "is not idle",
    (False, True): "stand idle",
    (False, False): "are not idle",
}
"""By whether there is one GPU, and whether it stands idle."""


def working(frame: ReplicaFrame) -> Mask:
    """Return where the GPUs are known to do real work, [R, T]: tensor or DRAM activity, not busy kernels."""
    return frame.tensor_activity.above(WORKING_RATIO) | frame.dram_activity.above(WORKING_RATIO)


def stand_idle(frame: ReplicaFrame, row: int, last: int) -> bool | None:
    """Tell whether a replica's GPUs stand idle at cell `last`; None = nothing is known of them."""
    signals = (frame.sm_activity, frame.tensor_activity, frame.dram_activity)
    seen = [value for signal in signals if (value := latest(signal, row, last)) is not None]
    if seen:
        return bool(np.max(seen) <= IDLE_RATIO)
    busy = latest(frame.kernel_busy, row, last)
    return None if busy is None else busy <= IDLE_RATIO


def spinning(frame: ReplicaFrame, row: int, last: int) -> bool:
    """Tell whether kernels are resident all the time: a stall that may be a spin, not a wait."""
    return (latest(frame.kernel_busy, row, last) or 0.0) >= 0.9


def clause(frame: ReplicaFrame, row: int, last: int) -> str:
    """Return what a sentence says of a replica's GPUs; empty when nothing is known of them."""
    gpus = frame.gpus[row]
    if not gpus:
        return "; no placement names its GPU"
    one = len(gpus) == 1
    subject = _short(gpus[0]) if one else f"{len(gpus)} GPUs"
    for name, signal in (
        ("SM activity", frame.sm_activity),
        ("DRAM activity", frame.dram_activity),
        ("kernel-busy", frame.kernel_busy),
    ):
        value = latest(signal, row, last)
        if value is not None:
            idle = stand_idle(frame, row, last)
            verb = _VERBS[one, bool(idle)]
            return f", while its {subject} {verb} ({name} {percent(value)})"
    return f" on its {subject}"


def _short(uuid: str) -> str:
    """Return a GPU's name as people compare it; the whole one stands in the labels and the evidence."""
    head, dash, rest = uuid.partition("-")
    return f"{head}{dash}{rest[:8]}…" if len(rest) > 9 else uuid
