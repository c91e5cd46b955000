"""How DCGM names what we know of a GPU: the map from its fields to ours, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from telemetry.columns import TABLE, Kind
from telemetry.identity import gpu_without_uuid, is_real_uuid
from telemetry.samples import ActivitySource, GpuSample
from telemetry.units import BYTES_PER_MIB, NANOS_PER_MICRO

PREFIX: Final = "DCGM_FI_"


@dataclass(frozen=True, slots=True)
class Field:
    """A column of ours, and what its recorded number is multiplied with and divided by."""

    ours: str
    times: int = 1
    over: int = 1


FIELDS: Final[Mapping[str, Field]] = {
    "DCGM_FI_DEV_GPU_UTIL": Field("kernel_busy_ratio", over=100),
    "DCGM_FI_DEV_MEM_COPY_UTIL": Field("memory_busy_ratio", over=100),
    "DCGM_FI_DEV_ENC_UTIL": Field("encoder_busy_ratio", over=100),
    "DCGM_FI_DEV_DEC_UTIL": Field("decoder_busy_ratio", over=100),
    "DCGM_FI_PROF_SM_ACTIVE": Field("sm_activity_ratio"),
    "DCGM_FI_PROF_SM_OCCUPANCY": Field("sm_occupancy_ratio"),
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": Field("tensor_activity_ratio"),
    "DCGM_FI_PROF_DRAM_ACTIVE": Field("dram_activity_ratio"),
    "DCGM_FI_DEV_FB_USED": Field("memory_used_bytes", times=BYTES_PER_MIB),
    "DCGM_FI_DEV_FB_FREE": Field("memory_free_bytes", times=BYTES_PER_MIB),
    "DCGM_FI_DEV_FB_RESERVED": Field("memory_reserved_bytes", times=BYTES_PER_MIB),
    "DCGM_FI_DEV_FB_TOTAL": Field("memory_total_bytes", times=BYTES_PER_MIB),
    "DCGM_FI_DEV_POWER_USAGE": Field("power_watts"),
    "DCGM_FI_DEV_POWER_MGMT_LIMIT": Field("power_limit_watts"),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": Field("energy_millijoules_total"),
    "DCGM_FI_DEV_SM_CLOCK": Field("sm_clock_mhz"),
    "DCGM_FI_DEV_MEM_CLOCK": Field("memory_clock_mhz"),
    "DCGM_FI_DEV_GPU_TEMP": Field("temperature_celsius"),
    "DCGM_FI_DEV_MEMORY_TEMP": Field("memory_temperature_celsius"),
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": Field("event_reasons"),
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": Field("event_reasons"),
    "DCGM_FI_DEV_POWER_VIOLATION": Field("throttle_power_us_total", over=NANOS_PER_MICRO),
    "DCGM_FI_DEV_THERMAL_VIOLATION": Field("throttle_thermal_us_total", over=NANOS_PER_MICRO),
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": Field("ecc_corrected_total"),
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": Field("ecc_uncorrected_total"),
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": Field("remapped_rows_corrected"),
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": Field("remapped_rows_uncorrected"),
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": Field("pcie_replays_total"),
}
"""DCGM gives utilisation in percent, memory in MiB, violations in nanoseconds."""

NO_UUID: Final = "GPUs are named by host and index, because the recording holds no UUIDs"


@dataclass(frozen=True, slots=True)
class RecordedGpu:
    """Which GPU a recorded value is of: its host, its index as recorded, UUID and model if known."""

    host: str
    index: str
    uuid: str | None = None
    model: str | None = None

    @property
    def identity(self) -> str:
        """Return the driver's UUID, else the marked stand-in of host and index."""
        if self.uuid is not None and is_real_uuid(self.uuid):
            return self.uuid
        return gpu_without_uuid(self.host, self.index)


def column_value(name: str, number: float) -> tuple[str, int | float]:
    """Return (column of ours, value in its unit) of one DCGM number.

    Raises `KeyError` for a field that `FIELDS` does not name.
    """
    mapped = FIELDS[name]
    scaled = number * mapped.times / mapped.over
    whole = TABLE["gpu_samples"].column(mapped.ours).kind is Kind.INT
    return mapped.ours, round(scaled) if whole else scaled


def gpu_samples(cells: Mapping[tuple[int, RecordedGpu], Mapping[str, Any]]) -> list[GpuSample]:
    """Return one sample for each instant and GPU, by time, then identity."""
    samples = [
        GpuSample(
            at_us=at_us,
            gpu_uuid=gpu.identity,
            host=gpu.host,
            gpu_index=int(gpu.index) if gpu.index.isdigit() else None,
            gpu_model=gpu.model,
            activity_source=ActivitySource.RECORDED,
            **columns,
        )
        for (at_us, gpu), columns in cells.items()
    ]
    return sorted(samples, key=lambda sample: (sample.at_us, sample.gpu_uuid))
