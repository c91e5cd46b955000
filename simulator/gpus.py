"""GPUs that follow from the steps actually run: activity, power, energy, memory.

Guarantee: activity is exactly 0 over any window without a step; energy never falls and over a
window is the exact integral of the power drawn (rounded to a microjoule at each change of load);
every ratio is within 0..1. The shape: a step that decodes reads the weights and the KV
cache (DRAM), a step that prefills multiplies (tensor); SM activity and power rise with both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simulator.specs import EngineSpec, GpuModel, GpuPlace
from telemetry.samples import ActivitySource, GpuSample
from telemetry.units import MICROS_PER_MILLI, MICROS_PER_SECOND

_LOADED_OVERHEAD_BYTES: Final = 2_500_000_000
"""Context, activations and graphs beside weights and KV cache, on each GPU."""
_EMPTY_BYTES: Final = 500_000_000
"""What a process holds before its weights are loaded."""
_COOLEST_CELSIUS: Final = 30.0
_CELSIUS_PER_WATT: Final = 0.055
DRIVER_VERSION: Final = "simulated"


@dataclass(frozen=True, slots=True)
class Load:
    """What one GPU of a replica does for a while. Ratios are 0..1."""

    kernel_busy_ratio: float
    sm_ratio: float
    tensor_ratio: float
    dram_ratio: float
    watts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuTotals:
    """Integrals since the GPU's start, at an instant; differences of two give a window's means."""

    at_us: int
    kernel_busy_us: float
    sm_us: float
    tensor_us: float
    dram_us: float
    energy_uj: int
    memory_used_bytes: int
    watts: float
    """Drawn at the instant itself."""


class GpuMeter:
    """What each GPU of one replica is doing; they work in step and so share one meter."""

    def __init__(self, engine: EngineSpec, gpu: GpuModel, at_us: int) -> None:
        self._engine = engine
        self._gpu = gpu
        self._idle = Load(0.0, 0.0, 0.0, 0.0, gpu.idle_watts)
        self._load = self._idle
        self._at_us = at_us
        self._kernel = self._sm = self._tensor = self._dram = 0.0
        self._energy_uj = 0
        self.loaded = True
        """Whether the engine's weights and KV cache are in memory."""

    def idle(self, now_us: int) -> None:
        """From now on nothing runs."""
        self._change(now_us, self._idle)

    def step(self, now_us: int, step_us: int, *, tokens: int, context_tokens: int) -> None:
        """From now on a step of `step_us` runs: `tokens` in all, `context_tokens` read."""
        engine, gpu = self._engine, self._gpu
        seconds = step_us / MICROS_PER_SECOND * engine.tensor_parallel
        flops = 2.0 * engine.parameters * tokens
        read = engine.weights_bytes + context_tokens * engine.kv_bytes_per_token
        tensor = min(1.0, flops / (gpu.tensor_flops * seconds))
        dram = min(1.0, read / (gpu.dram_bytes_per_second * seconds))
        effort = min(1.0, 0.75 * dram + 0.9 * tensor)
        watts = gpu.idle_watts + (gpu.limit_watts - gpu.idle_watts) * effort
        self._change(now_us, Load(1.0, min(1.0, 0.2 + 0.6 * dram + 0.5 * tensor), tensor, dram, watts))

    def totals(self, now_us: int) -> GpuTotals:
        """Return the integrals up to now."""
        self._change(now_us, self._load)
        return GpuTotals(
            at_us=self._at_us,
            kernel_busy_us=self._kernel,
            sm_us=self._sm,
            tensor_us=self._tensor,
            dram_us=self._dram,
            energy_uj=self._energy_uj,
            memory_used_bytes=self._memory_used_bytes(),
            watts=self._load.watts,
        )

    def _memory_used_bytes(self) -> int:
        if not self.loaded:
            return _EMPTY_BYTES
        engine = self._engine
        return (
            engine.weights_bytes + engine.kv_pool_bytes
        ) // engine.tensor_parallel + _LOADED_OVERHEAD_BYTES

    def _change(self, now_us: int, load: Load) -> None:
        passed = now_us - self._at_us
        if passed > 0:
            old = self._load
            self._kernel += old.kernel_busy_ratio * passed
            self._sm += old.sm_ratio * passed
            self._tensor += old.tensor_ratio * passed
            self._dram += old.dram_ratio * passed
            self._energy_uj += round(old.watts * passed)
            self._at_us = now_us
        self._load = load


def gpu_sample(
    place: GpuPlace, model: GpuModel, *, at_us: int, before: GpuTotals | None, after: GpuTotals
) -> GpuSample:
    """Return the reading of one GPU over the window between two totals.

    Without an earlier one, or with none of the time passed, activity is not measured (None) and
    power is the instant's. A counter that fell (the simulator was started anew) counts so too.
    """
    passed_us = after.at_us - before.at_us if before else 0
    if before is None or passed_us <= 0 or after.energy_uj < before.energy_uj:
        kernel = sm = tensor = dram = None
        watts = after.watts
    else:
        kernel = _ratio(after.kernel_busy_us - before.kernel_busy_us, passed_us)
        sm = _ratio(after.sm_us - before.sm_us, passed_us)
        tensor = _ratio(after.tensor_us - before.tensor_us, passed_us)
        dram = _ratio(after.dram_us - before.dram_us, passed_us)
        watts = (after.energy_uj - before.energy_uj) / passed_us
    busy = after.watts > model.idle_watts or bool(kernel)
    return GpuSample(
        at_us=at_us,
        gpu_uuid=place.uuid,
        host=place.host,
        gpu_index=place.index,
        gpu_model=model.name,
        driver_version=DRIVER_VERSION,
        kernel_busy_ratio=kernel,
        memory_busy_ratio=kernel,
        sm_activity_ratio=sm,
        tensor_activity_ratio=tensor,
        dram_activity_ratio=dram,
        activity_source=ActivitySource.SIMULATED,
        memory_total_bytes=model.memory_bytes,
        memory_used_bytes=after.memory_used_bytes,
        memory_reserved_bytes=model.reserved_bytes,
        memory_free_bytes=model.memory_bytes - model.reserved_bytes - after.memory_used_bytes,
        power_watts=watts,
        power_limit_watts=model.limit_watts,
        energy_millijoules_total=after.energy_uj // MICROS_PER_MILLI,
        sm_clock_mhz=model.sm_clock_mhz if busy else model.idle_clock_mhz,
        sm_clock_max_mhz=model.sm_clock_mhz,
        temperature_celsius=_COOLEST_CELSIUS + _CELSIUS_PER_WATT * watts,
    )


def lost_gpu_sample(place: GpuPlace, model: GpuModel, at_us: int) -> GpuSample:
    """Return the reading of a GPU that no longer answers: its identity and `up` false."""
    return GpuSample(
        at_us=at_us,
        gpu_uuid=place.uuid,
        host=place.host,
        gpu_index=place.index,
        gpu_model=model.name,
        driver_version=DRIVER_VERSION,
        up=False,
    )


def _ratio(part_us: float, whole_us: int) -> float:
    return min(1.0, max(0.0, part_us / whole_us))
