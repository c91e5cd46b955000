"""What changed between two samples of a GPU that a person should see: memory errors, forced slowdowns.

Thresholds are the driver's own (a hardware slowdown halves the clock or worse; an uncorrected ECC
error and a failed row remap need hands), not ours: a power cap or a busy link is no event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telemetry.counters import increase
from telemetry.events import EventKind
from telemetry.samples import GpuSample

SLOWDOWNS: Final = {0x8: "hardware slowdown", 0x40: "hardware thermal slowdown", 0x80: "power brake"}
"""NVML's clocks event reasons that cut the clock by half or more."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that began: the event's kind, its number (reason bits, errors) and its sentence."""

    kind: EventKind
    code: int
    sentence: str


def changes(before: GpuSample | None, after: GpuSample) -> list[Change]:
    """Return what began since the sample before (None = this is the first); empty = nothing did."""
    return [*_slowdowns(before, after), *_memory(before, after)]


def _slowdowns(before: GpuSample | None, after: GpuSample) -> list[Change]:
    held = (before.event_reasons or 0) if before else 0
    new = {bit: words for bit, words in SLOWDOWNS.items() if (after.event_reasons or 0) & ~held & bit}
    if not new:
        return []
    return [Change(EventKind.THROTTLE, sum(new), f"clocks are cut: {', '.join(new.values())}")]


def _memory(before: GpuSample | None, after: GpuSample) -> list[Change]:
    found: list[Change] = []
    if before is not None:
        errors = increase(before.ecc_uncorrected_total, after.ecc_uncorrected_total)
        if errors:
            found.append(Change(EventKind.ECC, int(errors), f"{int(errors)} uncorrected ECC errors"))
    if after.remap_failed and not (before and before.remap_failed):
        found.append(Change(EventKind.ECC, 0, "a row remap failed: replace the GPU"))
    if after.remap_pending and not (before and before.remap_pending):
        found.append(Change(EventKind.ECC, 0, "a row remap waits for a reset: drain it, then reset it"))
    return found
