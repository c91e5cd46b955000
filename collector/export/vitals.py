"""The agent's own health, gathered from its parts. Reads counters; waits for nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from collector.export.health import Vital, counter, counters, gauge, gauges
from collector.gpus.vitals import gpu_vitals
from collector.hardware.inventory import number_of
from collector.schedule import Watcher
from telemetry.samples import GpuSample

if TYPE_CHECKING:
    from collector.agent import Agent


_SOURCES: Final[tuple[tuple[str, str, Callable[..., Vital], Callable[[Watcher], float]], ...]] = (
    (
        "source_up",
        "1 when the last reading of the source went well.",
        gauges,
        lambda watcher: float(watcher.healthy),
    ),
    (
        "source_age_seconds",
        "How long ago the last reading of the source ended in time.",
        gauges,
        lambda watcher: watcher.age_seconds,
    ),
    (
        "source_unresponsive",
        "1 while a reading of the source hangs past its deadline.",
        gauges,
        lambda watcher: float(watcher.unresponsive),
    ),
    ("reads_total", "Readings ended.", counters, lambda watcher: watcher.reads),
    ("read_failures_total", "Readings that could not look.", counters, lambda watcher: watcher.failures),
    (
        "reads_abandoned_total",
        "Readings given up at their deadline; their late results are not used.",
        counters,
        lambda watcher: watcher.abandoned,
    ),
)


def vitals_of(agent: Agent) -> list[Vital]:
    """Return every series of the agent's own health."""
    watchers = agent.watchers
    return [
        *(
            make(name, text, "source", {watcher.source.name: value(watcher) for watcher in watchers})
            for name, text, make, value in _SOURCES
        ),
        gauges(
            "search_failing",
            "1 while looking for sources of a kind fails.",
            "kind",
            {search.name: float(search.trouble is not None) for search in agent.searches},
        ),
        gauge("gpus_expected", "GPUs the configuration expects.", _gpus_expected(agent)),
        gauge("gpus_up", "GPUs that answer.", _gpus_up(agent)),
        *gpu_vitals(watchers),
        counter("clock_steps_total", "Times the host's clock was set.", agent.clock.steps),
        gauge("duplicate", "1 while another agent measures this host.", float(agent.alone.disturbed)),
        *agent.doors.vitals(),
        *_delivery(agent),
    ]


def _gpus_expected(agent: Agent) -> int | None:
    expected = agent.settings.expected_gpus
    return None if expected is None else number_of(expected)


def _gpus_up(agent: Agent) -> int:
    samples = (record for record in agent.fresh_records() if isinstance(record, GpuSample))
    return sum(sample.up and sample.mig_parent_uuid is None for sample in samples)


def _delivery(agent: Agent) -> list[Vital]:
    if agent.sealer is None or agent.shipper is None or agent.journal is None:
        return []
    stats = agent.journal.stats()
    dropped = agent.buffer.dropped + agent.sealer.unsealable
    shipper = agent.shipper
    return [
        gauge("buffered_rows", "Rows not yet sealed.", len(agent.buffer)),
        counters("rows_dropped_total", "Rows dropped for want of room.", "table", dict(dropped)),
        counter("batches_sealed_total", "Batches put into the spool.", agent.sealer.sealed),
        counter("spool_refusals_total", "Times the spool took no batch.", agent.sealer.refused),
        gauge("spool_batches", "Batches not yet delivered.", stats.batches),
        gauge("spool_bytes", "What the spool takes on disk.", stats.used_bytes),
        gauge("spool_limit_bytes", "What it may take.", stats.bound_bytes),
        counter("spool_batches_dropped_total", "Batches given up for want of room.", stats.counts.dropped),
        gauge("spool_quarantined", "Batches the service refused, kept for a person.", stats.quarantined),
        counter("batches_shipped_total", "Batches the service acknowledged.", shipper.shipped),
        counters("ship_answers_total", "Answers of the service.", "status", dict(Counter(shipper.answers))),
        gauge("ship_up", "1 while batches are delivered.", float(shipper.trouble is None)),
        gauge("clock_offset_seconds", "How far the service's clock is ahead.", _offset_seconds(agent)),
    ]


def _offset_seconds(agent: Agent) -> float | None:
    offset_us = agent.shipper.clock_offset_us if agent.shipper else None
    return None if offset_us is None else offset_us / 1e6
