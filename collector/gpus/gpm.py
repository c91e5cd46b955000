"""What the SMs, tensor pipes and DRAM of a GPU really did (NVML GPM, Hopper and newer).

Two ways, best first: cycle counters since the GPU's reset, differenced here and so exact over
any interval; or ratios that the driver computes between two samples. One driver call reads both.
Needs no daemon and no root; an older GPU, an older driver or a refusal gives None.

Formulas: SM activity = active / elapsed SM cycles, tensor activity = MMA-active / elapsed
(metric ids 248, 249, 250); DRAM activity and occupancy exist as ratios only (ids 10, 3).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pynvml

from collector.gpus.nvml import ABSENT, DriverError, ask, call
from telemetry.counters import increase
from telemetry.samples import ActivitySource

_SM, _OCCUPANCY, _TENSOR, _DRAM = 2, 3, 5, 10
_ELAPSED, _ACTIVE, _TENSOR_ACTIVE = 248, 249, 250
_METRICS: Final = (_SM, _OCCUPANCY, _TENSOR, _DRAM, _ELAPSED, _ACTIVE, _TENSOR_ACTIVE)
_LOCK: Final = threading.Lock()
"""GPM calls of one process never run side by side: the driver was seen to crash on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Ratios 0..1 over the interval since the reading before; None = not measured."""

    sm_ratio: float | None
    occupancy_ratio: float | None
    tensor_ratio: float | None
    dram_ratio: float | None
    source: ActivitySource


class GpmReader:
    """The activity of one GPU under one handle. Not thread-safe; its source's thread owns it.

    Costs two driver calls a reading. Holds two sample buffers of the driver until `close`.
    """

    def __init__(self, handle: Any, *, patience_seconds: float = 0.05) -> None:
        self._handle = handle
        self._patience = patience_seconds
        self._samples: list[Any] = []
        self._filled = False
        self._counters: Mapping[int, float] = {}
        self._request = pynvml.c_nvmlGpmMetricsGet_t()
        self._request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        self._request.numMetrics = len(_METRICS)
        for slot, metric in zip(self._request.metrics, _METRICS, strict=False):
            slot.metricId = metric
        support = ask(pynvml.nvmlGpmQueryDeviceSupport, handle)
        self.supported = bool(support is not None and support.isSupportedDevice)

    def read(self) -> Activity | None:
        """Return the activity since the last call.

        None on the first call, where GPM is not offered, and while another GPU's call holds
        the lock. Raises `DriverError`.
        """
        if not self.supported or not _LOCK.acquire(timeout=self._patience):
            return None
        try:
            values = self._measure()
        except DriverError as error:
            if error.code not in ABSENT:
                raise
            self.supported = False  # refused although announced, for want of permission
            return None
        finally:
            _LOCK.release()
        return None if values is None else self._activity(values)

    def _measure(self) -> dict[int, float] | None:
        if not self._samples:
            self._samples = [call(pynvml.nvmlGpmSampleAlloc) for _ in range(2)]
        older, newer = self._samples
        call(pynvml.nvmlGpmSampleGet, self._handle, newer)
        self._samples = [newer, older]
        if not self._filled:
            self._filled = True
            return None
        self._request.sample1, self._request.sample2 = older, newer
        call(pynvml.nvmlGpmMetricsGet, self._request)
        return {
            slot.metricId: slot.value
            for slot in self._request.metrics[: len(_METRICS)]
            if slot.nvmlReturn == pynvml.NVML_SUCCESS and math.isfinite(slot.value)
        }

    def _activity(self, now: Mapping[int, float]) -> Activity:
        before, self._counters = self._counters, now
        sm, tensor = (self._share(before, now, metric) for metric in (_ACTIVE, _TENSOR_ACTIVE))
        counted = sm is not None and tensor is not None
        return Activity(
            sm_ratio=sm if counted else _ratio(now.get(_SM)),
            occupancy_ratio=_ratio(now.get(_OCCUPANCY)),
            tensor_ratio=tensor if counted else _ratio(now.get(_TENSOR)),
            dram_ratio=_ratio(now.get(_DRAM)),
            source=ActivitySource.GPM_COUNTERS if counted else ActivitySource.GPM,
        )

    @staticmethod
    def _share(before: Mapping[int, float], now: Mapping[int, float], metric: int) -> float | None:
        elapsed = increase(before.get(_ELAPSED), now.get(_ELAPSED))
        active = increase(before.get(metric), now.get(metric))
        if not elapsed or active is None or active > elapsed:
            return None  # unknown, or a reset between the two counters
        return active / elapsed

    def close(self) -> None:
        """Give the buffers back; a driver that is gone has taken them with it."""
        for sample in self._samples:
            with suppress(DriverError):
                ask(pynvml.nvmlGpmSampleFree, sample)
        self._samples = []


def _ratio(percent: float | None) -> float | None:
    """Return a percentage as 0..1; a value outside 0..100 is the driver's slip, not a reading."""
    return None if percent is None or not 0 <= percent <= 100 else percent / 100
