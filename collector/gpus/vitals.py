"""What the agent knows of its GPUs beside their readings: who answers, who lies, what is cut up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from collector.export.health import Vital
from collector.gpus.source import GpuSource
from collector.schedule import Watcher
from telemetry.catalog import PREFIX, MetricKind
from telemetry.samples import GpuSample

Values = dict[tuple[str, ...], float]

_INSTANCE: Final = ("gpu_uuid", "mig_parent_uuid", "mig_profile")


def gpu_vitals(watchers: Sequence[Watcher]) -> list[Vital]:
    """Return the series of the GPUs among the sources; no driver call."""
    sources = [watcher.source for watcher in watchers if isinstance(watcher.source, GpuSource)]
    now = time.monotonic()
    ages: Values = {
        (source.identity.uuid,): now - source.answered_at
        for source in sources
        if source.answered_at is not None
    }
    lies: Values = {
        (source.identity.uuid, rung.value): 1.0 for source in sources for rung in source.withdrawn
    }
    cut: Values = {
        (row.gpu_uuid, row.mig_parent_uuid or "", row.mig_profile or ""): 1.0 for row in _instances(watchers)
    }
    return [
        _gauge("gpu_driver_call_age_seconds", "How long ago the driver answered.", ("gpu_uuid",), ages),
        _gauge(
            "gpu_activity_withdrawn",
            "1 for a source of activity that reads zero while this GPU works, and is not used.",
            ("gpu_uuid", "source"),
            lies,
        ),
        _gauge("gpu_mig_instance", "1 for a MIG instance, with its GPU and profile.", _INSTANCE, cut),
    ]


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Values) -> Vital:
    return Vital(name, MetricKind.GAUGE, text, labels, values, PREFIX)


def _instances(watchers: Sequence[Watcher]) -> Iterator[GpuSample]:
    for watcher in watchers:
        for record in watcher.latest.records if watcher.latest else ():
            if isinstance(record, GpuSample) and record.mig_parent_uuid is not None:
                yield record
