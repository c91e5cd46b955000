"""What an engine counts since its start: the numbers behind its `/metrics`."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from telemetry.requests import Finish
from telemetry.units import MICROS_PER_SECOND


def _us(*bounds_seconds: float) -> tuple[int, ...]:
    return tuple(round(bound * MICROS_PER_SECOND) for bound in bounds_seconds)


# vLLM's own bounds, 0.8.5 to 0.33 (reference: engines, 5).
# fmt: off
TTFT_BOUNDS_US: Final = _us(
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
    1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
)
ITL_BOUNDS_US: Final = _us(
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
)
REQUEST_BOUNDS_US: Final = _us(
    0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
)
# fmt: on


class Histogram:
    """Durations in microseconds by inclusive upper bound, with their exact sum."""

    __slots__ = ("bounds_us", "counts", "sum_us")

    def __init__(self, bounds_us: tuple[int, ...]) -> None:
        self.bounds_us = bounds_us
        self.counts = [0] * (len(bounds_us) + 1)
        """One count for each bound and one for what lies above all; not cumulative."""
        self.sum_us = 0

    def add(self, duration_us: int, times: int = 1) -> None:
        """Count a duration, `times` times over."""
        self.counts[bisect_left(self.bounds_us, duration_us)] += times
        self.sum_us += duration_us * times

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)


def _requests() -> Histogram:
    return Histogram(REQUEST_BOUNDS_US)


@dataclass(slots=True)
class EngineCounters:
    """Everything an engine counts. As in vLLM, an aborted request enters no latency histogram."""

    prompt_tokens: int = 0
    """Counted when a prompt's prefill ends, cached tokens included, once a request."""
    cached_prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    preemptions: int = 0
    steps: int = 0
    step_tokens: int = 0
    finished: dict[Finish, int] = field(
        default_factory=lambda: dict.fromkeys((Finish.STOP, Finish.LENGTH, Finish.ABORT, Finish.ERROR), 0)
    )
    ttft: Histogram = field(default_factory=lambda: Histogram(TTFT_BOUNDS_US))
    itl: Histogram = field(default_factory=lambda: Histogram(ITL_BOUNDS_US))
    per_token: Histogram = field(default_factory=lambda: Histogram(ITL_BOUNDS_US))
    """Mean time per output token, one value a request."""
    e2e: Histogram = field(default_factory=_requests)
    queue: Histogram = field(default_factory=_requests)
    prefill: Histogram = field(default_factory=_requests)
    decode: Histogram = field(default_factory=_requests)
    inference: Histogram = field(default_factory=_requests)

    def finish(self, *, arrived_us: int, scheduled_us: int, first_us: int, last_us: int, tokens: int) -> None:
        """Enter a request that ran to its end into the latency histograms."""
        self.e2e.add(last_us - arrived_us)
        self.queue.add(scheduled_us - arrived_us)
        self.prefill.add(first_us - scheduled_us)
        self.decode.add(last_us - first_us)
        self.inference.add(last_us - scheduled_us)
        self.per_token.add((last_us - first_us) // (tokens - 1) if tokens > 1 else 0)
