"""The fleet on the real clock, inside one asyncio loop: timers instead of a virtual heap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from simulator.arrivals import Arrival
from simulator.cluster import Cluster, RunningReplica
from simulator.errors import FaultError
from simulator.faults import ON_A_POOL, Fault
from simulator.jobs import Job
from simulator.specs import FleetSpec
from telemetry.units import MICROS_PER_SECOND

MAX_SCHEDULED: Final = 256
"""Most faults that may be waiting for their time or holding."""


class Clock:
    """UTC microseconds that never go back: the loop's monotonic time, fixed to UTC once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._offset_us = time.time_ns() // 1_000 - self._ticks_us()

    def _ticks_us(self) -> int:
        return int(self._loop.time() * MICROS_PER_SECOND)

    def now_us(self) -> int:
        """Return the instant."""
        return self._ticks_us() + self._offset_us

    def loop_time(self, at_us: int) -> float:
        """Return an instant as the loop's timers count it, in seconds."""
        return (at_us - self._offset_us) / MICROS_PER_SECOND


class LiveReplica:
    """One replica on the real clock: moves its engine on time and wakes those who watch."""

    def __init__(self, replica: RunningReplica, clock: Clock) -> None:
        self.running = replica
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._watched: dict[Job, asyncio.Event] = {}
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, arrival: Arrival) -> tuple[Job, asyncio.Event]:
        """Take in a request; the event is set whenever it has a new token or its end."""
        now_us = self._clock.now_us()
        self.tell(self.running.engine.advance(now_us))
        job, event = Job(arrival, now_us), asyncio.Event()
        self._watched[job] = event
        if self.running.engine.submit(job, now_us):
            event.set()
        self.go_on()
        return job, event

    def leave(self, job: Job) -> None:
        """Watch a request no longer; one that has not ended is aborted and its blocks are freed."""
        self._watched.pop(job, None)
        if job.end is None:
            now_us = self._clock.now_us()
            self.tell(self.running.engine.advance(now_us))
            self.running.engine.abort(job, now_us)
            self.go_on()

    def go_on(self) -> None:
        """Do what is due, wake the watchers, and come back when the next step ends."""
        engine = self.running.engine
        ended = engine.advance(self._clock.now_us())
        self.tell([*engine.running, *ended])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if engine.next_us is not None:
            self._timer = self._loop.call_at(self._clock.loop_time(engine.next_us), self.go_on)

    def tell(self, jobs: Sequence[Job]) -> None:
        """Wake whoever watches these requests."""
        for job in jobs:
            if event := self._watched.get(job):
                event.set()

    def stop(self) -> None:
        """Do nothing any more."""
        if self._timer is not None:
            self._timer.cancel()


class LiveFleet:
    """All replicas on one clock, and the faults ordered for them. Must be made inside the loop."""

    def __init__(self, fleet: FleetSpec) -> None:
        self._loop = asyncio.get_running_loop()
        self.clock = Clock(self._loop)
        self.cluster = Cluster(fleet, self.clock.now_us())
        self.replicas = tuple(LiveReplica(replica, self.clock) for replica in self.cluster.replicas)
        self._timers: dict[Fault, asyncio.TimerHandle] = {}

    @property
    def fleet(self) -> FleetSpec:
        """What it is made of, with the ports it listens on."""
        return self.cluster.fleet

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that hold or wait for their time."""
        return tuple(self._timers)

    def order(self, fault: Fault) -> None:
        """Let a fault (in UTC microseconds) begin and end in its time.

        Raises `FaultError` for one without a target, one that only the virtual clock knows, or
        more than `MAX_SCHEDULED`.
        """
        if fault.kind in ON_A_POOL:
            raise FaultError(
                f"fault {fault.kind}: who arrives where is decided before the engines here; "
                "make it with the load generator (a surge, or unequal URLs)"
            )
        self.cluster.check(fault)
        if fault in self._timers or len(self._timers) >= MAX_SCHEDULED:
            raise FaultError(f"fault {fault.kind}: ordered already, or {MAX_SCHEDULED} are; wait for an end")
        self._timers[fault] = self._loop.call_at(self.clock.loop_time(fault.start_us), self._begin, fault)

    def stop(self) -> None:
        """Cancel every timer."""
        for timer in self._timers.values():
            timer.cancel()
        for replica in self.replicas:
            replica.stop()

    def _begin(self, fault: Fault) -> None:
        self._timers[fault] = self._loop.call_at(self.clock.loop_time(fault.end_us), self._end, fault)
        self._changed(fault, self.cluster.begin_fault(fault, self.clock.now_us()))

    def _end(self, fault: Fault) -> None:
        del self._timers[fault]
        self._changed(fault, self.cluster.end_fault(fault, self.clock.now_us()))

    def _changed(self, fault: Fault, ended: Sequence[Job]) -> None:
        hit = self.cluster.find(fault.replica or "")
        for replica in self.replicas:
            if replica.running is hit:
                replica.tell(ended)
                replica.go_on()
