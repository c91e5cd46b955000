"""What is wrong with a GPU that answers, as its newest sample tells: the words every place says it in.

Thresholds are the driver's own (a hardware slowdown halves the clock or worse, a failed row remap
needs hands, a link is narrower than this GPU in this slot could have), not ours: a power cap, a
corrected error or a busy link is no concern.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from telemetry.events import EventKind
from telemetry.samples import GpuSample

SLOWDOWNS: Final = {0x8: "hardware slowdown", 0x40: "hardware thermal slowdown", 0x80: "power brake"}
"""NVML's clocks event reasons that cut the clock by half or more."""
ACTIONS: Final = {
    1: "a reset of the GPU",
    2: "a reboot of the node",
    3: "a drain of its peer-to-peer work",
    4: "a drain, then a reset of the GPU",
    5: "a restart of IMEX",
    6: "a reset of the bus",
    7: "a reboot of the system",
}
"""What NVML's field "GPU recovery action" asks for, by number."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """A fault that stays until it is mended: the event it is, and its sentence; None = it is not there."""

    kind: EventKind
    says: Callable[[GpuSample], str | None]


def _narrow(sample: GpuSample) -> str | None:
    width, most = sample.pcie_width, sample.pcie_width_max
    if width is None or most is None or width >= most:
        return None
    return f"its PCIe link has {width} of {most} lanes: seat it anew, or replace riser or board"


LASTING: Final = (
    Lasting(EventKind.ECC, lambda s: "a row remap failed: replace the GPU" if s.remap_failed else None),
    Lasting(
        EventKind.ECC,
        lambda s: "a row remap waits for a reset: drain it, then reset it" if s.remap_pending else None,
    ),
    Lasting(EventKind.LINK, _narrow),
)
"""The faults, worst first. Each is an event when it begins, and a ticket while it lasts."""
LASTING_COLUMNS: Final = ("remap_failed", "remap_pending", "pcie_width", "pcie_width_max")
"""What they are told by."""


def slowdown(reasons: int | None) -> str | None:
    """Return what cuts the clocks now, of NVML's clocks event reasons; None = nothing does."""
    cut = [words for bit, words in SLOWDOWNS.items() if (reasons or 0) & bit]
    return f"clocks are cut: {', '.join(cut)}" if cut else None


def recovery(action: int | None) -> str | None:
    """Return what the driver asks for to mend the GPU; None = nothing, or it is not told."""
    return f"the driver asks for {ACTIONS.get(action, f'recovery {action}')}" if action else None


def lasting(sample: GpuSample) -> list[str]:
    """Return the faults that stay until somebody mends them, worst first."""
    return [said for fault in LASTING if (said := fault.says(sample))]


def concerns(sample: GpuSample) -> list[str]:
    """Return all that is wrong, worst first; empty = nothing that this GPU and driver tell.

    A lost GPU tells nothing: that it is lost is said elsewhere.
    """
    found = (recovery(sample.recovery_action), *lasting(sample), slowdown(sample.event_reasons))
    return [said for said in found if said]
