"""Every five seconds: all objectives and detectors judged, and what changed committed.

Nothing is judged until the fold has counted everything that was in the journal at start; until
then every condition is unknown, which freezes alerts.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from alerts.routing import Route
from alerts.state import Alert
from anomalies.detect import Detection, Key, detect, track
from anomalies.detector import registry
from anomalies.finding import Finding, as_condition, idle_cost_nano
from anomalies.frame import ReplicaFrame, build
from anomalies.states import Life
from service.alerting.transitions import Alerting
from service.counting.counts import judge_counts
from service.counting.fold import Fold
from service.counting.unheard import Missing
from service.fleet.presence import Presence
from service.fleet.replica_states import ReplicaStates
from service.live import KEEP_US, LiveWindow
from service.own_metrics import Tally
from slo.conditions import conditions
from slo.evaluate import Judgement
from slo.objective import Objective
from telemetry.condition import Condition, Holds
from telemetry.frame import Frame
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

LOOK_BACK_US: Final = 3 * MICROS_PER_MINUTE
STEP_US: Final = MICROS_PER_SECOND
WITHDRAWN: Final = "the alert ends because its objective was withdrawn, not because it is well"
CHANGED: Final = "the alert ends because its objective no longer judges this group"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFinding:
    """A finding as it is remembered: its id, what it says now, what it has cost so far."""

    id: str
    finding: Finding
    cost_nano: int | None


class FindingRows(Protocol):
    """What the evaluator needs of the state store for findings."""

    def open_findings(self) -> list[KnownFinding]:
        """Return the findings that have not ended."""
        ...

    def save_findings(self, changed: Sequence[KnownFinding], now_us: int) -> None:
        """Keep new, changed and ended findings; one transaction."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the last evaluation saw. `ready` false = the fold was still catching up."""

    at_us: int
    took_us: int = 0
    ready: bool = False
    judgements: tuple[Judgement, ...] = ()
    frame: ReplicaFrame | None = None
    states: Mapping[str, Life] = field(default_factory=dict)
    """Every replica's state."""
    findings: tuple[KnownFinding, ...] = ()
    """Findings that are open."""
    alerts: tuple[Alert, ...] = ()
    all_well_since_us: int | None = None


@dataclass(slots=True, kw_only=True)
class Parts:
    """What an evaluator works with."""

    fold: Fold
    live: LiveWindow
    alerting: Alerting
    findings: FindingRows
    states: ReplicaStates
    presence: Presence
    routes: Callable[[], Sequence[Route]]
    prices: Callable[[Frame], Mapping[str, int]]
    """Nano-currency per hour of each GPU seen in a frame of GPU samples."""
    tally: Tally
    currency: str
    clock: Callable[[], int]


class Evaluator:
    """Judges on one thread; `latest` may be read by any."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._missing = parts, Missing()
        self._open = {known.finding.key: known for known in parts.findings.open_findings()}
        self.latest = Evaluation(at_us=parts.clock())

    def step(self) -> bool:
        """Judge once; false, as there is never more to do at once."""
        parts, began = self._parts, time.monotonic_ns()
        now_us = parts.clock()
        if not parts.fold.ready:
            self.latest = replace(self.latest, at_us=now_us, ready=False)
            return False
        judgements, judged = self._objectives(now_us)
        frame, engine_samples, gpu_samples = self._frame(now_us)
        detection = detect(frame)
        changed = self._changed(detection, parts.prices(gpu_samples), now_us)
        found = [*self._held(changed), *self._cleared(detection, changed)]
        events = parts.live.frame("events", now_us - KEEP_US, now_us)
        present = parts.presence.judge(gpu_samples, events, parts.alerting.open(), now_us)
        parts.fold.count_missing(self._missing.samples(parts.presence.unheard, now_us))
        round_ = parts.alerting.round([*judged, *found, *present], parts.routes(), now_us)
        self._keep(changed, now_us)
        states = parts.states.step(engine_samples, self._stalled(), now_us)
        parts.tally.add("evaluations")
        for transition in round_.transitions:
            parts.tally.add("transitions", transition.after)
        self.latest = Evaluation(
            at_us=now_us,
            took_us=(time.monotonic_ns() - began) // 1000,
            ready=True,
            judgements=judgements,
            frame=frame,
            states=dict(states),
            findings=tuple(self._open.values()),
            alerts=parts.alerting.standing,
            all_well_since_us=self._well_since(now_us),
        )
        return False

    def _objectives(self, now_us: int) -> tuple[tuple[Judgement, ...], list[Condition]]:
        with self._parts.fold.lock:
            counted = self._parts.fold.counts
            judgements = judge_counts(counted, now_us)
            told = [each for each in self._parts.alerting.open() if each.labels.get("objective") == each.name]
            asked = [
                condition
                for judgement, counts in zip(judgements, counted, strict=True)
                for condition in conditions(
                    judgement, counts.ring.first_bad_us, standing=_groups(judgement.objective, told)
                )
            ]
        return tuple(judgements), [*asked, *_dropped(told, judgements, asked)]

    def _stalled(self) -> set[str]:
        """Return the replicas on which a finding of a stall is open."""
        stalls = {detector.id for detector in registry() if detector.stall}
        return {
            replica
            for known in self._open.values()
            if known.finding.class_id in stalls
            for replica in known.finding.replicas
        }

    def _frame(self, now_us: int) -> tuple[ReplicaFrame, Frame, Frame]:
        live, start = self._parts.live, now_us - LOOK_BACK_US
        engine_samples = live.frame("engine_samples", start, now_us)
        gpu_samples = live.frame("gpu_samples", start, now_us)
        frame = build(
            engine_samples,
            gpu_samples,
            live.frame("placements", 0, now_us),
            live.frame("in_flight", start, now_us),
            requests=live.frame("requests", start, now_us),
            from_us=start,
            to_us=now_us,
            step_us=STEP_US,
        )
        return frame, engine_samples, gpu_samples

    def _changed(self, detection: Detection, prices: Mapping[str, int], now_us: int) -> list[KnownFinding]:
        """Return the findings that are new, last or have ended, as they are now."""
        tracked = track([known.finding for known in self._open.values()], detection)
        return [self._known(f, prices, now_us) for f in (*tracked.open, *tracked.closed)]

    def _held(self, changed: Sequence[KnownFinding]) -> list[Condition]:
        return [
            as_condition(known.finding, Holds.YES, cost_nano=known.cost_nano, currency=self._parts.currency)
            for known in changed
            if known.finding.end_us is None
        ]

    def _keep(self, changed: Sequence[KnownFinding], now_us: int) -> None:
        """Write findings, and take them for open or ended once that has succeeded."""
        if changed:
            self._parts.findings.save_findings(changed, now_us)
            self._open = self._after(changed)

    def _after(self, changed: Sequence[KnownFinding]) -> dict[Key, KnownFinding]:
        known = self._open | {each.finding.key: each for each in changed}
        return {key: each for key, each in known.items() if each.finding.end_us is None}

    def _known(self, finding: Finding, prices: Mapping[str, int], now_us: int) -> KnownFinding:
        before = self._open.get(finding.key)
        return KnownFinding(
            id=before.id if before else finding_id(finding),
            finding=finding,
            cost_nano=idle_cost_nano(finding, prices, now_us),
        )

    def _cleared(self, detection: Detection, changed: Sequence[KnownFinding]) -> Iterable[Condition]:
        """Yield what is known to be well again, for every alert about a finding that is open.

        Asked of the alerts and not of the findings, so that a crash between the two commits
        leaves no alert behind.
        """
        classes, lasting = {detector.id for detector in registry()}, self._after(changed)
        for alert in self._parts.alerting.open():
            key = (alert.name, alert.labels.get("subject", ""))
            if alert.name in classes and key in detection.cleared and key not in lasting:
                yield _no_longer(alert)

    def _well_since(self, now_us: int) -> int | None:
        if self._parts.alerting.open():
            return None
        return self.latest.all_well_since_us or now_us


def _identity(name: str, labels: Mapping[str, str]) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def _groups(objective: Objective, told: Sequence[Alert]) -> set[tuple[str, ...]]:
    """Return the groups of an objective of which alerts are open."""
    return {
        tuple(alert.labels.get(column, "") for column in objective.group_by)
        for alert in told
        if alert.name == objective.name
    }


def _dropped(
    told: Sequence[Alert], judgements: Sequence[Judgement], judged: Sequence[Condition]
) -> Iterable[Condition]:
    """Yield the end, and why, of every open alert that no objective asks for any more."""
    asked = {_identity(each.name, each.labels) for each in judged}
    there = {judgement.objective.name for judgement in judgements}
    for alert in told:
        if _identity(alert.name, alert.labels) not in asked:
            yield _no_longer(alert, f"{alert.name}: {CHANGED if alert.name in there else WITHDRAWN}")


def _no_longer(alert: Alert, why: str = "") -> Condition:
    told = {"ended": why} if why else {}
    return Condition(
        name=alert.name,
        labels=alert.labels,
        severity=alert.severity,
        holds=Holds.NO,
        annotations={**alert.annotations, **told},
    )


def finding_id(finding: Finding) -> str:
    """Return a finding's id, which follows from class, subject and start alone."""
    text = f"{finding.class_id}\0{finding.subject}\0{finding.start_us}"
    return f"{finding.class_id.lower()}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
