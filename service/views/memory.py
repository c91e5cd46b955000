"""Where a GPU's memory goes: weights, KV cache held and free, and the rest. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def parts(gpu: Mapping[str, Any], engine: Mapping[str, Any], gpus: int) -> dict[str, float | None] | None:
    """Return a GPU's share of its replica's memory in bytes; None = nothing of it is known.

    `gpus` is how many GPUs the replica has, equal in what they hold. A part that is not known is
    None; so is the rest when it comes out negative: the engine's words are another model's.
    """
    weights, pool = engine.get("weights"), engine.get("kv_pool")
    if not gpus or (weights is None and pool is None):
        return None
    held = None if pool is None or engine["kv"] is None else pool * engine["kv"]
    used = gpu["memory_used"]
    rest = None if used is None or weights is None or pool is None else used - (weights + pool) / gpus
    return {
        "weights": None if weights is None else weights / gpus,
        "kv_used": None if held is None else held / gpus,
        "kv_pool": None if pool is None else pool / gpus,
        "other": rest if rest is None or rest >= 0 else None,
    }
