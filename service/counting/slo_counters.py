"""What objectives count, as counters for Prometheus: requests and the good ones, by group.

The rules that `inferometer slo convert --to prometheus` writes read these two. They only grow
while the service runs and begin at 0 after a start, as counters may. Both series of a group
appear together, and stand at 0 when they are read for the first time: a counter that appears
with its first requests already in it would hide them from `rate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from slo.cells import Cells, Key
from slo.objective import Objective

REQUESTS: Final = "inferometer_slo_requests_total"
"""Counter of the requests that count, by objective and group."""
GOOD_REQUESTS: Final = "inferometer_slo_good_requests_total"
"""Counter of the good ones among them."""
OBJECTIVE_LABEL: Final = "objective"


@dataclass(slots=True)
class Grown:
    """What was counted for one objective since the start: good and total of each group."""

    _sums: dict[Key, tuple[int, int]] = field(default_factory=dict)
    _read: set[Key] = field(default_factory=set)

    def know(self, keys: Iterable[Key]) -> None:
        """Let groups of which nothing was counted yet appear, at 0."""
        for key in keys:
            self._sums.setdefault(key, (0, 0))

    def add(self, cells: Cells) -> None:
        """Count more; in whatever minute it belongs."""
        groups = len(cells.keys)
        sums = np.zeros((2, groups), dtype=np.int64)
        np.add.at(sums[0], cells.group, cells.good)
        np.add.at(sums[1], cells.group, cells.total)
        for key, good, total in zip(cells.keys, *sums.tolist(), strict=True):
            before = self._sums.get(key, (0, 0))
            self._sums[key] = (before[0] + good, before[1] + total)

    def read(self) -> list[tuple[Key, int, int]]:
        """Return (group, good, total) of every group; (0, 0) of one that was never read before."""
        told = [
            (key, good, total) if key in self._read else (key, 0, 0)
            for key, (good, total) in self._sums.items()
        ]
        self._read.update(self._sums)
        return told


class SloCounters(Collector):
    """The page of both counters, over `read`: each objective with what `Grown.read` returned."""

    def __init__(self, read: Callable[[], Sequence[tuple[Objective, list[tuple[Key, int, int]]]]]) -> None:
        self._read = read
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the two families."""
        every = CounterMetricFamily(REQUESTS, "Requests that an objective counts, by its groups.")
        well = CounterMetricFamily(GOOD_REQUESTS, "Good requests among those that an objective counts.")
        for objective, groups in self._read():
            for key, good, total in groups:
                labels = {OBJECTIVE_LABEL: objective.name, **dict(zip(objective.group_by, key, strict=True))}
                every.add_sample(REQUESTS, labels, total)
                well.add_sample(GOOD_REQUESTS, labels, good)
        yield from (every, well)

    def page(self) -> bytes:
        """Return the page of text."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing is read at registration."""
        return []
