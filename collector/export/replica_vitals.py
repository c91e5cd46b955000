"""What /metrics says of replicas and their GPUs: who is placed where, and where the memory goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

from collector.export.health import Vital
from collector.schedule import Watcher
from collector.scraping.engine_source import EngineSource
from collector.scraping.memory_split import MemorySplit, split
from telemetry.catalog import PREFIX, MetricKind
from telemetry.columns import Record
from telemetry.identity import UNMAPPED
from telemetry.placement import Placement, PlacementSource
from telemetry.samples import EngineSample, GpuSample


def placement_vitals(records: Sequence[Record], placements: Sequence[Placement]) -> list[Vital]:
    """Return which replica each GPU serves, and how sure that is; a GPU that nothing places says so."""
    placed = {each.gpu_uuid: each for each in placements}
    values: dict[tuple[str, ...], float] = {}
    for sample in records:
        if isinstance(sample, GpuSample):
            place = placed.get(sample.gpu_uuid)
            if place is None:
                values[sample.gpu_uuid, UNMAPPED, PlacementSource.NONE.value] = 0.0
            else:
                values[sample.gpu_uuid, place.replica, place.source.value] = place.confidence_ratio
    text = "Which replica the GPU serves, by what it is known, and how sure (0..1); 0 = unmapped."
    return [Vital("gpu_placement", MetricKind.GAUGE, text, ("gpu_uuid", "replica", "source"), values, PREFIX)]


def memory_vitals(records: Sequence[Record], gpus_of: Callable[[str], Sequence[str]]) -> list[Vital]:
    """Return the parts of every replica's memory. `gpus_of` names a replica's GPUs by UUID."""
    gpus = {record.gpu_uuid: record for record in records if isinstance(record, GpuSample)}
    values: dict[tuple[str, ...], float] = {}
    blocks: dict[tuple[str, ...], float] = {}
    for sample in records:
        if not isinstance(sample, EngineSample) or not sample.up:
            continue
        if sample.kv_blocks is not None and sample.kv_usage_ratio is not None:
            held_blocks = round(sample.kv_blocks * sample.kv_usage_ratio)
            blocks[sample.replica, "used"] = held_blocks
            blocks[sample.replica, "free"] = sample.kv_blocks - held_blocks
        held = gpus_of(sample.replica)
        there = [gpus[uuid] for uuid in held if uuid in gpus]
        parts = split(sample, there if len(there) == len(held) else [])
        for part in fields(MemorySplit):
            value = getattr(parts, part.name)
            if value is not None:
                values[sample.replica, part.name] = float(value)
    text = (
        "GPU memory of the replica by part: weights, KV pool used and free, other (activations, graphs), "
        "reserved by the driver, free."
    )
    kv_text = "KV blocks by whether a running request holds them."
    return [
        Vital("engine_memory_bytes", MetricKind.GAUGE, text, ("replica", "part"), values, PREFIX),
        Vital("engine_kv_pool_blocks", MetricKind.GAUGE, kv_text, ("replica", "state"), blocks, PREFIX),
    ]


def start_up_vitals(watchers: Sequence[Watcher]) -> list[Vital]:
    """Return what the engines' start-up logs tell of the memory that is neither weights nor KV pool."""
    values: dict[tuple[str, ...], float] = {}
    for watcher in watchers:
        if not isinstance(watcher.source, EngineSource):
            continue
        for replica, told in watcher.source.start_ups.items():
            for part, size in (("activations", told.activations_bytes), ("graphs", told.graphs_bytes)):
                if size is not None:
                    values[replica, part] = float(size)
    text = "Of the part `other`, by the start-up log: activations at their peak, and captured graphs."
    return [Vital("engine_start_up_bytes", MetricKind.GAUGE, text, ("replica", "part"), values, PREFIX)]
