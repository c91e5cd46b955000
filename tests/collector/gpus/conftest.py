"""GPU sources over the fake driver, read tick by tick in a time of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from collector.backoff import Backoff
from collector.gpus.identity import enumerate_gpus
from collector.gpus.nvml import Session
from collector.gpus.source import GpuSource
from telemetry.events import Event
from telemetry.samples import GpuSample

NOW = 1_700_000_000_000_000


@dataclass
class Bench:
    """The sources of a driver's GPUs, and what their last readings brought."""

    driver: object
    sources: list
    ticks: int = 0
    events: list = field(default_factory=list)
    readings: list = field(default_factory=list)

    def tick(self, count=1):
        """Let seconds pass and read every GPU after each."""
        for _ in range(count):
            self.ticks += 1
            self.driver.pass_time()
            self.readings = [source.read(NOW + self.ticks * 1_000_000) for source in self.sources]
            self.events += [
                record for reading in self.readings for record in reading.records if isinstance(record, Event)
            ]

    def samples(self, gpu=0):
        """Every row of a GPU's last reading: its own and those of its MIG instances."""
        return [record for record in self.readings[gpu].records if isinstance(record, GpuSample)]

    def sample(self, gpu=0):
        """The GPU's own row, None when the reading brought none."""
        return next(iter(self.samples(gpu)), None)

    def kinds(self, gpu=0):
        """The events of a GPU so far, in order."""
        uuid = self.sources[gpu].identity.uuid
        return [event.kind for event in self.events if event.gpu_uuid == uuid]


@pytest.fixture
def make_bench(make_driver):
    """Sources of so many GPUs that try again at once, read twice so that opening is over."""

    def make(gpus=1, hidden=(), prepare=None):
        driver = make_driver(gpus=gpus, hidden=hidden)
        if prepare:
            prepare(driver)
        session = Session(patience_seconds=0.05)
        found, _ = enumerate_gpus(session)
        again = Backoff(0.0, 0.0, jitter=False)
        bench = Bench(driver, [GpuSource(session, gpu, host="node-1", backoff=again) for gpu in found])
        bench.tick(2)
        return bench

    return make
