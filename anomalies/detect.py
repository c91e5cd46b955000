"""One evaluation of every detector, and what it changes in the findings that are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from anomalies.detector import Detector, registry
from anomalies.finding import Finding
from anomalies.frame import ReplicaFrame
from anomalies.runs import Verdict, good_since, stretches

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Detection:
    """What a frame shows. `cleared` maps (class, subject) to since when it is known to be good.

    A subject that is neither found nor cleared is not known: whatever is open stays open.
    """

    findings: tuple[Finding, ...]
    cleared: Mapping[Key, int]


@dataclass(frozen=True, slots=True)
class Tracked:
    """What one evaluation changes: newly open, still open (with its new figures), and ended."""

    opened: tuple[Finding, ...]
    updated: tuple[Finding, ...]
    closed: tuple[Finding, ...]

    @property
    def open(self) -> tuple[Finding, ...]:
        """The findings that are open after it, but for those nothing is known of."""
        return (*self.opened, *self.updated)


def detect(frame: ReplicaFrame, detectors: Sequence[Detector] | None = None) -> Detection:
    """Return every finding in a frame, by class and time, and what is known to be well.

    The same function judges the last three minutes every five seconds and a whole recording
    at once. `detectors` None = all of them.
    """
    findings: list[Finding] = []
    cleared: dict[Key, int] = {}
    for detector in registry() if detectors is None else detectors:
        verdict = detector.judge(frame)
        found = stretches(verdict, frame.at_us, detector.rule)
        findings += [detector.finding(frame, stretch) for stretch in found]
        cleared.update(_cleared(detector, frame, verdict))
    return Detection(tuple(_unexplained(findings)), cleared)


def _cleared(detector: Detector, frame: ReplicaFrame, verdict: Verdict) -> dict[Key, int]:
    since = good_since(verdict, frame.at_us, detector.rule.quiet_us)
    names = detector.subjects(frame)
    return {(detector.id, name): int(at) for name, at in zip(names, since, strict=True) if at >= 0}


def _unexplained(findings: Sequence[Finding]) -> list[Finding]:
    """Leave out what a stall explains: a pool's pressure at replicas that all stood still meanwhile."""
    stalls = {detector.id for detector in registry() if detector.stall}
    stalled = [finding for finding in findings if finding.class_id in stalls]
    return [
        finding
        for finding in findings
        if finding.class_id in stalls
        or not set(finding.replicas) <= {r for s in stalled if _overlap(finding, s) for r in s.replicas}
    ]


def _overlap(one: Finding, other: Finding) -> bool:
    return (one.end_us is None or other.start_us <= one.end_us) and (
        other.end_us is None or one.start_us <= other.end_us
    )


def track(open_findings: Sequence[Finding], detection: Detection) -> Tracked:
    """Return what a detection changes in the open findings. Pure; each key is open at most once.

    A finding closes only when its subject is known to be good again: absence and the unknown
    change nothing. A finding that lasts keeps the start, pool and model it was opened with.
    """
    lasting = {finding.key: finding for finding in detection.findings if finding.end_us is None}
    ended = {finding.key: finding for finding in detection.findings if finding.end_us is not None}
    known = {finding.key: finding for finding in open_findings}
    opened = [finding for key, finding in lasting.items() if key not in known]
    updated, closed = [], []
    for key, before in known.items():
        if key in lasting:
            now = lasting[key]
            start_us = min(now.start_us, before.start_us)
            updated.append(replace(now, start_us=start_us, pool=before.pool, model=before.model))
        elif key in detection.cleared:
            end_us = ended[key].end_us if key in ended else detection.cleared[key]
            closed.append(replace(before, end_us=max(before.start_us, end_us or before.start_us)))
    return Tracked(tuple(opened), tuple(updated), tuple(closed))
