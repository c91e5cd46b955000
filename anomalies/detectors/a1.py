"""A1, admission deadlock: requests wait, none run, nothing comes out, though the cache has room.

As seen in vllm#45414 (R 0, W 5-6, KV 0 %, health 200) and vllm#39863. Told apart from A6 by
the KV cache (full there), from A4 by the engine seeing the queue at all, and from grammar
compilation (A12) by the engine's own reason for waiting: deferred requests get a minute.
"""

from __future__ import annotations

import numpy as np

from anomalies import gpus
from anomalies.detector import Case, Detector, replicas
from anomalies.finding import latest, percent, score, whole_seconds
from anomalies.frame import ReplicaFrame
from anomalies.runs import Rule, Stretch, Verdict
from telemetry.condition import Severity
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

FULL_RATIO = 0.95
"""KV usage from here on is a full cache (A6), not a deadlock with room to spare."""
RULE = Rule(min_span_us=5 * MICROS_PER_SECOND, quiet_us=10 * MICROS_PER_SECOND)
DEFERRED_US = MICROS_PER_MINUTE


def judge(frame: ReplicaFrame) -> Verdict:
    """Bad: waiting, none running, known to stand still, cache not full."""
    stuck = frame.waiting.positive() & frame.running.is_zero()
    bad = stuck & frame.still & ~frame.kv_usage.above(FULL_RATIO) & frame.serving
    known = frame.waiting.known & frame.running.known & frame.fresh
    good = (known & ~stuck) | frame.moving | frame.excused
    deferred = (bad & frame.waiting_capacity.positive()).sum(axis=1) == 0
    deferred &= (bad & frame.waiting_capacity.is_zero()).any(axis=1)
    spans = np.where(deferred, DEFERRED_US, RULE.min_span_us)
    return Verdict(bad, good & ~bad, spans.astype(np.int64))


def explain(frame: ReplicaFrame, stretch: Stretch) -> Case:
    """Say how many wait, for how long, and what the GPU and the cache look like."""
    row, last = stretch.subject, stretch.last
    waiting = latest(frame.waiting, row, last) or 0.0
    usage = latest(frame.kv_usage, row, last)
    open_at_edge = latest(frame.in_flight, row, last)
    lasted = whole_seconds(int(frame.at_us[last] - frame.at_us[stretch.first]))
    cause = (
        f"{frame.replicas[row]} admits nothing: {waiting:.0f} requests wait, none run and nothing came out "
        f"for {lasted}{gpus.clause(frame, row, last)}; KV usage {percent(usage)}"
    )
    votes = (
        gpus.stand_idle(frame, row, last),
        None if usage is None else usage < FULL_RATIO,
        None if open_at_edge is None else open_at_edge >= waiting,
        True,
    )
    return Case(
        cause=cause,
        rows=(row,),
        idle_rows=(row,),
        score=score(*votes),
        runner_up="A6" if usage is None else "A4",
    )


DETECTOR = Detector(
    id="A1",
    title="admission deadlock",
    severity=Severity.PAGE,
    stall=True,
    needs=("engine_samples.requests_running", "engine_samples.requests_waiting"),
    signals=(
        "waiting",
        "running",
        "progress",
        "kv_usage",
        "in_flight",
        "sm_activity",
        "kernel_busy",
        "power_watts",
    ),
    rule=RULE,
    subjects=replicas,
    judge=judge,
    explain=explain,
)
