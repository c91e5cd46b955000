"""What began between two samples of a GPU that a person should see: faults, errors, forced slowdowns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from collector.hardware.concerns import LASTING, SLOWDOWNS, slowdown
from telemetry.counters import increase
from telemetry.events import EventKind
from telemetry.samples import GpuSample


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that began: the event's kind, its number (reason bits, errors) and its sentence."""

    kind: EventKind
    code: int
    sentence: str


def changes(before: GpuSample | None, after: GpuSample) -> list[Change]:
    """Return what began since the sample before (None = this is the first); empty = nothing did."""
    return [*_slowdowns(before, after), *_errors(before, after), *_faults(before, after)]


def _slowdowns(before: GpuSample | None, after: GpuSample) -> Iterator[Change]:
    held = (before.event_reasons or 0) if before else 0
    new = (after.event_reasons or 0) & ~held & sum(SLOWDOWNS)
    sentence = slowdown(new)
    if sentence:
        yield Change(EventKind.THROTTLE, new, sentence)


def _errors(before: GpuSample | None, after: GpuSample) -> Iterator[Change]:
    errors = increase(before.ecc_uncorrected_total, after.ecc_uncorrected_total) if before else None
    if errors:
        yield Change(EventKind.ECC, int(errors), f"{int(errors)} uncorrected ECC errors")


def _faults(before: GpuSample | None, after: GpuSample) -> Iterator[Change]:
    for fault in LASTING:
        sentence = fault.says(after)
        if sentence and sentence != (fault.says(before) if before else None):
            yield Change(fault.kind, 0, sentence)
