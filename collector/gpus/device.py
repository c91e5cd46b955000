"""One tick of one GPU: at most ten driver calls, each value None where it is not told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import pynvml

from collector.clock import elapsed_us
from collector.fit import fitting
from collector.gpus.activity import Evidence, Ladder
from collector.gpus.columns import activity_columns, identity_columns, memory_columns
from collector.gpus.fields import LOAD, FieldReader
from collector.gpus.gpm import ASK_AGAIN_TICKS, MOVED, GpmReader, GpmReading
from collector.gpus.identity import GpuIdentity, identity_of
from collector.gpus.mig import MigInstances
from collector.gpus.nvml import ask, call
from collector.gpus.steady import SteadyReader
from telemetry.samples import GpuSample

Read = Callable[[Any], Any]

MAX_CALLS_A_TICK: Final = 10
"""Driver calls for a GPU, and for each of its MIG instances, in one tick."""
_MIG_EVERY: Final = 8
"""Ticks between two looks at the MIG mode of a GPU."""


class GpuDevice:
    """A GPU under one handle of one session generation. Not thread-safe.

    Raises `DriverError` from the constructor and from `samples` when the GPU is lost or the
    driver refuses; a value that is merely not offered is None.
    """

    def __init__(self, uuid: str, *, host: str, generation: int, ladder: Ladder) -> None:
        self.generation = generation
        self._host = host
        self._ladder = ladder
        self._handle = call(pynvml.nvmlDeviceGetHandleByUUID, uuid)
        self.identity: GpuIdentity = identity_of(self._handle)
        self._fields = FieldReader(self._handle, LOAD, ask_all_every=ASK_AGAIN_TICKS)
        told = self._fields.read()
        self._energy_by_call = (
            "energy_millijoules_total" not in told
            and ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, self._handle) is not None
        )
        self._steady = SteadyReader(self._handle, told=told)
        self._gpm = GpmReader(self._handle)
        self._by_field: dict[str, bool] = {}
        """Of the bytes over the links: whether a counter of the driver tells them, else GPM's rates."""
        self.mig = MigInstances(self._handle, self.identity, host=host)
        self._temperature = _answering(self._handle, _TEMPERATURE)
        self._event_reasons = _answering(self._handle, _EVENT_REASONS)
        self._energy: tuple[int, int] | None = None
        self._ticks = 0

    def samples(self, now_us: int) -> list[GpuSample]:
        """Read the GPU and then its MIG instances; `now_us` is the UTC instant of the rows."""
        begun = time.monotonic()
        self._take_turn()
        told, mean_watts = self._field_values(now_us)
        values = {**self._steady.columns, **self._load(), **told}
        gpm = self._gpm.read()
        values |= self._moved(told, gpm) | self._activity(values, mean_watts, gpm)
        identity = identity_columns(self.identity, self._host, now_us)
        whole = GpuSample(**identity, **fitting(values), read_us=elapsed_us(begun))
        return [whole, *self.mig.samples(now_us)]

    def _take_turn(self) -> None:
        """Read one of the things that rarely change."""
        self._ticks += 1
        if self.mig.supported and self._ticks % _MIG_EVERY == 0:
            self.mig.refresh()
        else:
            self._steady.turn()

    def _load(self) -> dict[str, Any]:
        handle = self._handle
        busy = ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
        return {
            "kernel_busy_ratio": None if busy is None else busy.gpu / 100,
            "memory_busy_ratio": None if busy is None else busy.memory / 100,
            "sm_clock_mhz": ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
            "temperature_celsius": self._temperature(handle),
            "event_reasons": self._event_reasons(handle),
            **memory_columns(handle),
        }

    def _field_values(self, now_us: int) -> tuple[dict[str, Any], float | None]:
        """Return the columns that come as field values, or by a call instead, and the mean power.

        Joules are counted by the energy counter; the power is for people. A power that no field
        tells is the counter's own mean, so that one more call is always enough.
        """
        told: dict[str, Any] = dict(self._fields.read())
        if self._energy_by_call:
            told["energy_millijoules_total"] = ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, self._handle)
        mean_watts = self._mean_watts(now_us, told.get("energy_millijoules_total"))
        if "power_watts" not in told:
            told["power_watts"] = mean_watts if self._energy_by_call else _board_power(self._handle)
        return told, told["power_watts"] if mean_watts is None else mean_watts

    def _mean_watts(self, now_us: int, millijoules: int | None) -> float | None:
        """Return the mean power since the tick before; None at first and when the counter fell."""
        before = self._energy
        self._energy = None if millijoules is None else (now_us, millijoules)
        if before is None or millijoules is None or millijoules < before[1] or now_us <= before[0]:
            return None
        return 1e3 * (millijoules - before[1]) / (now_us - before[0])

    def _moved(self, told: dict[str, Any], gpm: GpmReading) -> dict[str, Any]:
        """Return the bytes over the links, each counter by what told it first: changing that would leap."""
        for column in MOVED.values():
            if column in told or column in gpm.moved:
                self._by_field.setdefault(column, column in told)
        return {
            column: (told if by_field else gpm.moved).get(column)
            for column, by_field in self._by_field.items()
        }

    def _activity(self, values: dict[str, Any], mean_watts: float | None, gpm: GpmReading) -> dict[str, Any]:
        seen = Evidence(
            counters=gpm.counters,
            ratios=gpm.ratios,
            kernel_busy_ratio=values["kernel_busy_ratio"],
            sm_clock_mhz=values["sm_clock_mhz"],
            sm_clock_max_mhz=values["sm_clock_max_mhz"],
            watts=mean_watts,
            limit_watts=values["power_limit_watts"],
            idle=bool((values["event_reasons"] or 0) & pynvml.nvmlClocksEventReasonGpuIdle),
        )
        return activity_columns(self._ladder.climb(seen))

    def close(self) -> None:
        """Give back what the driver holds for this handle."""
        self.mig.close()
        self._gpm.close()


def _celsius(function: Callable[..., Any]) -> Read:
    def read(handle: Any) -> float | None:
        celsius = ask(function, handle, pynvml.NVML_TEMPERATURE_GPU)
        return None if celsius is None else float(celsius)

    return read


def _reasons(function: Callable[..., Any]) -> Read:
    return lambda handle: ask(function, handle)


_TEMPERATURE: Final = (_celsius(pynvml.nvmlDeviceGetTemperatureV), _celsius(pynvml.nvmlDeviceGetTemperature))
"""The call that stays, and the one that CUDA 14 drops and old drivers have."""
_EVENT_REASONS: Final = (
    _reasons(pynvml.nvmlDeviceGetCurrentClocksEventReasons),
    _reasons(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons),
)
"""The new name, and the one of drivers before 535."""


def _answering(handle: Any, ways: Sequence[Read]) -> Read:
    """Return the first of some calls that this driver answers now: a tick makes only that one."""
    return next((way for way in ways if way(handle) is not None), ways[0])


def _board_power(handle: Any) -> float | None:
    milliwatts = ask(pynvml.nvmlDeviceGetPowerUsage, handle)
    return None if milliwatts is None else milliwatts / 1_000
