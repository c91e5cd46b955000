"""What changes by an operator's hand or a fault, and what no verdict needs at once: one a tick, in turn.

A driver call can cost milliseconds of a lock that all GPUs share, so these are spread over ticks;
a value is as old as the ring is long, a few seconds. The ring is a table: a name is its reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pynvml

from collector.gpus.fields import CONDITION, FieldReader
from collector.gpus.nvml import ask

_ASK_AGAIN_TURNS: Final = 32
"""Turns of the condition's own until what was declined is asked for again: some five minutes."""

Columns = Mapping[str, Any]
Read = Callable[[Any], Columns]


def _power_limit(handle: Any) -> Columns:
    milliwatts = ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    if milliwatts is None:
        milliwatts = ask(pynvml.nvmlDeviceGetPowerManagementLimit, handle)
    return {"power_limit_watts": None if milliwatts is None else milliwatts / 1_000}


def _one(column: str, function: Callable[..., Any], *arguments: Any) -> Read:
    return lambda handle: {column: ask(function, handle, *arguments)}


def _video(column: str, function: Callable[..., Any]) -> Read:
    def read(handle: Any) -> Columns:
        told = ask(function, handle)
        return {column: None if told is None else told[0] / 100}

    return read


_BOARD: Final[tuple[Read, ...]] = (
    _power_limit,
    _one("pcie_width", pynvml.nvmlDeviceGetCurrPcieLinkWidth),
    _one("pcie_generation", pynvml.nvmlDeviceGetCurrPcieLinkGeneration),
    _one("pcie_width_max", pynvml.nvmlDeviceGetMaxPcieLinkWidth),
    _one("sm_clock_max_mhz", pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_SM),
    _one("memory_clock_mhz", pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_MEM),
    _video("encoder_busy_ratio", pynvml.nvmlDeviceGetEncoderUtilization),
    _video("decoder_busy_ratio", pynvml.nvmlDeviceGetDecoderUtilization),
)


def _remapped(handle: Any) -> Columns:
    rows = ask(pynvml.nvmlDeviceGetRemappedRows, handle)
    if rows is None:
        return {}
    corrected, uncorrected, pending, failed = rows
    return {
        "remapped_rows_corrected": corrected,
        "remapped_rows_uncorrected": uncorrected,
        "remap_pending": bool(pending),
        "remap_failed": bool(failed),
    }


def _ecc(column: str, kind: int) -> Read:
    return _one(column, pynvml.nvmlDeviceGetTotalEccErrors, kind, pynvml.NVML_VOLATILE_ECC)


def _violation(column: str, policy: int) -> Read:
    def read(handle: Any) -> Columns:
        told = ask(pynvml.nvmlDeviceGetViolationStatus, handle, policy)
        return {column: None if told is None else told.violationTime // 1_000}

    return read


_INSTEAD: Final[Mapping[str, Read]] = {
    "ecc_corrected_total": _ecc("ecc_corrected_total", pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
    "ecc_uncorrected_total": _ecc("ecc_uncorrected_total", pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    "remap_pending": _remapped,
    "pcie_replays_total": _one("pcie_replays_total", pynvml.nvmlDeviceGetPcieReplayCounter),
    "throttle_power_us_total": _violation("throttle_power_us_total", pynvml.NVML_PERF_POLICY_POWER),
    "throttle_thermal_us_total": _violation("throttle_thermal_us_total", pynvml.NVML_PERF_POLICY_THERMAL),
}
"""A call of its own for what an older driver does not tell as a field value."""


class SteadyReader:
    """The steady columns of one GPU under one handle. Not thread-safe.

    `told` are the columns that each tick tells anyway. The constructor reads everything once; a
    `turn` reads the next of the ring, one driver call (two where the first is declined).
    """

    def __init__(self, handle: Any, *, told: Columns) -> None:
        self._handle = handle
        self._condition = FieldReader(handle, CONDITION, ask_all_every=_ASK_AGAIN_TURNS)
        self._by_field: set[str] = set()
        self.columns: dict[str, Any] = {}
        ring = [*_BOARD, self._read_condition]
        for read in ring:
            self.columns |= read(handle)
        for column, read in _INSTEAD.items():
            if told.get(column) is None and self.columns.get(column) is None:
                instead = {name: value for name, value in read(handle).items() if value is not None}
                self.columns |= instead
                ring += [read] if instead else []
        self._ring = ring
        self._at = 0

    def turn(self) -> None:
        """Read the next of the ring into `columns`; raises `DriverError`."""
        self.columns |= self._ring[self._at](self._handle)
        self._at = (self._at + 1) % len(self._ring)

    def _read_condition(self, _: Any) -> Columns:
        told = self._condition.read()
        silent, self._by_field = self._by_field - told.keys(), self._by_field | told.keys()
        return {**dict.fromkeys(silent), **told}
