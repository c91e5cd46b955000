"""A6, KV cache full or leaked: requests wait, the cache is full, and nothing is admitted or comes out.

As seen in sglang#6778 (blocks not released) and vllm#35541 (a prompt that needs more blocks than
exist, retried for ever). Told apart from a snowballing queue (A13) and from capacity by progress:
a full cache that moves is busy. A cache that stays full while fewer requests run has leaked.
"""

from __future__ import annotations

from anomalies import gpus
from anomalies.detector import Case, Detector, replicas
from anomalies.detectors.a1 import FULL_RATIO
from anomalies.finding import latest, percent, score, whole_seconds
from anomalies.frame import ReplicaFrame
from anomalies.runs import Rule, Stretch, Verdict
from telemetry.condition import Severity
from telemetry.units import MICROS_PER_SECOND

RULE = Rule(min_span_us=10 * MICROS_PER_SECOND, quiet_us=10 * MICROS_PER_SECOND, min_samples=3)


def judge(frame: ReplicaFrame) -> Verdict:
    """Bad: waiting, cache full, known to stand still."""
    full = frame.waiting.positive() & frame.kv_usage.above(FULL_RATIO)
    bad = full & frame.still & frame.serving
    known = frame.waiting.known & frame.kv_usage.known & frame.fresh
    good = (known & ~full) | frame.moving | frame.excused
    return Verdict(bad, good & ~bad)


def explain(frame: ReplicaFrame, stretch: Stretch) -> Case:
    """Say how full the cache is, how many wait, and whether it emptied when requests left."""
    row, last = stretch.subject, stretch.last
    usage = latest(frame.kv_usage, row, last)
    waiting = latest(frame.waiting, row, last) or 0.0
    running = latest(frame.running, row, last)
    before = latest(frame.running, row, stretch.first)
    lasted = whole_seconds(int(frame.at_us[last] - frame.at_us[stretch.first]))
    leaked = running == 0 or (running is not None and before is not None and running < before)
    held = f"held by {running:.0f} running" if running else "held by nobody"
    cause = (
        f"{frame.replicas[row]} has no room: KV usage {percent(usage)}, {held}, {waiting:.0f} requests wait "
        f"and nothing came out for {lasted}{gpus.clause(frame, row, last)}"
        + ("; the cache was not released when requests ended" if leaked else "")
    )
    votes = (gpus.stand_idle(frame, row, last), leaked, bool(frame.counts_tokens[row]) or None, True)
    return Case(cause=cause, rows=(row,), idle_rows=(row,), score=score(*votes), runner_up="A13")


DETECTOR = Detector(
    id="A6",
    title="KV cache full or leaked",
    severity=Severity.PAGE,
    stall=True,
    needs=("engine_samples.requests_waiting", "engine_samples.kv_usage_ratio"),
    signals=(
        "kv_usage",
        "waiting",
        "running",
        "progress",
        "preemptions",
        "sm_activity",
        "kernel_busy",
        "power_watts",
    ),
    rule=RULE,
    subjects=replicas,
    judge=judge,
    explain=explain,
)
