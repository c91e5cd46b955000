"""What /metrics says of the hardware's health beside the readings: Xids by code, and what still stands."""

from __future__ import annotations

from collector.export.health import Vital, counter
from collector.hardware.desk import HardwareDesk
from telemetry.catalog import PREFIX, MetricKind
from telemetry.units import MICROS_PER_SECOND

_LABELS = ("gpu_uuid", "code")


def hardware_vitals(desk: HardwareDesk) -> list[Vital]:
    """Return the series of Xids. A GPU whose UUID is not known stands there by its PCI address."""
    return [
        Vital(
            "gpu_xid_errors_total",
            MetricKind.COUNTER,
            "Xid errors by code, each counted once however many ways it was reported.",
            _LABELS,
            {(gpu, str(code)): float(count) for (gpu, code), count in desk.counts().items()},
            PREFIX,
        ),
        Vital(
            "gpu_xid_last_seen_timestamp_seconds",
            MetricKind.GAUGE,
            "When the GPU last had this Xid.",
            _LABELS,
            {(gpu, str(code)): at / MICROS_PER_SECOND for (gpu, code), at in desk.last_seen_us().items()},
            PREFIX,
        ),
        Vital(
            "gpu_xid_stands",
            MetricKind.GAUGE,
            "1 while this Xid stands against the GPU: until a reset is seen, the host is booted anew, "
            "the driver asks for no recovery any more, or a later Xid takes it back.",
            (*_LABELS, "verdict"),
            {(each.gpu, str(each.code), each.verdict.value): 1.0 for each in desk.troubles()},
            PREFIX,
        ),
        counter(
            "hardware_events_held_back_total", "Events of storms that were counted, not told.", desk.held_back
        ),
    ]
