"""Many values of a GPU in one driver call: NVML field values, and the columns they fill.

A column has one or more ways to be filled, best first: drivers and generations answer different
ids for the same thing. The first reading asks for all of them, later ones only for those that
answered, and for all again now and then. The array of a question is built once: a call through it
costs the driver's time and half a microsecond.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pynvml

from collector.gpus.nvml import ABSENT, DriverError

Value = int | float | bool

_ALL_LINKS: Final = 0xFFFFFFFF
"""The scope that adds up the links of a GPU."""
_KIB: Final = 1024


def _micros(nanoseconds: int) -> int:
    return nanoseconds // 1_000


def _watts(milliwatts: int) -> float:
    return milliwatts / 1_000


def _bytes(kibibytes: int) -> int:
    return kibibytes * _KIB


@dataclass(frozen=True, slots=True)
class Way:
    """Field ids whose values are added, all of them or none; how the sum becomes the column's unit.

    `wide` refuses a 32-bit answer: a byte counter of that width wraps within a second.
    """

    numbers: tuple[int, ...]
    convert: Callable[[int], Value] = int
    scope: int = 0
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column and the ways to fill it; the first that answers does."""

    name: str
    ways: tuple[Way, ...]


LOAD: Final = (
    Column("energy_millijoules_total", (Way((pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,)),)),
    # The mean of the last second; the instant's reading misses what lies between two ticks.
    Column(
        "power_watts",
        (Way((pynvml.NVML_FI_DEV_POWER_AVERAGE,), _watts), Way((pynvml.NVML_FI_DEV_POWER_INSTANT,), _watts)),
    ),
    Column("memory_temperature_celsius", (Way((pynvml.NVML_FI_DEV_MEMORY_TEMP,), float),)),
    Column("throttle_power_us_total", (Way((pynvml.NVML_FI_DEV_PERF_POLICY_POWER,), _micros),)),
    # 75 is the same counter as the newer 269, whose number changed between drivers.
    Column("throttle_thermal_us_total", (Way((pynvml.NVML_FI_DEV_PERF_POLICY_THERMAL,), _micros),)),
    Column(
        "throttle_hardware_us_total",
        (
            Way(
                (
                    pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN,
                    pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN,
                ),
                _micros,
            ),
        ),
    ),
    Column("pcie_tx_bytes_total", (Way((pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES,), wide=True),)),
    Column("pcie_rx_bytes_total", (Way((pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES,), wide=True),)),
    # NVLink 5 counts bytes; the links before it KiB.
    Column(
        "nvlink_tx_bytes_total",
        (
            Way((pynvml.NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES,), scope=_ALL_LINKS, wide=True),
            Way((pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX,), _bytes, scope=_ALL_LINKS, wide=True),
        ),
    ),
    Column(
        "nvlink_rx_bytes_total",
        (
            Way((pynvml.NVML_FI_DEV_NVLINK_COUNT_RCV_BYTES,), scope=_ALL_LINKS, wide=True),
            Way((pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX,), _bytes, scope=_ALL_LINKS, wide=True),
        ),
    ),
)
"""What moves with the load: asked at every tick."""

CONDITION: Final = (
    Column("ecc_corrected_total", (Way((pynvml.NVML_FI_DEV_ECC_SBE_VOL_TOTAL,)),)),
    Column("ecc_uncorrected_total", (Way((pynvml.NVML_FI_DEV_ECC_DBE_VOL_TOTAL,)),)),
    Column("remapped_rows_corrected", (Way((pynvml.NVML_FI_DEV_REMAPPED_COR,)),)),
    Column("remapped_rows_uncorrected", (Way((pynvml.NVML_FI_DEV_REMAPPED_UNC,)),)),
    Column("remap_pending", (Way((pynvml.NVML_FI_DEV_REMAPPED_PENDING,), bool),)),
    Column("remap_failed", (Way((pynvml.NVML_FI_DEV_REMAPPED_FAILURE,), bool),)),
    Column("recovery_action", (Way((pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION,)),)),
    Column("pcie_replays_total", (Way((pynvml.NVML_FI_DEV_PCIE_REPLAY_COUNTER,)),)),
    # NVLink 5 corrects bit errors all the time: only what was received wrong counts as an error.
    Column(
        "nvlink_errors_total",
        (
            Way(
                (
                    pynvml.NVML_FI_DEV_NVLINK_COUNT_RCV_ERRORS,
                    pynvml.NVML_FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS,
                ),
                scope=_ALL_LINKS,
            ),
            Way(
                (
                    pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY,
                    pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY,
                    pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_CRC,
                ),
                scope=_ALL_LINKS,
            ),
            Way(
                (
                    pynvml.NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL,
                    pynvml.NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL,
                    pynvml.NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL,
                )
            ),
        ),
    ),
)
"""What changes by a fault, not by load: asked in turn with the settings of the board."""

_MEMBERS: Final = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
}
_NARROW: Final = frozenset(
    {
        pynvml.NVML_VALUE_TYPE_UNSIGNED_INT,
        pynvml.NVML_VALUE_TYPE_SIGNED_INT,
        pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT,
    }
)


class FieldReader:
    """Some columns of one GPU. Not thread-safe; its source's thread owns it.

    `ask_all_every` are the readings between two questions for everything: what a driver declined
    may be told later.
    """

    def __init__(self, handle: Any, columns: Sequence[Column], *, ask_all_every: int) -> None:
        self._everything = _Question(
            handle, [(column.name, way) for column in columns for way in column.ways]
        )
        self._question = self._everything
        self._handle = handle
        self._ask_all_every = ask_all_every
        self._left = 0

    def read(self) -> dict[str, Value]:
        """Return the columns that this GPU and driver tell; one driver call at most.

        Raises `DriverError` when the call as a whole is refused. Empty for a driver without it.
        """
        self._left -= 1
        if self._left < 0:
            self._question, self._left = self._everything, self._ask_all_every
        answers = self._question.ask()
        told: dict[str, Value] = {}
        chosen: list[tuple[str, Way]] = []
        for (column, way), value in zip(self._question.ways, answers, strict=True):
            if value is not None and column not in told:
                told[column] = value
                chosen.append((column, way))
        if self._question is self._everything:
            self._question = _Question(self._handle, chosen)
        elif len(chosen) < len(answers):
            self._left = 0  # something fell silent: look for another way at once
        return told


class _Question:
    """The array of one call, built once, and the ways it serves."""

    def __init__(self, handle: Any, ways: Sequence[tuple[str, Way]]) -> None:
        self.ways = ways
        self._handle = handle
        wanted = [(number, way.scope) for _, way in ways for number in way.numbers]
        self._slots = (pynvml.c_nvmlFieldValue_t * len(wanted))()
        for slot, (number, scope) in zip(self._slots, wanted, strict=True):
            slot.fieldId, slot.scopeId = number, scope

    def ask(self) -> list[Value | None]:
        """Return the value of each way, None where the GPU does not tell. One driver call, or none."""
        code = self._fetch() if self.ways else pynvml.NVML_SUCCESS
        if code in ABSENT:
            return [None] * len(self.ways)
        if code != pynvml.NVML_SUCCESS:
            raise DriverError("nvmlDeviceGetFieldValues", code)
        slots = iter(self._slots)
        return [_total(way, [_value(next(slots), way) for _ in way.numbers]) for _, way in self.ways]

    def _fetch(self) -> int:
        try:
            # pynvml's own wrapper builds the array anew at every call, 90 times the cost.
            function = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetFieldValues")  # noqa: SLF001
        except pynvml.NVMLError as error:
            return int(error.value)
        count = ctypes.c_int32(len(self._slots))
        return int(function(self._handle, count, ctypes.byref(self._slots)))


def _value(slot: Any, way: Way) -> int | None:
    if slot.nvmlReturn != pynvml.NVML_SUCCESS or (way.wide and slot.valueType in _NARROW):
        return None
    member = _MEMBERS.get(slot.valueType)
    return None if member is None else getattr(slot.value, member)


def _total(way: Way, values: Sequence[int | None]) -> Value | None:
    """Half of a sum is no sum."""
    known = [value for value in values if value is not None]
    return way.convert(sum(known)) if len(known) == len(values) else None
