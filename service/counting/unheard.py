"""GPU samples that were expected and did not come, for objectives on absence.

Presence says which GPUs are expected and not heard, and since when; every second of it is one
sample with `up` false. They are counted, never stored: nobody took them. What was sampled and
comes late is counted beside them: it was missing when it was due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from service.store.fleet import ExpectedGpu
from telemetry.frame import Frame, Numbers
from telemetry.samples import GpuSample
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

LONGEST_US: Final = 10 * MICROS_PER_MINUTE
"""Most that is caught up with at once, should nobody have asked for longer."""


@dataclass(frozen=True, slots=True)
class Unheard:
    """A GPU that is expected, and the UTC instant after which nothing is known of it."""

    gpu: ExpectedGpu
    since_us: int


@dataclass(slots=True)
class Missing:
    """Which missing samples have been told already. Belongs to the evaluator's thread."""

    _told_us: dict[str, int] = field(default_factory=dict)

    def samples(self, unheard: Sequence[Unheard], now_us: int) -> Frame:
        """Return the samples missing since the last call, one a second for each GPU, until `now_us`."""
        begin = np.array([self._from(each, now_us) for each in unheard], dtype=np.int64)
        seconds = np.maximum(now_us - begin, 0) // MICROS_PER_SECOND
        self._told_us = {
            each.gpu.gpu_uuid: start + count * MICROS_PER_SECOND
            for each, start, count in zip(unheard, begin.tolist(), seconds.tolist(), strict=True)
        }
        first = np.cumsum(seconds) - seconds
        place = np.arange(seconds.sum()) - np.repeat(first, seconds)
        at_us = np.repeat(begin, seconds) + (place + 1) * MICROS_PER_SECOND
        frame = Frame.of("gpu_samples", [_sample(each) for each in unheard])
        taken = frame.take(np.repeat(np.arange(len(unheard)), seconds))
        times = Numbers(at_us, np.ones(len(at_us), dtype=np.bool_))
        return replace(taken, columns={**taken.columns, "at_us": times})

    def _from(self, each: Unheard, now_us: int) -> int:
        return max(each.since_us, self._told_us.get(each.gpu.gpu_uuid, 0), now_us - LONGEST_US)


def _sample(each: Unheard) -> GpuSample:
    gpu = each.gpu
    return GpuSample(at_us=0, gpu_uuid=gpu.gpu_uuid, host=gpu.host, gpu_model=gpu.gpu_model, up=False)
