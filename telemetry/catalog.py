"""Every exported metric once: its name, kind, help and the column it is read from.

The agent's exposition, the documentation and the dashboards derive from `METRICS`. A
released name is frozen: a wrong one is replaced by a new one beside it, never renamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PREFIX: Final = "inferometer_"


class MetricKind(StrEnum):
    """Prometheus kinds."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported series, named without prefix, in base units.

    `scale` turns the column into the base unit (microseconds to seconds: 1e-6).
    """

    name: str
    kind: MetricKind
    help: str
    table: str
    column: str
    scale: float = 1.0


GPU_LABELS: Final = ("gpu_uuid", "gpu_index", "gpu_model", "host")
ENGINE_LABELS: Final = ("replica", "engine", "model", "pool", "vantage")

_G, _C = MetricKind.GAUGE, MetricKind.COUNTER
_MICRO, _MILLI = 1e-6, 1e-3

_GPU: Final = tuple(
    Metric(name, kind, text, "gpu_samples", column, scale)
    for name, kind, column, scale, text in (
        ("gpu_up", _G, "up", 1, "1 when the GPU answered; 0 when it is lost (identity kept)."),
        (
            "gpu_kernel_busy_ratio",
            _G,
            "kernel_busy_ratio",
            1,
            "Share of time with at least one kernel resident (nvidia-smi's utilization).",
        ),
        (
            "gpu_memory_busy_ratio",
            _G,
            "memory_busy_ratio",
            1,
            "Share of time in which DRAM was read or written (not a bandwidth share).",
        ),
        ("gpu_encoder_busy_ratio", _G, "encoder_busy_ratio", 1, "Share of time the video encoder worked."),
        ("gpu_decoder_busy_ratio", _G, "decoder_busy_ratio", 1, "Share of time the video decoder worked."),
        (
            "gpu_sm_activity_ratio",
            _G,
            "sm_activity_ratio",
            1,
            "Share of SM cycles with at least one warp resident; an estimate by the sources clock_weighted and power.",
        ),
        (
            "gpu_sm_occupancy_ratio",
            _G,
            "sm_occupancy_ratio",
            1,
            "Resident warps over the most an SM can hold.",
        ),
        (
            "gpu_tensor_activity_ratio",
            _G,
            "tensor_activity_ratio",
            1,
            "Share of cycles in which a tensor pipe was active.",
        ),
        (
            "gpu_dram_activity_ratio",
            _G,
            "dram_activity_ratio",
            1,
            "Share of cycles in which DRAM moved data.",
        ),
        ("gpu_memory_total_bytes", _G, "memory_total_bytes", 1, "Memory of the board."),
        ("gpu_memory_used_bytes", _G, "memory_used_bytes", 1, "Memory in use, driver reservation excluded."),
        ("gpu_memory_reserved_bytes", _G, "memory_reserved_bytes", 1, "Memory reserved by the driver."),
        ("gpu_memory_free_bytes", _G, "memory_free_bytes", 1, "Memory not in use."),
        ("gpu_power_watts", _G, "power_watts", 1, "Board power as the driver reports it."),
        ("gpu_power_limit_watts", _G, "power_limit_watts", 1, "Enforced board power limit."),
        (
            "gpu_energy_joules_total",
            _C,
            "energy_millijoules_total",
            _MILLI,
            "Energy since the driver was loaded.",
        ),
        ("gpu_sm_clock_hertz", _G, "sm_clock_mhz", 1e6, "SM clock."),
        ("gpu_memory_clock_hertz", _G, "memory_clock_mhz", 1e6, "Memory clock."),
        ("gpu_temperature_celsius", _G, "temperature_celsius", 1, "Core temperature."),
        ("gpu_memory_temperature_celsius", _G, "memory_temperature_celsius", 1, "Memory temperature."),
        (
            "gpu_clocks_event_reasons",
            _G,
            "event_reasons",
            1,
            "Bit mask of clocks event reasons (0x8, 0x40, 0x80: hardware slowdown).",
        ),
        (
            "gpu_throttle_power_seconds_total",
            _C,
            "throttle_power_us_total",
            _MICRO,
            "Time throttled by the power cap.",
        ),
        (
            "gpu_throttle_thermal_seconds_total",
            _C,
            "throttle_thermal_us_total",
            _MICRO,
            "Time throttled by temperature.",
        ),
        (
            "gpu_throttle_hardware_seconds_total",
            _C,
            "throttle_hardware_us_total",
            _MICRO,
            "Time throttled by hardware slowdown or power brake.",
        ),
        ("gpu_ecc_corrected_errors_total", _C, "ecc_corrected_total", 1, "Corrected ECC errors."),
        ("gpu_ecc_uncorrected_errors_total", _C, "ecc_uncorrected_total", 1, "Uncorrected ECC errors."),
        (
            "gpu_remapped_rows_corrected",
            _G,
            "remapped_rows_corrected",
            1,
            "Rows remapped after corrected errors.",
        ),
        (
            "gpu_remapped_rows_uncorrected",
            _G,
            "remapped_rows_uncorrected",
            1,
            "Rows remapped after uncorrected errors.",
        ),
        ("gpu_remap_pending", _G, "remap_pending", 1, "1 when a row remap waits for a reset."),
        ("gpu_remap_failed", _G, "remap_failed", 1, "1 when a row remap failed: replace the GPU."),
        (
            "gpu_recovery_action",
            _G,
            "recovery_action",
            1,
            "The driver's own verdict: 0 none, 1 GPU reset, 2 node reboot, 3 drain, 4 drain and reset.",
        ),
        ("gpu_pcie_generation", _G, "pcie_generation", 1, "PCIe generation the link runs at."),
        ("gpu_pcie_width", _G, "pcie_width", 1, "PCIe lanes the link runs at."),
        ("gpu_pcie_width_max", _G, "pcie_width_max", 1, "PCIe lanes it could run at: fewer is a fault."),
        ("gpu_pcie_replays_total", _C, "pcie_replays_total", 1, "PCIe replays."),
        ("gpu_pcie_tx_bytes_total", _C, "pcie_tx_bytes_total", 1, "Bytes sent over PCIe."),
        ("gpu_pcie_rx_bytes_total", _C, "pcie_rx_bytes_total", 1, "Bytes received over PCIe."),
        ("gpu_nvlink_tx_bytes_total", _C, "nvlink_tx_bytes_total", 1, "Bytes sent over all NVLinks."),
        ("gpu_nvlink_rx_bytes_total", _C, "nvlink_rx_bytes_total", 1, "Bytes received over all NVLinks."),
        ("gpu_nvlink_errors_total", _C, "nvlink_errors_total", 1, "Errors of all NVLinks."),
        (
            "gpu_driver_read_seconds",
            _G,
            "read_us",
            _MICRO,
            "How long the driver took to answer for this GPU.",
        ),
    )
)

_ENGINE: Final = tuple(
    Metric(name, kind, text, "engine_samples", column, scale)
    for name, kind, column, scale, text in (
        ("engine_up", _G, "up", 1, "1 when the engine's metrics could be read."),
        ("engine_requests_running", _G, "requests_running", 1, "Requests in the running batch."),
        ("engine_requests_waiting", _G, "requests_waiting", 1, "Requests waiting to be scheduled."),
        ("engine_kv_usage_ratio", _G, "kv_usage_ratio", 1, "Share of KV blocks held by running requests."),
        ("engine_kv_blocks", _G, "kv_blocks", 1, "KV blocks the engine has."),
        ("engine_prompt_tokens_total", _C, "prompt_tokens_total", 1, "Prompt tokens processed."),
        ("engine_generation_tokens_total", _C, "generation_tokens_total", 1, "Tokens generated."),
        (
            "engine_prefix_queries_total",
            _C,
            "prefix_queries_total",
            1,
            "Tokens looked up in the prefix cache.",
        ),
        ("engine_prefix_hits_total", _C, "prefix_hits_total", 1, "Tokens found in the prefix cache."),
        ("engine_preemptions_total", _C, "preemptions_total", 1, "Requests preempted for want of KV blocks."),
        ("engine_requests_finished_total", _C, "finished_total", 1, "Requests that ended by themselves."),
        ("engine_requests_aborted_total", _C, "aborted_total", 1, "Requests aborted by their client."),
        (
            "engine_ttft_seconds_total",
            _C,
            "ttft_us_total",
            _MICRO,
            "Sum of the engine's own times to first token.",
        ),
        (
            "engine_ttft_requests_total",
            _C,
            "ttft_count_total",
            1,
            "Requests in inferometer_engine_ttft_seconds_total.",
        ),
        ("engine_scrape_seconds", _G, "scrape_us", _MICRO, "How long the engine's metrics page took."),
    )
)

METRICS: Final[tuple[Metric, ...]] = _GPU + _ENGINE
