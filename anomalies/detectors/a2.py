"""A2, live hang: requests run, and not a token comes out; health still says 200.

As seen in vllm#42897 (stuck in an event sync after hours) and vllm#1492. Told apart from A10
(a huge prefill) by progress of any kind: prompt tokens, cache being filled, tensor cores or
DRAM at work. The wait is the larger of a minute and five of the replica's own p99 token gaps.
"""

from __future__ import annotations

import numpy as np

from anomalies import gpus
from anomalies.detector import Case, Detector, replicas
from anomalies.detectors.a1 import FULL_RATIO
from anomalies.finding import latest, score, whole_seconds
from anomalies.frame import ReplicaFrame
from anomalies.runs import Rule, Stretch, Verdict
from telemetry.condition import Severity
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

RULE = Rule(min_span_us=MICROS_PER_MINUTE, quiet_us=10 * MICROS_PER_SECOND, min_samples=3)
GAPS = 5


def judge(frame: ReplicaFrame) -> Verdict:
    """Bad: running, known to stand still, cache unchanged, GPUs not at work."""
    hung = frame.running.positive() & frame.still & frame.serving
    full = frame.waiting.positive() & frame.kv_usage.above(FULL_RATIO)
    bad = hung & ~frame.kv_change.positive() & ~gpus.working(frame) & ~full
    good = frame.running.is_zero() | frame.moving | frame.kv_change.positive() | frame.excused
    spans = np.maximum(RULE.min_span_us, GAPS * frame.gap_p99_us)
    return Verdict(bad, good & ~bad, spans)


def explain(frame: ReplicaFrame, stretch: Stretch) -> Case:
    """Say how many run, for how long nothing came, and whether the GPU spins or waits."""
    row, last = stretch.subject, stretch.last
    running = latest(frame.running, row, last) or 0.0
    waiting = latest(frame.waiting, row, last)
    lasted = whole_seconds(int(frame.at_us[last] - frame.at_us[stretch.first]))
    queue = "" if waiting is None else f" and {waiting:.0f} wait"
    cause = (
        f"{frame.replicas[row]} hangs: {running:.0f} requests run{queue}, but nothing came out "
        f"for {lasted}{gpus.clause(frame, row, last)}"
    )
    open_at_edge = latest(frame.in_flight, row, last)
    spins = gpus.spinning(frame, row, last)
    votes = (
        gpus.stand_idle(frame, row, last),
        bool(frame.counts_tokens[row]) or None,
        None if open_at_edge is None else open_at_edge >= running,
        not spins,
    )
    return Case(
        cause=cause, rows=(row,), idle_rows=(row,), score=score(*votes), runner_up="A3" if spins else "A10"
    )


DETECTOR = Detector(
    id="A2",
    title="live hang",
    severity=Severity.PAGE,
    stall=True,
    needs=("engine_samples.requests_running",),
    signals=(
        "running",
        "waiting",
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
