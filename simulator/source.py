"""A simulated GPU as the agent reads one: `telemetry.source.Source` over the simulator's HTTP.

The simulator gives integrals since its start; a reading is the mean between two of them, so any
number of agents may read the same GPU. The first reading has no activity (None, not zero).
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from simulator.errors import SimulatorError
from simulator.gpus import GpuTotals, gpu_sample, lost_gpu_sample
from simulator.readings import placements
from simulator.reports import FLEET, GPUS, GpuReport
from simulator.specs import FleetSpec, PoolSpec, ReplicaPlace
from telemetry.columns import Record
from telemetry.source import Health, Reading
from telemetry.units import MICROS_PER_SECOND

TIMEOUT_SECONDS: Final = 2.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
PLACEMENT_EVERY_US: Final = 60 * MICROS_PER_SECOND


class SimulatedGpu:
    """One GPU of a simulated replica. Brings its placement with the first reading of a minute."""

    def __init__(self, address: str, pool: PoolSpec, place: ReplicaPlace, gpu_uuid: str) -> None:
        self.name = f"simulated GPU {gpu_uuid}"
        self.gpu_uuid = gpu_uuid
        self._connection = http.client.HTTPConnection(address, place.port, timeout=TIMEOUT_SECONDS)
        self._pool = pool
        self._place = place
        self._before: GpuTotals | None = None
        self._placed_us: int | None = None

    def read(self, now_us: int) -> Reading:
        """See `telemetry.source.Source`."""
        began = time.perf_counter_ns()
        records: tuple[Record, ...] = ()
        error: str | None = None
        try:
            records = self._records(self._report(), now_us)
        except (OSError, http.client.HTTPException, SimulatorError) as fault:
            self._connection.close()
            self._before = None
            error = f"read {self.name}: {fault or type(fault).__name__}; is the simulator running?"
        took_us = (time.perf_counter_ns() - began) // 1_000
        health = Health(source=self.name, at_us=now_us, took_us=took_us, ok=error is None, error=error)
        return Reading(records=records, health=health)

    def close(self) -> None:
        """See `telemetry.source.Source`."""
        self._connection.close()

    def _report(self) -> GpuReport:
        reports = _reports(_fetch(self._connection, "/simulated/gpu"))
        for report in reports:
            if report.place.uuid == self.gpu_uuid:
                return report
        raise SimulatorError(f"the simulator on port {self._place.port} has another GPU by now")

    def _records(self, report: GpuReport, now_us: int) -> tuple[Record, ...]:
        if report.lost:
            self._before = None
            return (lost_gpu_sample(report.place, report.model, now_us),)
        sample = gpu_sample(
            report.place, report.model, at_us=now_us, before=self._before, after=report.totals
        )
        self._before = report.totals
        return (sample, *self._placement(now_us))

    def _placement(self, now_us: int) -> Sequence[Record]:
        if self._placed_us is not None and now_us - self._placed_us < PLACEMENT_EVERY_US:
            return ()
        self._placed_us = now_us
        held = placements(self._pool, self._place, now_us)
        return [placement for placement in held if placement.gpu_uuid == self.gpu_uuid]


def read_fleet(url: str) -> FleetSpec:
    """Return the fleet that a simulated replica belongs to, asked over HTTP.

    Raises `SimulatorError` when nobody answers at `url` or it is no simulator.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise SimulatorError(f"read fleet: {url!r} is not http://host:port of a simulated replica")
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=TIMEOUT_SECONDS)
    try:
        return FLEET.validate_json(_fetch(connection, "/simulated/fleet"))
    except (OSError, http.client.HTTPException, ValidationError) as error:
        raise SimulatorError(f"read fleet at {url}: {error}; is the simulator running there?") from None
    finally:
        connection.close()


def gpu_sources(url: str) -> list[SimulatedGpu]:
    """Return a source for each GPU of the fleet that answers at `url`. Raises `SimulatorError`."""
    address = urlsplit(url).hostname or ""
    return [
        SimulatedGpu(address, pool, place, gpu.uuid)
        for pool, place in read_fleet(url).replicas()
        for gpu in place.gpus
    ]


def _reports(body: bytes) -> tuple[GpuReport, ...]:
    try:
        return GPUS.validate_json(body)
    except ValidationError as error:
        raise SimulatorError(f"its answer has {error.error_count()} faults; same version on both?") from None


def _fetch(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read(MAX_ANSWER_BYTES)
    if answer.status != 200:
        raise SimulatorError(f"GET {path} answered {answer.status}")
    return body
