"""Where the memory goes, and what stays unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.scraping.memory_split import MemorySplit, split
from telemetry.samples import EngineSample, GpuSample

GIB = 1 << 30
ENGINE = EngineSample(
    at_us=0,
    replica="n:8000",
    host="n",
    engine="vllm",
    weights_bytes=30 * GIB,
    kv_pool_bytes=40 * GIB,
    kv_usage_ratio=0.25,
)
GPU = GpuSample(
    at_us=0,
    gpu_uuid="GPU-a",
    host="n",
    memory_used_bytes=76 * GIB,
    memory_reserved_bytes=GIB,
    memory_free_bytes=3 * GIB,
)


def test_every_part_is_known():
    assert split(ENGINE, [GPU]) == MemorySplit(
        weights=30 * GIB, kv_used=10 * GIB, kv_free=30 * GIB, other=6 * GIB, reserved=GIB, free=3 * GIB
    )


@pytest.mark.parametrize(
    ("engine", "gpus", "unknown"),
    [
        (replace(ENGINE, weights_bytes=None), [GPU], {"weights", "other"}),
        (replace(ENGINE, kv_pool_bytes=None), [GPU], {"kv_used", "kv_free", "other"}),
        (replace(ENGINE, kv_usage_ratio=None), [GPU], {"kv_used", "kv_free"}),
        (ENGINE, [], {"other", "reserved", "free"}),
        (ENGINE, [GPU, replace(GPU, memory_used_bytes=None)], {"other"}),
        (replace(ENGINE, weights_bytes=50 * GIB), [GPU], {"other"}),
    ],
    ids=["no weights", "no pool", "no usage", "no gpus", "one gpu silent", "another model's"],
)
def test_what_cannot_be_known_is_none_and_never_zero(engine, gpus, unknown):
    parts = split(engine, gpus)
    assert {name for name in MemorySplit.__dataclass_fields__ if getattr(parts, name) is None} == unknown


@given(
    weights=st.integers(0, 80 * GIB),
    pool=st.integers(0, 80 * GIB),
    used=st.integers(0, 160 * GIB),
    usage=st.floats(0, 1),
)
def test_the_parts_add_up_to_what_is_used(weights, pool, used, usage):
    engine = replace(ENGINE, weights_bytes=weights, kv_pool_bytes=pool, kv_usage_ratio=usage)
    parts = split(engine, [replace(GPU, memory_used_bytes=used)])
    if parts.other is not None:
        assert parts.weights + parts.kv_used + parts.kv_free + parts.other == used
