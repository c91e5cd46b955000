"""One tick of one GPU: at most ten driver calls, each value None where it is not told."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from typing import Any, Final

import pynvml

from collector.clock import elapsed_us
from collector.fit import fitting
from collector.gpus.fields import FieldReader
from collector.gpus.gpm import Activity, GpmReader
from collector.gpus.identity import GpuIdentity, identity_columns
from collector.gpus.nvml import ask, call
from telemetry.samples import ActivitySource, GpuSample

MAX_CALLS_A_TICK: Final = 10


def _enforced_limit(handle: Any) -> float | None:
    milliwatts = ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    return None if milliwatts is None else milliwatts / 1_000


def _temperature(handle: Any) -> float | None:
    """Ask by the call that stays, then by the one that CUDA 14 drops and old drivers have."""
    celsius = ask(pynvml.nvmlDeviceGetTemperatureV, handle, pynvml.NVML_TEMPERATURE_GPU)
    if celsius is None:
        celsius = ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU)
    return None if celsius is None else float(celsius)


_SETTINGS: Final[tuple[tuple[str, Callable[[Any], Any]], ...]] = (
    ("power_limit_watts", _enforced_limit),
    ("pcie_width", lambda handle: ask(pynvml.nvmlDeviceGetCurrPcieLinkWidth, handle)),
    ("pcie_generation", lambda handle: ask(pynvml.nvmlDeviceGetCurrPcieLinkGeneration, handle)),
    ("pcie_width_max", lambda handle: ask(pynvml.nvmlDeviceGetMaxPcieLinkWidth, handle)),
    ("sm_clock_max_mhz", lambda handle: ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM)),
)
"""What changes by an operator's hand or a fault, not by load: one of these a tick, in turn."""


class GpuDevice:
    """A GPU under one handle of one session generation. Not thread-safe.

    Raises `DriverError` from the constructor and from `sample` when the GPU is lost or the
    driver refuses; a value that is merely not offered is None.
    """

    def __init__(self, identity: GpuIdentity, *, host: str, generation: int) -> None:
        self.generation = generation
        self._identity = identity
        self._host = host
        self._handle = call(pynvml.nvmlDeviceGetHandleByUUID, identity.uuid)
        self._fields = FieldReader(self._handle)
        self._gpm = GpmReader(self._handle)
        self._settings = {column: read(self._handle) for column, read in _SETTINGS}
        self._turn = cycle(_SETTINGS)

    def sample(self, now_us: int) -> GpuSample:
        """Read the GPU; `now_us` is the UTC instant the row carries, in microseconds."""
        begun = time.monotonic()
        values: dict[str, Any] = {**self._load(), **self._fields.read()}
        if "power_watts" not in values:
            values["power_watts"] = self._board_power()
        else:
            column, read = next(self._turn)
            self._settings[column] = read(self._handle)
        values |= self._settings
        values |= _activity_columns(self._gpm.read(), values["kernel_busy_ratio"])
        identity = identity_columns(self._identity, self._host, now_us)
        return GpuSample(**identity, **fitting(values), read_us=elapsed_us(begun))

    def _load(self) -> dict[str, Any]:
        handle = self._handle
        busy = ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
        return {
            "kernel_busy_ratio": None if busy is None else busy.gpu / 100,
            "memory_busy_ratio": None if busy is None else busy.memory / 100,
            "sm_clock_mhz": ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
            "memory_clock_mhz": ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
            "temperature_celsius": _temperature(handle),
            "event_reasons": ask(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle),
            **self._memory(),
        }

    def _memory(self) -> dict[str, int]:
        """Only the second version: the first counts the driver's reservation as used."""
        memory = ask(pynvml.nvmlDeviceGetMemoryInfo, self._handle, pynvml.nvmlMemory_v2)
        if memory is None:
            return {}
        return {
            "memory_total_bytes": memory.total,
            "memory_reserved_bytes": memory.reserved,
            "memory_used_bytes": memory.used,
            "memory_free_bytes": memory.free,
        }

    def _board_power(self) -> float | None:
        milliwatts = ask(pynvml.nvmlDeviceGetPowerUsage, self._handle)
        return None if milliwatts is None else milliwatts / 1_000

    def close(self) -> None:
        """Give back what the driver holds for this handle."""
        self._gpm.close()


def _activity_columns(activity: Activity | None, kernel_busy_ratio: float | None) -> dict[str, Any]:
    """Name the best source there is. Kernel-busy never fills an activity: it is not one."""
    if activity is None:
        source = None if kernel_busy_ratio is None else ActivitySource.KERNEL_BUSY
        return {"activity_source": source}
    return {
        "sm_activity_ratio": activity.sm_ratio,
        "sm_occupancy_ratio": activity.occupancy_ratio,
        "tensor_activity_ratio": activity.tensor_ratio,
        "dram_activity_ratio": activity.dram_ratio,
        "activity_source": activity.source,
    }
