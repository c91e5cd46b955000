"""What the SMs, tensor pipes and DRAM of a GPU really did (NVML GPM, Hopper and newer).

Two rungs of the ladder from one driver call: cycle counters since the GPU's reset, differenced here
and so exact over any interval; and ratios that the driver computes between two samples. Needs no
daemon and no root; an older GPU, an older driver or a refusal gives neither.

The same call tells the rates of PCIe and of all NVLinks, which are added up here as bytes: Hopper's
own byte counters are 32 bits wide and wrap within a second.

Formulas: SM activity = active / elapsed SM cycles, tensor activity = MMA-active / elapsed
(metric ids 248, 249, 250); DRAM activity and occupancy exist as ratios only (ids 10, 3).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pynvml

from collector.gpus.activity import Activity
from collector.gpus.nvml import GONE, DriverError, ask, call
from telemetry.counters import increase
from telemetry.samples import ActivitySource
from telemetry.units import BYTES_PER_MIB

_SM, _OCCUPANCY, _TENSOR, _DRAM = 2, 3, 5, 10
_ELAPSED, _ACTIVE, _TENSOR_ACTIVE = 248, 249, 250
MOVED: Final[Mapping[int, str]] = {
    20: "pcie_tx_bytes_total",
    21: "pcie_rx_bytes_total",
    60: "nvlink_rx_bytes_total",
    61: "nvlink_tx_bytes_total",
}
"""Rates in MiB/s, and the columns that their sums over time fill."""
_METRICS: Final = (_SM, _OCCUPANCY, _TENSOR, _DRAM, _ELAPSED, _ACTIVE, _TENSOR_ACTIVE, *MOVED)
_LONGEST_SECONDS: Final = 600.0
"""Two samples further apart are not compared: the driver's own sums may have wrapped between them."""
ASK_AGAIN_TICKS: Final = 300
"""Ticks until a refusal is put to the test again: leave may be given while we run."""
_LOCK: Final = threading.Lock()
"""GPM calls of one process never run side by side: the driver was seen to crash on it."""


@dataclass(frozen=True, slots=True)
class GpmReading:
    """What both rungs tell over the interval since the reading before; None = it cannot tell now.

    `moved` are the bytes over the links since the first reading, by column; empty = not told now.
    """

    counters: Activity | None = None
    ratios: Activity | None = None
    moved: Mapping[str, int] = field(default_factory=dict)


_NOTHING: Final = GpmReading()


class GpmReader:
    """The activity of one GPU, or of a MIG instance by its parent's handle and its instance id.

    Not thread-safe; one thread owns it. A reading costs two driver calls. Holds two sample buffers
    of the driver until `close`.
    """

    def __init__(
        self, handle: Any, *, gpu_instance: int | None = None, patience_seconds: float = 0.05
    ) -> None:
        self._take: tuple[Any, ...] = (
            (pynvml.nvmlGpmSampleGet, handle)
            if gpu_instance is None
            else (pynvml.nvmlGpmMigSampleGet, handle, gpu_instance)
        )
        self._patience = patience_seconds
        self._samples: list[Any] = []
        self._taken_at: float | None = None
        self._counters: Mapping[int, float] = {}
        self._bytes: dict[str, float] = {}
        self._request = pynvml.c_nvmlGpmMetricsGet_t()
        self._request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        self._request.numMetrics = len(_METRICS)
        for slot, metric in zip(self._request.metrics, _METRICS, strict=False):
            slot.metricId = metric
        support = ask(pynvml.nvmlGpmQueryDeviceSupport, handle)
        self.supported = bool(support is not None and support.isSupportedDevice)
        self._refused_for = 0

    def read(self) -> GpmReading:
        """Return the activity since the last call.

        Nothing on the first call, where GPM is not offered or refused, and while another GPU's
        call holds the lock. Raises `DriverError` when the GPU is gone.
        """
        if not self.supported or self._is_refused() or not _LOCK.acquire(timeout=self._patience):
            return _NOTHING
        try:
            values = self._measure()
        except DriverError as error:
            if error.code in GONE:
                raise
            # Announced and then refused, for want of permission or memory: it costs its own rungs.
            self._refused_for = ASK_AGAIN_TICKS
            self._taken_at = None
            return _NOTHING
        finally:
            _LOCK.release()
        return _NOTHING if values is None else self._reading(values)

    def _is_refused(self) -> bool:
        self._refused_for = max(0, self._refused_for - 1)
        return self._refused_for > 0

    def _measure(self) -> dict[int, float] | None:
        """Take a sample and return what lies between it and the one before, None at the first."""
        if not self._samples:
            self._samples = [call(pynvml.nvmlGpmSampleAlloc) for _ in range(2)]
        older, newer = self._samples
        call(*self._take, newer)
        self._samples = [newer, older]
        before, self._taken_at = self._taken_at, time.monotonic()
        if before is None or self._taken_at - before > _LONGEST_SECONDS:
            return None
        self._request.sample1, self._request.sample2 = older, newer
        call(pynvml.nvmlGpmMetricsGet, self._request)
        told = {
            slot.metricId: slot.value
            for slot in self._request.metrics[: len(_METRICS)]
            if slot.nvmlReturn == pynvml.NVML_SUCCESS and math.isfinite(slot.value)
        }
        self._add_up(told, self._taken_at - before)
        return told

    def _add_up(self, told: Mapping[int, float], seconds: float) -> None:
        for metric, column in MOVED.items():
            if metric in told:
                moved = max(0.0, told[metric]) * BYTES_PER_MIB * seconds
                self._bytes[column] = self._bytes.get(column, 0.0) + moved

    def _reading(self, now: Mapping[int, float]) -> GpmReading:
        before, self._counters = self._counters, now
        sm, tensor = (_share(before, now, metric) for metric in (_ACTIVE, _TENSOR_ACTIVE))
        occupancy, dram = _ratio(now.get(_OCCUPANCY)), _ratio(now.get(_DRAM))
        return GpmReading(
            counters=_activity(ActivitySource.GPM_COUNTERS, sm, tensor, occupancy, dram)
            if sm is not None and tensor is not None
            else None,
            ratios=_activity(
                ActivitySource.GPM, _ratio(now.get(_SM)), _ratio(now.get(_TENSOR)), occupancy, dram
            ),
            moved={column: round(self._bytes[column]) for metric, column in MOVED.items() if metric in now},
        )

    def close(self) -> None:
        """Give the buffers back; a driver that is gone has taken them with it."""
        for sample in self._samples:
            with suppress(DriverError):
                ask(pynvml.nvmlGpmSampleFree, sample)
        self._samples = []


def _activity(
    source: ActivitySource,
    sm: float | None,
    tensor: float | None,
    occupancy: float | None,
    dram: float | None,
) -> Activity | None:
    if (sm, tensor, occupancy, dram) == (None, None, None, None):
        return None
    return Activity(
        source=source, sm_ratio=sm, tensor_ratio=tensor, occupancy_ratio=occupancy, dram_ratio=dram
    )


def _share(before: Mapping[int, float], now: Mapping[int, float], metric: int) -> float | None:
    elapsed = increase(before.get(_ELAPSED), now.get(_ELAPSED))
    active = increase(before.get(metric), now.get(metric))
    if not elapsed or active is None or active > elapsed:
        return None  # unknown, or a reset between the two counters
    return active / elapsed


def _ratio(percent: float | None) -> float | None:
    """Return a percentage as 0..1; a value outside 0..100 is the driver's slip, not a reading."""
    return None if percent is None or not 0 <= percent <= 100 else percent / 100
