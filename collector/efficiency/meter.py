"""Keeps the last seconds of each replica's samples and says how efficient its GPUs were in them.

Beside it a lie detector: no model can have moved more bytes than the memory's own counters saw.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from collector.efficiency.peaks import peak_of
from collector.efficiency.ratios import Board, Efficiency, ModelShape, efficiency
from collector.export.health import Vital, gauges
from telemetry.catalog import PREFIX, MetricKind
from telemetry.columns import Record
from telemetry.samples import EngineSample, GpuSample
from telemetry.units import MICROS_PER_SECOND

WINDOW_US: Final = 15 * MICROS_PER_SECOND
"""Several engines count a request's tokens when it ends: over a second they come in jerks."""
DOUBT_RATIO: Final = 0.15
"""MBU that is further above the measured DRAM activity is doubted: a size in the settings is wrong."""
MAX_REPLICAS: Final = 1_024
_MAX_SAMPLES: Final = 200
_RATIOS: Final[tuple[tuple[str, str, Callable[[Efficiency], float | None]], ...]] = (
    (
        "engine_mfu_ratio",
        "Model FLOP/s over the dense peak of the replica's GPUs, in the last 15 s.",
        lambda found: found.mfu_ratio,
    ),
    (
        "engine_mbu_ratio",
        "Bytes the model had to move over the peak bandwidth of the replica's GPUs, in the last 15 s.",
        lambda found: found.mbu_ratio,
    ),
)


class EfficiencyMeter:
    """MFU and MBU of every replica whose GPUs and model are known. Thread-safe.

    `gpus_of` names a replica's GPUs; `models` are shapes by the name engines tell.
    """

    def __init__(self, models: Mapping[str, ModelShape], gpus_of: Callable[[str], Sequence[str]]) -> None:
        self._models = models
        self._gpus_of = gpus_of
        self._lock = threading.Lock()
        self._windows: dict[str, deque[EngineSample]] = {}
        self._gpu_models: dict[str, str | None] = {}
        self._dram: dict[str, deque[tuple[int, float]]] = {}

    def observe(self, records: Sequence[Record]) -> None:
        """Take a reading's samples. A replica that is down begins anew."""
        with self._lock:
            for record in records:
                if isinstance(record, GpuSample):
                    self._gpu_models[record.gpu_uuid] = record.gpu_model
                    self._keep_dram(record)
                elif isinstance(record, EngineSample):
                    self._keep(record)

    def found(self) -> dict[str, Efficiency]:
        """Return the efficiency by replica; a replica of which it cannot be known is left out."""
        with self._lock:
            windows = {replica: tuple(window) for replica, window in self._windows.items()}
        found: dict[str, Efficiency] = {}
        for replica, samples in windows.items():
            board = self._board(replica)
            if board is None or not samples:
                continue
            share = efficiency(samples, board, self._models.get(samples[-1].model or ""))
            if share is not None:
                found[replica] = share
        return found

    def doubts(self, found: Mapping[str, Efficiency]) -> dict[str, bool]:
        """Tell of each replica whose DRAM activity is measured whether its MBU is impossible beside it."""
        doubts: dict[str, bool] = {}
        for replica, share in found.items():
            with self._lock:
                told = [value for uuid in self._gpus_of(replica) for _, value in self._dram.get(uuid, ())]
            if told and share.mbu_ratio is not None:
                doubts[replica] = share.mbu_ratio - sum(told) / len(told) > DOUBT_RATIO
        return doubts

    def vitals(self) -> list[Vital]:
        """Return the series, each with what its amount of work is known from."""
        found = self.found()
        doubtful = gauges(
            "engine_mbu_doubtful",
            "1 while MBU is more than 15 points above the measured DRAM activity of the replica's GPUs.",
            "replica",
            {replica: float(doubt) for replica, doubt in self.doubts(found).items()},
        )
        return [
            replace(doubtful, prefix=PREFIX),
            *(
                Vital(
                    name,
                    MetricKind.GAUGE,
                    text,
                    ("replica", "basis"),
                    {
                        (replica, share.basis.value): value
                        for replica, share in found.items()
                        if (value := ratio(share)) is not None
                    },
                    PREFIX,
                )
                for name, text, ratio in _RATIOS
            ),
        ]

    def _keep_dram(self, sample: GpuSample) -> None:
        told = self._dram.setdefault(sample.gpu_uuid, deque(maxlen=_MAX_SAMPLES))
        if sample.dram_activity_ratio is not None:
            told.append((sample.at_us, sample.dram_activity_ratio))
        while told and told[0][0] < sample.at_us - WINDOW_US:
            told.popleft()

    def _keep(self, sample: EngineSample) -> None:
        window = self._windows.get(sample.replica)
        if window is None:
            if len(self._windows) >= MAX_REPLICAS:
                return
            window = self._windows[sample.replica] = deque(maxlen=_MAX_SAMPLES)
        if not sample.up:
            window.clear()
            return
        window.append(sample)
        while len(window) > 2 and window[0].at_us < sample.at_us - WINDOW_US:
            window.popleft()

    def _board(self, replica: str) -> Board | None:
        """Return a replica's GPUs when they are all of one listed model."""
        gpus = self._gpus_of(replica)
        models = {self._gpu_models.get(uuid) for uuid in gpus}
        peak = peak_of(models.pop()) if len(models) == 1 else None
        return None if peak is None else Board(peak=peak, gpus=len(gpus))
