"""A detector's verdict on one subject: what, since when, why, what proves it, what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from anomalies.frame import ReplicaFrame
from anomalies.grid import Signal
from telemetry.condition import Condition, Holds, Severity
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_SECOND, NANO

SAMPLES: Final = 10
"""How many of the last samples of a signal evidence holds."""
MAX_EVIDENCE: Final = 64
"""Most series in one finding's evidence."""


@dataclass(frozen=True, slots=True)
class Series:
    """Evidence: the last samples of one signal of one replica, (instant UTC us, value), oldest first."""

    signal: str
    replica: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One anomaly of one subject.

    `end_us` None = it lasts. `idle_gpus` are the GPUs that stand idle because of it, whose
    time is its cost; empty for a class that leaves none idle, or when no placement names them.
    `score` is 0..1: the share of what could speak for or against it that spoke for it (unknown
    counts half); `runner_up` the class it is most easily taken for.
    """

    class_id: str
    subject: str
    """The replica or pool it is about: with the class, its identity while it lasts."""
    severity: Severity
    cause: str
    replicas: tuple[str, ...]
    pool: str
    model: str
    gpus: tuple[str, ...]
    idle_gpus: tuple[str, ...]
    start_us: int
    end_us: int | None
    evidence: tuple[Series, ...]
    score: float
    runner_up: str | None

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it while it lasts: class and subject."""
        return self.class_id, self.subject


def idle_cost_nano(finding: Finding, nano_per_gpu_hour: Mapping[str, int], now_us: int) -> int | None:
    """Return what its idle GPUs have cost so far, in nano-currency, rounded half up.

    `nano_per_gpu_hour` is the price of each GPU by identity. None = one of them has no price,
    or no GPU is known to stand idle.
    """
    prices = [nano_per_gpu_hour.get(gpu) for gpu in finding.idle_gpus]
    known = [price for price in prices if price is not None]
    if not known or len(known) < len(prices):
        return None
    until_us = now_us if finding.end_us is None else finding.end_us
    spent = sum(known) * max(0, until_us - finding.start_us)
    return (spent + MICROS_PER_HOUR // 2) // MICROS_PER_HOUR


def as_condition(
    finding: Finding, holds: Holds, *, cost_nano: int | None = None, currency: str = "USD"
) -> Condition:
    """Return a finding as the condition an alert watches. Its labels never change while it lasts."""
    labels = {"pool": finding.pool, "model": finding.model, "subject": finding.subject}
    if finding.replicas == (finding.subject,):
        labels["replica"] = finding.subject
    notes = {"summary": finding.cause, "replicas": ", ".join(finding.replicas)}
    if finding.gpus:
        notes["gpus"] = ", ".join(finding.gpus)
    if cost_nano is not None:
        notes["idle_cost"] = f"{cost_nano / NANO:.4f} {currency}"
    notes["confidence"] = f"{finding.score:.2f}"
    if finding.runner_up is not None:
        notes["runner_up"] = finding.runner_up
    return Condition(
        name=finding.class_id,
        labels=labels,
        severity=finding.severity,
        holds=holds,
        since_us=finding.start_us,
        annotations=notes,
    )


def score(*votes: bool | None) -> float:
    """Return the share of votes for: True 1, unknown (None) one half, False 0; 0..1."""
    return sum(0.5 if vote is None else float(vote) for vote in votes) / len(votes)


def evidence(
    frame: ReplicaFrame, replicas: Sequence[int], signals: Sequence[str], last: int
) -> tuple[Series, ...]:
    """Return the last `SAMPLES` known samples up to cell `last` of each named signal of the frame.

    Signals of which nothing is known are left out; at most `MAX_EVIDENCE` series.
    """
    found: list[Series] = []
    for row in replicas:
        for name in signals:
            signal: Signal = getattr(frame, name)
            cells = np.flatnonzero(signal.known[row, : last + 1])[-SAMPLES:]
            if cells.size:
                points = [(int(frame.at_us[cell]), float(signal.values[row, cell])) for cell in cells]
                found.append(Series(name, frame.replicas[row], tuple(points)))
    return tuple(found[:MAX_EVIDENCE])


def latest(signal: Signal, row: int, last: int) -> float | None:
    """Return a signal's last known value up to cell `last`; None = never known."""
    cells = np.flatnonzero(signal.known[row, : last + 1])
    return float(signal.values[row, cells[-1]]) if cells.size else None


def whole_seconds(duration_us: int) -> str:
    """Return a duration for a sentence, such as `42 s`."""
    return f"{duration_us / MICROS_PER_SECOND:.0f} s"


def percent(ratio: float | None) -> str:
    """Return a ratio for a sentence, such as `97 %`; `unknown` for None."""
    return "unknown" if ratio is None else f"{ratio:.0%}".replace("%", " %")
