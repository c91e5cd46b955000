"""What /metrics says of the memory of each replica: its parts, those that are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

from collector.health import Vital
from collector.memory_split import MemorySplit, split
from telemetry.catalog import PREFIX, MetricKind
from telemetry.columns import Record
from telemetry.samples import EngineSample, GpuSample


def memory_vitals(records: Sequence[Record], gpus_of: Callable[[str], Sequence[str]]) -> list[Vital]:
    """Return the parts of every replica's memory. `gpus_of` names a replica's GPUs by UUID."""
    gpus = {record.gpu_uuid: record for record in records if isinstance(record, GpuSample)}
    values: dict[tuple[str, ...], float] = {}
    for sample in records:
        if not isinstance(sample, EngineSample) or not sample.up:
            continue
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
    return [Vital("engine_memory_bytes", MetricKind.GAUGE, text, ("replica", "part"), values, PREFIX)]
