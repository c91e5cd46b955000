"""What a detector is, and where they are found: one file of `anomalies.detectors` each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from anomalies import detectors
from anomalies.finding import Finding, evidence
from anomalies.frame import ReplicaFrame
from anomalies.runs import Rule, Stretch, Verdict
from telemetry.condition import Severity
from telemetry.frame import Mask
from telemetry.units import MICROS_PER_SECOND

HOLD_US: Final = 2 * MICROS_PER_SECOND
"""How long a sample stands for its replica beside another's, since no two are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a detector says of one stretch: the sentence and the figures behind it."""

    cause: str
    rows: Sequence[int]
    """The replicas it is about, as rows of the frame, most telling first."""
    idle_rows: Sequence[int]
    """Those whose GPUs stand idle because of it."""
    score: float
    runner_up: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One class of anomaly. `judge` and `explain` are pure functions of the frame.

    `subjects` names the rows of the verdict: the frame's replicas or its pools. `stall` =
    demand without progress, which explains whatever else is seen on the same replica.
    """

    id: str
    title: str
    severity: Severity
    stall: bool
    needs: tuple[str, ...]
    """The columns it cannot do without, as table.column."""
    signals: tuple[str, ...]
    """The signals of the frame that its evidence shows."""
    rule: Rule
    subjects: Callable[[ReplicaFrame], tuple[str, ...]]
    judge: Callable[[ReplicaFrame], Verdict]
    explain: Callable[[ReplicaFrame, Stretch], Case]

    def finding(self, frame: ReplicaFrame, stretch: Stretch) -> Finding:
        """Return one stretch as a finding, with its evidence."""
        case = self.explain(frame, stretch)
        first = case.rows[0]
        return Finding(
            class_id=self.id,
            subject=self.subjects(frame)[stretch.subject],
            severity=self.severity,
            cause=case.cause,
            replicas=tuple(frame.replicas[row] for row in case.rows),
            pool=frame.pools[first],
            model=frame.models[first],
            gpus=_gpus(frame, case.rows),
            idle_gpus=_gpus(frame, case.idle_rows),
            start_us=int(frame.at_us[stretch.first]),
            end_us=int(frame.at_us[stretch.last]) if stretch.over else None,
            evidence=evidence(frame, case.rows, self.signals, stretch.last),
            score=case.score,
            runner_up=case.runner_up,
        )


def _gpus(frame: ReplicaFrame, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(gpu for row in rows for gpu in frame.gpus[row])


def replicas(frame: ReplicaFrame) -> tuple[str, ...]:
    """Return the subjects of a detector that judges replicas."""
    return frame.replicas


def pools(frame: ReplicaFrame) -> tuple[str, ...]:
    """Return the subjects of a detector that judges pools: the pools, sorted."""
    return tuple(sorted(set(frame.pools)))


def membership(frame: ReplicaFrame) -> Mask:
    """Return which replica belongs to which pool, [P, R], in the order of `pools`."""
    names = np.array(frame.pools, dtype=np.str_)
    members: Mask = np.array(pools(frame), dtype=np.str_)[:, None] == names[None, :]
    return members


def anywhere(members: Mask, cells: Mask) -> Mask:
    """Return where any member of a pool is true: [P, R] and [R, T] give [P, T]."""
    found: Mask = members.astype(np.int64) @ cells.astype(np.int64) > 0
    return found


def calm(members: Mask, suspects: Mask, known: Mask) -> Mask:
    """Return where a pool may be called good, [P, T]: heard of, and no suspect [R] of it silent.

    `known` [R, T] is where a replica is heard of. A suspect is silent for as long as the frame
    remembers it; then the pool is judged by the replicas that are left.
    """
    silent: Mask = suspects[:, None] & ~known
    return anywhere(members, known) & ~anywhere(members, silent)


@cache
def registry() -> tuple[Detector, ...]:
    """Return every detector of the folder, by id. A file without `DETECTOR` is an error."""
    names = sorted(module.name for module in pkgutil.iter_modules(detectors.__path__))
    found: list[Detector] = []
    for name in names:
        detector = importlib.import_module(f"{detectors.__name__}.{name}").DETECTOR
        if not isinstance(detector, Detector):
            raise TypeError(f"anomalies/detectors/{name}.py: DETECTOR is not a Detector")
        found.append(detector)
    return tuple(found)
