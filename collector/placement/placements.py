"""Which GPU serves which replica: as configured, else as the processes on the GPUs show.

A configured replica or GPU is never contradicted by what is found. A GPU that nothing places is
unmapped and stays so: it is not guessed from an order or a count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import urlsplit

from collector.placement.processes import Processes, literal_address
from collector.settings import LOCAL_HOSTS, EngineTarget, Settings
from telemetry.columns import Record
from telemetry.placement import Placement, PlacementSource
from telemetry.samples import EngineSample

SEEN_CONFIDENCE: Final = 0.95
"""The process on the GPU descends from the one that serves the port: short of being told so."""


def configured(settings: Settings, now_us: int) -> list[Placement]:
    """Return a placement for every GPU that the settings give to a replica; empty = none given."""
    return [
        Placement(
            at_us=now_us,
            replica=str(target.replica(settings.host, rank)),
            gpu_uuid=uuid,
            host=settings.host,
            model=target.model,
            pool=target.pool,
            region=settings.region,
            source=PlacementSource.CONFIGURATION,
        )
        for target in settings.engines
        for rank in range(target.ranks)
        for uuid in target.gpus_of(rank)
    ]


@dataclass(frozen=True, slots=True)
class Serving:
    """An engine that is read: where, and the newest sample of each of its replicas by rank."""

    target: EngineTarget
    samples: Mapping[int, EngineSample]

    @classmethod
    def of(cls, target: EngineTarget, records: Sequence[Record], host: str) -> Self:
        """Return an engine with those of the records that are good samples of its replicas."""
        own = {
            int(record.replica.partition("#")[2] or 0): record
            for record in records
            if isinstance(record, EngineSample)
            and record.up
            and record.replica.partition("#")[0] == target.place(host)
        }
        return cls(target, own)


def seen(
    running: Mapping[str, Sequence[int]], engines: Sequence[Serving], processes: Processes, now_us: int
) -> Iterator[Placement]:
    """Yield the placements that the processes on each GPU prove, at most one replica a GPU.

    A GPU that two replicas share is left unmapped: no row can say so. So is one whose engine has
    several replicas while its processes do not say which they are.
    """
    if not processes.host_ids():
        return
    for uuid, pids in running.items():
        found = {
            sample.replica: (engine, sample)
            for engine in engines
            for pid in pids
            if (sample := _replica(engine, pid, processes)) is not None
        }
        if len(found) == 1:
            engine, sample = next(iter(found.values()))
            yield Placement(
                at_us=now_us,
                replica=sample.replica,
                gpu_uuid=uuid,
                host=sample.host,
                model=sample.model,
                pool=engine.target.pool,
                source=PlacementSource.PROCESS,
                confidence_ratio=SEEN_CONFIDENCE,
            )


def _replica(engine: Serving, pid: int, processes: Processes) -> EngineSample | None:
    parts = urlsplit(engine.target.url)
    name = parts.hostname or ""
    address = literal_address(name)
    if address is None and name not in LOCAL_HOSTS:
        return None  # a name can lead anywhere
    server = processes.server_above(pid, address, parts.port or (443 if parts.scheme == "https" else 80))
    if server is None:
        return None
    if len(engine.samples) == 1:
        return next(iter(engine.samples.values()))
    return None if server.rank is None else engine.samples.get(server.rank)


class Placements:
    """The placements that hold now. Thread-safe."""

    def __init__(self, settings: Settings, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._fixed = configured(settings, clock())
        self._found: dict[str, Placement] = {}

    def now(self) -> list[Placement]:
        """Return every placement that holds, as of now."""
        now_us = self._clock()
        with self._lock:
            return [replace(placement, at_us=now_us) for placement in (*self._fixed, *self._found.values())]

    def gpus_of(self, replica: str) -> tuple[str, ...]:
        """Return the UUIDs of a replica's GPUs; empty = not known."""
        with self._lock:
            return tuple(
                placement.gpu_uuid
                for placement in (*self._fixed, *self._found.values())
                if placement.replica == replica
            )

    def find(self, found: Sequence[Placement], now_us: int) -> list[Placement]:
        """Take what the processes show now; return what is new, and what ended as ended."""
        fixed = {placement.gpu_uuid for placement in self._fixed}
        named = {placement.replica for placement in self._fixed}
        holding = {
            placement.gpu_uuid: replace(placement, region=self._settings.region)
            for placement in found
            if placement.gpu_uuid not in fixed and placement.replica not in named
        }
        with self._lock:
            before, self._found = self._found, holding
        ended = [
            replace(placement, at_us=now_us, until_us=now_us)
            for uuid, placement in before.items()
            if uuid not in holding
        ]
        begun = [
            placement
            for uuid, placement in holding.items()
            if uuid not in before or before[uuid].replica != placement.replica
        ]
        return [*ended, *begun]
