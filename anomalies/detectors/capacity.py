"""capacity: more is asked of a pool than it has room for, and it works as fast as it can.

Requests wait, the KV cache is nearly full or requests are preempted, and tokens flow. Told apart
from A6 by progress and from a batch cap that is too small (A8) by the full cache. A pool that
works through a deep queue by design is left out.
"""

from __future__ import annotations

import numpy as np

from anomalies.detector import HOLD_US, Case, Detector, anywhere, calm, membership, pools
from anomalies.finding import percent, score, whole_seconds
from anomalies.frame import ReplicaFrame
from anomalies.grid import recently
from anomalies.runs import Rule, Stretch, Verdict
from telemetry.condition import Severity
from telemetry.frame import Ints, Mask
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

PRESSURE_RATIO = 0.9
RECENT_US = 10 * MICROS_PER_SECOND
"""A full cache breathes: fullness and preemptions count for this long."""
FLOWING_US = 30 * MICROS_PER_SECOND
RULE = Rule(min_span_us=10 * MICROS_PER_SECOND, quiet_us=MICROS_PER_MINUTE, min_samples=3)


def pressed(frame: ReplicaFrame) -> Mask:
    """Return where a replica has a queue, no room left, and works, [R, T]."""
    tight = frame.kv_usage.above(PRESSURE_RATIO) | frame.preemptions.positive()
    no_room = recently(tight, frame.cells(RECENT_US))
    works = recently(frame.moving, frame.cells(FLOWING_US))
    return frame.waiting.positive() & no_room & works & frame.serving & ~frame.offline[:, None]


def judge(frame: ReplicaFrame) -> Verdict:
    """Bad: any replica of the pool is pressed. Good: those that were pressed are known not to be."""
    members = membership(frame)
    cells = pressed(frame)
    bad = anywhere(members, cells)
    known = frame.waiting.held(frame.cells(HOLD_US)).known
    return Verdict(bad, calm(members, np.any(cells, axis=1), known) & ~bad)


def explain(frame: ReplicaFrame, stretch: Stretch) -> Case:
    """Say how many waited, how full it was, and how much was still done meanwhile."""
    span = slice(stretch.first, stretch.last + 1)
    cells = pressed(frame)[:, span]
    rows = np.flatnonzero(membership(frame)[stretch.subject] & cells.any(axis=1))
    rows = rows[np.argsort(-cells[rows].sum(axis=1), kind="stable")]
    waiting = np.where(frame.waiting.known, frame.waiting.values, 0.0)[rows, span]
    usage = frame.kv_usage.values[rows, span].max() if frame.kv_usage.known[rows, span].any() else None
    preempted = frame.preemptions.values[rows, span].sum()
    lasted_us = int(frame.at_us[stretch.last] - frame.at_us[stretch.first])
    cause = (
        f"pool {frame.pools[rows[0]]} is asked for more than it has room for: up to "
        f"{waiting.sum(axis=0).max():.0f} requests waited at {len(rows)} of its replicas within "
        f"{whole_seconds(lasted_us)}, KV usage up to {percent(usage)}, {preempted:.0f} preemptions, "
        f"while {_pace(frame, rows, span, lasted_us)}"
    )
    votes = (
        None if usage is None else bool(usage >= PRESSURE_RATIO),
        bool(preempted > 0) if frame.preemptions.known[rows, span].any() else None,
        True,
    )
    return Case(
        cause=cause, rows=tuple(int(row) for row in rows), idle_rows=(), score=score(*votes), runner_up="A8"
    )


def _pace(frame: ReplicaFrame, rows: Ints, span: slice, lasted_us: int) -> str:
    if not frame.counts_tokens[rows].all():
        return "requests went on being served"
    tokens = frame.progress.values[rows, span][:, 1:].sum()  # the first cell grew before the span
    per_second = tokens * MICROS_PER_SECOND / max(lasted_us, MICROS_PER_SECOND)
    return f"{per_second:,.0f} tokens/s were worked through"


DETECTOR = Detector(
    id="capacity",
    title="demand exceeds capacity",
    severity=Severity.TICKET,
    stall=False,
    needs=("engine_samples.requests_waiting", "engine_samples.kv_usage_ratio"),
    signals=("waiting", "running", "kv_usage", "preemptions", "progress"),
    rule=RULE,
    subjects=pools,
    judge=judge,
    explain=explain,
)
