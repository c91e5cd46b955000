"""The fleets we simulate, as data.

H100 SXM figures are the maker's (80 GB, 3.35 TB/s, 989 TFLOP/s dense bf16, 700 W; about 70 W
idle). The 8B step law is the published H100 fit, 6.5 ms + 0.147 ms per sequence, its slope
split between sequence and context at about 1,200 tokens. The others follow from reading the
weights at 75 % of bandwidth and computing prefill at half of peak, as the 8B figures do.
"""

from __future__ import annotations

from typing import Final

from simulator.specs import EngineSpec, FleetSpec, GpuModel, PoolPlan, StepLaw, build_fleet

H100: Final = GpuModel(
    name="NVIDIA H100 80GB HBM3 (simulated)",
    memory_bytes=85_520_809_984,
    reserved_bytes=612_368_384,
    idle_watts=70.0,
    limit_watts=700.0,
    tensor_flops=989e12,
    dram_bytes_per_second=3.35e12,
    sm_clock_mhz=1980,
    idle_clock_mhz=345,
)

LLAMA_8B: Final = EngineSpec(
    model="sim-llama-8b",
    parameters=8.03e9,
    weights_bytes=16_060_000_000,
    kv_bytes_per_token=131_072,
    law=StepLaw(fixed_us=6_500, per_sequence_us=100, per_context_token_us=0.039, per_prefill_token_us=32.5),
    blocks=27_450,
    max_model_tokens=32_768,
)

QWEN_32B: Final = EngineSpec(
    model="sim-qwen-32b",
    parameters=32.8e9,
    weights_bytes=65_600_000_000,
    kv_bytes_per_token=262_144,
    law=StepLaw(fixed_us=26_100, per_sequence_us=220, per_context_token_us=0.078, per_prefill_token_us=133.0),
    blocks=2_200,
    max_sequences=128,
    max_model_tokens=16_384,
)

LLAMA_70B: Final = EngineSpec(
    model="sim-llama-70b",
    parameters=70.6e9,
    weights_bytes=141_200_000_000,
    kv_bytes_per_token=327_680,
    law=StepLaw(fixed_us=30_100, per_sequence_us=240, per_context_token_us=0.049, per_prefill_token_us=143.0),
    tensor_parallel=2,
    blocks=2_600,
    max_sequences=128,
    max_model_tokens=16_384,
)

CHAT_POOL: Final = "chat"
CODE_POOL: Final = "code"


def demo_fleet() -> FleetSpec:
    """Return the demo's fleet: 8 H100 on one host, three 70B replicas on two each, two 32B.

    The models are large for their GPUs on purpose: a token takes about 30 ms, which one laptop
    can stream, and KV is scarce, so an overload shows within seconds.
    """
    return build_fleet(
        "demo",
        (
            PoolPlan(name=CHAT_POOL, engine=LLAMA_70B, gpu=H100, replicas=3),
            PoolPlan(name=CODE_POOL, engine=QWEN_32B, gpu=H100, replicas=2),
        ),
    )


def replay_fleet(replicas: int = 2) -> FleetSpec:
    """Return one pool of 8B replicas, one H100 each: enough for the Azure traces."""
    return build_fleet("replay", (PoolPlan(name=CHAT_POOL, engine=LLAMA_8B, gpu=H100, replicas=replicas),))
