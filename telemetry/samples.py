"""One reading of a GPU and one of an engine.

None = not measured; 0 = measured zero; a lost GPU or a silent engine is `up=False` with its
identity and nothing else. A stale value is never sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from telemetry.identity import Vantage


class ActivitySource(StrEnum):
    """Where an activity ratio comes from, best first; a value never travels without it."""

    GPM_COUNTERS = "gpm_counters"
    GPM = "gpm"
    CLOCK_WEIGHTED = "clock_weighted"
    POWER = "power"
    KERNEL_BUSY = "kernel_busy"
    RECORDED = "recorded"
    SIMULATED = "simulated"


ESTIMATES: Final = frozenset({ActivitySource.CLOCK_WEIGHTED, ActivitySource.POWER})
"""Sources that make SM activity of something else: good for a page, no evidence of work or idleness."""


class ReplicaState(StrEnum):
    """Where a replica is in its life; only ready, stalled and lost may page."""

    UNKNOWN = "unknown"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    PAUSED = "paused"
    STALLED = "stalled"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One reading of one GPU at 1 Hz. Ratios are 0..1; `*_total` and energy are counters."""

    at_us: int
    gpu_uuid: str
    host: str
    gpu_index: int | None = None
    gpu_model: str | None = None
    pci_bus_id: str | None = None
    mig_parent_uuid: str | None = None
    mig_profile: str | None = None
    mig_instance: int | None = None
    """The driver's number of the GPU instance that this MIG instance is or lies in."""
    driver_version: str | None = None
    up: bool = True

    # Activity. `kernel_busy_ratio` is what nvidia-smi calls utilization; the others mean work.
    kernel_busy_ratio: float | None = None
    memory_busy_ratio: float | None = None
    encoder_busy_ratio: float | None = None
    decoder_busy_ratio: float | None = None
    sm_activity_ratio: float | None = None
    sm_occupancy_ratio: float | None = None
    tensor_activity_ratio: float | None = None
    dram_activity_ratio: float | None = None
    activity_source: ActivitySource | None = None

    # Memory (NVML v2: used excludes reserved).
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    memory_free_bytes: int | None = None

    # Power, clocks, heat. Money uses the energy counter; power is for display.
    power_watts: float | None = None
    power_limit_watts: float | None = None
    energy_millijoules_total: int | None = None
    sm_clock_mhz: int | None = None
    sm_clock_max_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_celsius: float | None = None
    memory_temperature_celsius: float | None = None

    # Health.
    event_reasons: int | None = None
    """Bit mask of NVML clocks event reasons; 0x8, 0x40 and 0x80 are hardware slowdowns."""
    throttle_power_us_total: int | None = None
    throttle_thermal_us_total: int | None = None
    throttle_hardware_us_total: int | None = None
    ecc_corrected_total: int | None = None
    ecc_uncorrected_total: int | None = None
    remapped_rows_corrected: int | None = None
    remapped_rows_uncorrected: int | None = None
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    recovery_action: int | None = None

    # Links.
    pcie_generation: int | None = None
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    pcie_replays_total: int | None = None
    pcie_tx_bytes_total: int | None = None
    pcie_rx_bytes_total: int | None = None
    nvlink_tx_bytes_total: int | None = None
    nvlink_rx_bytes_total: int | None = None
    nvlink_errors_total: int | None = None

    read_us: int | None = None
    """How long the driver took to answer for this GPU, in microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSample:
    """One reading of one replica's engine (or of a router's view of it) at 1 Hz.

    `*_total` are the engine's own counters, restarts included: `telemetry.counters` and
    `telemetry.frame.increases` difference them.
    """

    at_us: int
    replica: str
    host: str
    engine: str
    engine_version: str | None = None
    model: str | None = None
    pool: str | None = None
    vantage: Vantage = Vantage.ENGINE
    up: bool = True
    state: ReplicaState = ReplicaState.UNKNOWN
    stage: str | None = None
    """Stage of starting (weights, compile, warm-up) when state is `starting`."""
    epoch_us: int | None = None
    """When this process of the replica started, UTC; a change is a restart."""

    # Queue.
    requests_running: int | None = None
    requests_waiting: int | None = None
    requests_waiting_capacity: int | None = None
    requests_waiting_deferred: int | None = None
    requests_running_max: int | None = None
    oldest_waiting_us: int | None = None
    oldest_running_us: int | None = None

    # KV cache. Usage counts blocks held by running requests only.
    kv_usage_ratio: float | None = None
    kv_blocks: int | None = None
    kv_block_tokens: int | None = None
    weights_bytes: int | None = None
    kv_pool_bytes: int | None = None

    # Counters since the engine's start.
    prompt_tokens_total: int | None = None
    generation_tokens_total: int | None = None
    prefix_queries_total: int | None = None
    prefix_hits_total: int | None = None
    preemptions_total: int | None = None
    finished_total: int | None = None
    failed_total: int | None = None
    aborted_total: int | None = None
    rejected_total: int | None = None
    draft_tokens_total: int | None = None
    accepted_draft_tokens_total: int | None = None
    ttft_count_total: int | None = None
    ttft_us_total: int | None = None
    itl_count_total: int | None = None
    itl_us_total: int | None = None
    e2e_count_total: int | None = None
    e2e_us_total: int | None = None
    queue_us_total: int | None = None
    prefill_us_total: int | None = None
    decode_us_total: int | None = None
    flops_total: int | None = None
    read_bytes_total: int | None = None
    write_bytes_total: int | None = None

    scrape_us: int | None = None
