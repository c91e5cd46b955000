"""A9, router imbalance: requests wait at one replica while another of the pool stands empty.

As seen in BerriAI/litellm#37622 and production-stack#884. Only a replica known to be ready and
empty counts: one that starts, drains or is not heard of is no room (A14). The queue must be at a
replica that works: behind a stalled one it is the stall that is reported.
"""

from __future__ import annotations

import numpy as np

from anomalies.detector import HOLD_US, Case, Detector, anywhere, calm, membership, pools
from anomalies.finding import latest, score, whole_seconds
from anomalies.frame import ReplicaFrame
from anomalies.grid import Signal
from anomalies.runs import Rule, Stretch, Verdict, stretches, within
from telemetry.condition import Severity
from telemetry.frame import Mask
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

EMPTY = Rule(min_span_us=15 * MICROS_PER_SECOND, quiet_us=0)
"""One and the same replica must stand empty this long while others queue."""
RULE = Rule(min_span_us=EMPTY.min_span_us, quiet_us=MICROS_PER_MINUTE)


def queueing(frame: ReplicaFrame) -> Mask:
    """Return where requests wait at a replica that is not known to stand still, [R, T]."""
    return frame.waiting.positive() & frame.serving & ~frame.still


def standing_empty(frame: ReplicaFrame) -> Mask:
    """Return the cells of replicas that stood empty for long enough while others queued, [R, T]."""
    return within(stretches(_empty_beside_a_queue(frame), frame.at_us, EMPTY), frame.fresh.shape)


def _empty_beside_a_queue(frame: ReplicaFrame) -> Verdict:
    members = membership(frame)
    queue = Signal(queueing(frame).astype(np.float64), frame.waiting.known).held(frame.cells(HOLD_US))
    pool_queues = anywhere(members.T, anywhere(members, queue.positive()))
    sent_to = frame.in_flight.held(frame.cells(HOLD_US)).positive()
    empty = frame.waiting.is_zero() & frame.running.is_zero() & frame.serving & ~sent_to
    known = frame.waiting.known & frame.running.known & frame.fresh
    bad = empty & pool_queues
    return Verdict(bad, known & ~bad)


def judge(frame: ReplicaFrame) -> Verdict:
    """Bad: some replica of the pool stood empty for long enough while others queued."""
    members = membership(frame)
    inner = _empty_beside_a_queue(frame)
    bad = anywhere(members, standing_empty(frame))
    suspects: Mask = np.any(inner.bad | queueing(frame), axis=1)
    known = frame.waiting.held(frame.cells(HOLD_US)).known
    return Verdict(bad, calm(members, suspects, known) & ~anywhere(members, inner.bad))


def explain(frame: ReplicaFrame, stretch: Stretch) -> Case:
    """Say who stood empty for how long, and who queued meanwhile."""
    # A queue seen just before the stretch may be the one that stood beside its first cell.
    span = slice(max(0, stretch.first - frame.cells(HOLD_US)), stretch.last + 1)
    mine = membership(frame)[stretch.subject]
    empty = np.flatnonzero(mine & standing_empty(frame)[:, span].any(axis=1))
    queued = np.flatnonzero(mine & queueing(frame)[:, span].any(axis=1))
    waited = np.where(queueing(frame), frame.waiting.values, 0.0)[:, span]
    most = queued[np.argsort(-waited[queued].max(axis=1), kind="stable")]
    lasted = whole_seconds(int(frame.at_us[stretch.last] - frame.at_us[stretch.first]))
    idle_names = ", ".join(frame.replicas[row] for row in empty)
    cause = (
        f"{idle_names} stood empty while up to {waited[most[0]].max():.0f} requests waited at "
        f"{frame.replicas[most[0]]} of the same pool {frame.pools[most[0]]}, within {lasted}"
    )
    unused = [latest(frame.in_flight, int(row), stretch.last) for row in empty]
    votes = (None if any(value is None for value in unused) else True, True)
    rows = (*(int(row) for row in empty), *(int(row) for row in most if row not in empty))
    return Case(
        cause=cause,
        rows=rows,
        idle_rows=tuple(int(row) for row in empty),
        score=score(*votes),
        runner_up="A14",
    )


DETECTOR = Detector(
    id="A9",
    title="router imbalance",
    severity=Severity.TICKET,
    stall=False,
    needs=("engine_samples.requests_running", "engine_samples.requests_waiting"),
    signals=("waiting", "running", "in_flight", "kv_usage", "sm_activity", "kernel_busy"),
    rule=RULE,
    subjects=pools,
    judge=judge,
    explain=explain,
)
