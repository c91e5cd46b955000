"""dcgm-exporter's series as data: its name, type, unit and help, and where we read each.

Names and help texts are those of dcgm-exporter's etc/dcp-metrics-included.csv. What NVML does not
tell, or not at a fair price, is in `NOT_SERVED`, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from telemetry.catalog import MetricKind
from telemetry.units import BYTES_PER_MIB

HOSTNAME_LABELS: Final = ("Hostname", "hostname")
"""dcgm-exporter's label of the host: the first until May 2026, the second since."""

_G, _C = MetricKind.GAUGE, MetricKind.COUNTER
Number = int | float


def _same(value: Number) -> Number:
    return value


def _percent(ratio: Number) -> Number:
    return round(ratio * 100)


def _mib(size: Number) -> Number:
    return int(size) // BYTES_PER_MIB


def _nanos(micros: Number) -> Number:
    return micros * 1_000


@dataclass(frozen=True, slots=True)
class DcgmSeries:
    """One of dcgm-exporter's series: what it says of itself and where we read it.

    `column` is one of `gpu_samples`. `rate`: it is a counter, and the series its increase a second
    between two pages; absent on the first.
    """

    name: str
    kind: MetricKind
    column: str
    convert: Callable[[Number], Number]
    help: str
    rate: bool = False


# fmt: off
SERIES: Final[tuple[DcgmSeries, ...]] = (
    DcgmSeries("DCGM_FI_DEV_SM_CLOCK", _G, "sm_clock_mhz", _same, "SM clock frequency (in MHz)."),
    DcgmSeries("DCGM_FI_DEV_MEM_CLOCK", _G, "memory_clock_mhz", _same, "Memory clock frequency (in MHz)."),
    DcgmSeries("DCGM_FI_DEV_MEMORY_TEMP", _G, "memory_temperature_celsius", _same, "Memory temperature (in C)."),
    DcgmSeries("DCGM_FI_DEV_GPU_TEMP", _G, "temperature_celsius", _same, "GPU temperature (in C)."),
    DcgmSeries("DCGM_FI_DEV_POWER_USAGE", _G, "power_watts", _same, "Power draw (in W)."),
    DcgmSeries("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", _C, "energy_millijoules_total", _same, "Total energy consumption since boot (in mJ)."),
    DcgmSeries("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", _C, "pcie_replays_total", _same, "Total number of PCIe retries."),
    DcgmSeries("DCGM_FI_DEV_GPU_UTIL", _G, "kernel_busy_ratio", _percent, "GPU utilization (in %)."),
    DcgmSeries("DCGM_FI_DEV_MEM_COPY_UTIL", _G, "memory_busy_ratio", _percent, "Memory utilization (in %)."),
    DcgmSeries("DCGM_FI_DEV_ENC_UTIL", _G, "encoder_busy_ratio", _percent, "Encoder utilization (in %)."),
    DcgmSeries("DCGM_FI_DEV_DEC_UTIL", _G, "decoder_busy_ratio", _percent, "Decoder utilization (in %)."),
    DcgmSeries("DCGM_FI_DEV_FB_FREE", _G, "memory_free_bytes", _mib, "Framebuffer memory free (in MiB)."),
    DcgmSeries("DCGM_FI_DEV_FB_USED", _G, "memory_used_bytes", _mib, "Framebuffer memory used (in MiB)."),
    DcgmSeries("DCGM_FI_DEV_FB_RESERVED", _G, "memory_reserved_bytes", _mib, "Framebuffer memory reserved (in MiB)."),
    DcgmSeries("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", _C, "remapped_rows_uncorrected", _same, "Number of remapped rows for uncorrectable errors"),
    DcgmSeries("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", _C, "remapped_rows_corrected", _same, "Number of remapped rows for correctable errors"),
    DcgmSeries("DCGM_FI_DEV_ROW_REMAP_FAILURE", _G, "remap_failed", int, "Whether remapping of rows has failed"),
    DcgmSeries("DCGM_FI_PROF_GR_ENGINE_ACTIVE", _G, "kernel_busy_ratio", _same, "Ratio of time the graphics engine is active."),
    DcgmSeries("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", _G, "tensor_activity_ratio", _same, "Ratio of cycles the tensor (HMMA) pipe is active."),
    DcgmSeries("DCGM_FI_PROF_DRAM_ACTIVE", _G, "dram_activity_ratio", _same, "Ratio of cycles the device memory interface is active sending or receiving data."),
    DcgmSeries("DCGM_FI_PROF_PCIE_TX_BYTES", _G, "pcie_tx_bytes_total", _same, "The rate of data transmitted over the PCIe bus - including both protocol headers and data payloads - in bytes per second.", rate=True),
    DcgmSeries("DCGM_FI_PROF_PCIE_RX_BYTES", _G, "pcie_rx_bytes_total", _same, "The rate of data received over the PCIe bus - including both protocol headers and data payloads - in bytes per second.", rate=True),
    # Commented out in dcgm-exporter's own list; many a site has them switched on.
    DcgmSeries("DCGM_FI_PROF_SM_ACTIVE", _G, "sm_activity_ratio", _same, "The ratio of cycles an SM has at least 1 warp assigned."),
    DcgmSeries("DCGM_FI_PROF_SM_OCCUPANCY", _G, "sm_occupancy_ratio", _same, "The ratio of number of warps resident on an SM."),
    DcgmSeries("DCGM_FI_DEV_POWER_VIOLATION", _C, "throttle_power_us_total", _nanos, "Throttling duration due to power constraints (in ns)."),
    DcgmSeries("DCGM_FI_DEV_THERMAL_VIOLATION", _C, "throttle_thermal_us_total", _nanos, "Throttling duration due to thermal constraints (in ns)."),
    DcgmSeries("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", _C, "ecc_corrected_total", _same, "Total number of single-bit volatile ECC errors."),
    DcgmSeries("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", _C, "ecc_uncorrected_total", _same, "Total number of double-bit volatile ECC errors."),
)

XID: Final = DcgmSeries("DCGM_FI_DEV_XID_ERRORS", _G, "", _same, "Value of the last XID error encountered.")
"""Of no column: the last Xid of a GPU, 0 for none, with `err_code` and `err_msg` behind its labels."""

NOT_SERVED: Final[Mapping[str, str]] = {
    "DCGM_FI_DEV_RETIRED_SBE": "page retirement ended with Volta; the remapped rows took its place",
    "DCGM_FI_DEV_RETIRED_DBE": "page retirement ended with Volta; the remapped rows took its place",
    "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL": "a sum over counters of DCGM's own choice, in a unit its versions disagree on",
    "DCGM_FI_DEV_VGPU_LICENSE_STATUS": "a licence of virtual desktops",
}
"""What dcgm-exporter serves by default and we do not, and why not."""
# fmt: on
