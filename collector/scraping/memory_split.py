"""Where a replica's GPU memory goes, as far as it can be known. Pure.

    used by processes = weights + KV pool + the rest (activations, graphs, fragments)
    KV pool           = held by running requests + free

The driver tells used, reserved and free (NVML's second version: used excludes reserved); weights
and pool come from the engine's start-up log, or from the model's parameters in the settings. A
part that cannot be known is None, and so is the rest while weights or pool are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from telemetry.samples import EngineSample, GpuSample


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySplit:
    """Parts of a replica's memory in bytes; None = not known."""

    weights: int | None
    kv_used: int | None
    kv_free: int | None
    other: int | None
    reserved: int | None
    free: int | None


def split(sample: EngineSample, gpus: Sequence[GpuSample]) -> MemorySplit:
    """Return the parts. `gpus` are the replica's alone, all of them; empty = not known which.

    The rest is None too when it comes out negative: then log or parameters are another model's.
    """
    pool, usage = sample.kv_pool_bytes, sample.kv_usage_ratio
    held = None if pool is None or usage is None else round(pool * usage)
    used = _sum([gpu.memory_used_bytes for gpu in gpus])
    rest = (
        None
        if used is None or sample.weights_bytes is None or pool is None
        else used - sample.weights_bytes - pool
    )
    return MemorySplit(
        weights=sample.weights_bytes,
        kv_used=held,
        kv_free=None if held is None or pool is None else pool - held,
        other=rest if rest is None or rest >= 0 else None,
        reserved=_sum([gpu.memory_reserved_bytes for gpu in gpus]),
        free=_sum([gpu.memory_free_bytes for gpu in gpus]),
    )


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
