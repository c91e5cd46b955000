"""Many values of a GPU in one driver call: NVML field values, and the column each one fills.

The array is built once: a call through it costs the driver's time and half a microsecond.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pynvml

from collector.gpus.nvml import ABSENT, DriverError

Value = int | float | bool


def _micros(nanoseconds: int) -> int:
    return nanoseconds // 1_000


def _watts(milliwatts: int) -> float:
    return milliwatts / 1_000


@dataclass(frozen=True, slots=True)
class Field:
    """One field value: its id, the column it fills, how its unit becomes the column's.

    Fields of one column are added; the column is missing when any of them is.
    """

    number: int
    column: str
    convert: Callable[[int], Value] = int


FIELDS: Final = (
    Field(pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, "energy_millijoules_total"),
    Field(pynvml.NVML_FI_DEV_POWER_AVERAGE, "power_watts", _watts),
    Field(pynvml.NVML_FI_DEV_MEMORY_TEMP, "memory_temperature_celsius", float),
    Field(pynvml.NVML_FI_DEV_PERF_POLICY_POWER, "throttle_power_us_total", _micros),
    # 75 is the same counter as the newer 269, whose number changed between drivers.
    Field(pynvml.NVML_FI_DEV_PERF_POLICY_THERMAL, "throttle_thermal_us_total", _micros),
    Field(pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN, "throttle_hardware_us_total", _micros),
    Field(
        pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN, "throttle_hardware_us_total", _micros
    ),
    Field(pynvml.NVML_FI_DEV_ECC_SBE_VOL_TOTAL, "ecc_corrected_total"),
    Field(pynvml.NVML_FI_DEV_ECC_DBE_VOL_TOTAL, "ecc_uncorrected_total"),
    Field(pynvml.NVML_FI_DEV_REMAPPED_COR, "remapped_rows_corrected"),
    Field(pynvml.NVML_FI_DEV_REMAPPED_UNC, "remapped_rows_uncorrected"),
    Field(pynvml.NVML_FI_DEV_REMAPPED_PENDING, "remap_pending", bool),
    Field(pynvml.NVML_FI_DEV_REMAPPED_FAILURE, "remap_failed", bool),
    Field(pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, "recovery_action"),
    Field(pynvml.NVML_FI_DEV_PCIE_REPLAY_COUNTER, "pcie_replays_total"),
)

_MEMBERS: Final = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
}


class FieldReader:
    """The field values of one GPU. Not thread-safe; its source's thread owns it."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._values = (pynvml.c_nvmlFieldValue_t * len(FIELDS))()
        for slot, field in zip(self._values, FIELDS, strict=True):
            slot.fieldId = field.number

    def read(self) -> dict[str, Value]:
        """Return the columns that this GPU and driver tell; one driver call.

        Raises `DriverError` when the call as a whole is refused. Empty for a driver without it.
        """
        code = self._fetch()
        if code in ABSENT:
            return {}
        if code != pynvml.NVML_SUCCESS:
            raise DriverError("nvmlDeviceGetFieldValues", code)
        read: dict[str, Value] = {}
        absent: set[str] = set()
        for slot, field in zip(self._values, FIELDS, strict=True):
            if slot.nvmlReturn != pynvml.NVML_SUCCESS:
                absent.add(field.column)
                continue
            value = field.convert(getattr(slot.value, _MEMBERS[slot.valueType]))
            read[field.column] = read[field.column] + value if field.column in read else value
        return {column: value for column, value in read.items() if column not in absent}

    def _fetch(self) -> int:
        try:
            # pynvml's own wrapper builds the array anew at every call, 90 times the cost.
            function = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetFieldValues")  # noqa: SLF001
        except pynvml.NVMLError as error:
            return int(error.value)
        count = ctypes.c_int32(len(FIELDS))
        return int(function(self._handle, count, ctypes.byref(self._values)))
