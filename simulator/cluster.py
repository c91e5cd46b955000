"""A fleet that runs: engines, GPUs and routers by name, and the faults that hold.

Both clocks drive this: the virtual one (`simulator.world`) and the real one
(`simulator.server`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from simulator.arrivals import Arrival
from simulator.engine import Engine
from simulator.errors import FaultError, SpecError
from simulator.faults import ON_A_POOL, Fault, FaultKind
from simulator.gpus import GpuMeter
from simulator.jobs import Asker, Job
from simulator.routers import Router
from simulator.specs import FleetSpec, GpuPlace, PoolSpec, ReplicaPlace

MAX_FAULTS: Final = 64
"""Most faults that may hold on one replica at once."""


@dataclass(slots=True, eq=False)
class RunningReplica:
    """One replica at work."""

    pool: PoolSpec
    place: ReplicaPlace
    engine: Engine
    faults: list[Fault] = field(default_factory=list)

    @property
    def asker(self) -> Asker:
        """What a record says of requests that went here."""
        return Asker(
            model=self.pool.engine.model,
            pool=self.pool.name,
            replica=self.place.name,
            region=self.pool.region,
        )

    def lost(self, gpu: GpuPlace) -> bool:
        """Tell whether a GPU of this replica no longer answers."""
        gone = {fault.gpu for fault in self.faults if fault.kind is FaultKind.GPU_LOST}
        return self.place.gpus.index(gpu) in gone


class Cluster:
    """The running fleet. Instants given to it must never go back."""

    def __init__(self, fleet: FleetSpec, at_us: int) -> None:
        if not fleet.pools or any(not pool.replicas for pool in fleet.pools):
            raise SpecError(f"fleet {fleet.name}: it needs a pool, and each pool a replica; add one")
        self.fleet = fleet
        self.replicas = tuple(_started(pool, place, at_us) for pool, place in fleet.replicas())
        self._routers = {
            pool.name: Router(pool.policy, [replica.engine for replica in self.of_pool(pool.name)])
            for pool in fleet.pools
        }
        self._of_engine = {id(replica.engine): replica for replica in self.replicas}

    def of_pool(self, pool: str) -> Iterator[RunningReplica]:
        """Yield the replicas of a pool."""
        return (replica for replica in self.replicas if replica.pool.name == pool)

    def find(self, name: str) -> RunningReplica:
        """Return a replica by key or address. Raises `FaultError` naming those there are."""
        for replica in self.replicas:
            if name in (replica.place.key, replica.place.name):
                return replica
        known = ", ".join(replica.place.key for replica in self.replicas)
        raise FaultError(f"replica {name!r}: there is none of that name; there are {known}")

    def route(self, arrival: Arrival) -> RunningReplica:
        """Return the replica that the pool's router sends an arrival to.

        Raises `SpecError` for a pool that is not in the fleet.
        """
        pool = arrival.pool or self.fleet.pools[0].name
        if pool not in self._routers:
            raise SpecError(f"arrival {arrival.request_id}: no pool {pool!r}; there are {[*self._routers]}")
        return self._of_engine[id(self._routers[pool].route(arrival))]

    def check(self, fault: Fault) -> None:
        """Raise `FaultError` for a fault that has no target in this fleet."""
        if fault.replica is not None:
            place = self.find(fault.replica).place
            if not 0 <= fault.gpu < len(place.gpus):
                raise FaultError(f"fault {fault.kind}: {place.key} has {len(place.gpus)} GPUs; count from 0")
        if fault.pool is not None and fault.pool not in self._routers:
            raise FaultError(f"fault {fault.kind}: no pool {fault.pool!r}; there are {[*self._routers]}")

    def begin_fault(self, fault: Fault, now_us: int) -> list[Job]:
        """Let a fault hold from now; return the requests that this ended."""
        self.check(fault)
        if fault.kind in ON_A_POOL:
            self._stick(fault, holds=True)
            return []
        replica = self.find(fault.replica or "")
        if len(replica.faults) >= MAX_FAULTS:
            raise FaultError(f"fault {fault.kind}: {MAX_FAULTS} hold on {replica.place.key}; wait for an end")
        replica.faults.append(fault)
        return _suffer(replica, now_us)

    def end_fault(self, fault: Fault, now_us: int) -> list[Job]:
        """Let a fault hold no longer; return the requests that ended by now."""
        if fault.kind in ON_A_POOL:
            self._stick(fault, holds=False)
            return []
        replica = self.find(fault.replica or "")
        replica.faults.remove(fault)
        return _suffer(replica, now_us)

    def _stick(self, fault: Fault, *, holds: bool) -> None:
        if fault.kind is not FaultKind.IMBALANCE:
            return
        pool = fault.pool or ""
        target = self.find(fault.replica) if fault.replica else next(self.of_pool(pool))
        self._routers[pool].stuck_on = target.engine if holds else None


def _started(pool: PoolSpec, place: ReplicaPlace, at_us: int) -> RunningReplica:
    engine = Engine(pool.engine, GpuMeter(pool.engine, pool.gpu, at_us), at_us)
    return RunningReplica(pool, place, engine)


def _suffer(replica: RunningReplica, now_us: int) -> list[Job]:
    """Tell an engine which faults hold, having let it run up to now and set it going again."""
    engine = replica.engine
    ended = engine.advance(now_us)
    ended += engine.suffer(frozenset(fault.kind for fault in replica.faults), now_us)
    return ended + engine.advance(now_us)
