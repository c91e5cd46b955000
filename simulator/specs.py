"""What a fleet is made of, as data: GPUs, engines, replicas, pools."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from simulator.errors import SpecError
from telemetry.identity import Replica

_NAMESPACE: Final = uuid.UUID("5131a7ed-0000-4000-8000-000000000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLaw:
    """How long one step of the batch takes: affine, as measured (reference: WCS-1, 2.2).

    Decoding is bound by memory (a fixed read of the weights, a little for each sequence and
    for the context it reads), prefill by compute (so much for each token of the chunk).
    """

    fixed_us: float
    per_sequence_us: float
    per_context_token_us: float = 0.0
    per_prefill_token_us: float

    def step_us(self, *, sequences: int, context_tokens: int, prefill_tokens: int) -> int:
        """Return the step's whole microseconds, at least 1.

        `sequences` decode one token each over `context_tokens` in all; `prefill_tokens` are
        computed beside them.
        """
        exact = (
            self.fixed_us
            + self.per_sequence_us * sequences
            + self.per_context_token_us * context_tokens
            + self.per_prefill_token_us * prefill_tokens
        )
        return max(1, round(exact))


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuModel:
    """A kind of board: what it holds, how fast it can be, what it draws."""

    name: str
    memory_bytes: int
    reserved_bytes: int
    idle_watts: float
    limit_watts: float
    tensor_flops: float
    """Peak dense floating-point operations a second at the served precision."""
    dram_bytes_per_second: float
    sm_clock_mhz: int
    idle_clock_mhz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """One engine: its model, its step law, its KV cache, its scheduler's limits."""

    model: str
    parameters: float
    weights_bytes: int
    kv_bytes_per_token: int
    law: StepLaw
    tensor_parallel: int = 1
    block_tokens: int = 16
    blocks: int
    max_sequences: int = 256
    token_budget: int = 2048
    max_model_tokens: int
    prefix_caching: bool = True

    def __post_init__(self) -> None:
        """Refuse what would stop for ever by construction, rather than by a fault."""
        if self.token_budget <= self.max_sequences:
            raise SpecError(
                f"engine {self.model}: token_budget {self.token_budget} must exceed max_sequences "
                f"{self.max_sequences}, or a prefill beside a full batch never advances"
            )
        if self.max_model_tokens > self.blocks * self.block_tokens:
            raise SpecError(
                f"engine {self.model}: one request of max_model_tokens {self.max_model_tokens} does not "
                f"fit {self.blocks} blocks of {self.block_tokens}; raise blocks or lower max_model_tokens"
            )

    @property
    def kv_pool_bytes(self) -> int:
        """Bytes of the KV cache, over all GPUs of the replica."""
        return self.blocks * self.block_tokens * self.kv_bytes_per_token


class Policy(StrEnum):
    """How a pool's router picks a replica."""

    ROUND_ROBIN = "round_robin"
    LEAST_LOADED = "least_loaded"
    STICKY = "sticky"
    """The same tenant always to the same replica."""
    PREFIX_AWARE = "prefix_aware"
    """The same prefix always to the same replica; without a prefix the least loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPlace:
    """One GPU of the fleet: its identity and where it sits."""

    uuid: str
    host: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPlace:
    """One replica of a pool: its short name in the fleet, where it listens, its GPUs."""

    key: str
    host: str
    port: int
    gpus: tuple[GpuPlace, ...]

    @property
    def name(self) -> str:
        """The replica's identity in every fact: `host:port`."""
        return str(Replica(self.host, str(self.port)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """Replicas of one model on one kind of GPU behind one router."""

    name: str
    engine: EngineSpec
    gpu: GpuModel
    replicas: tuple[ReplicaPlace, ...]
    policy: Policy = Policy.ROUND_ROBIN
    region: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """Pools, with names that are unique across the fleet."""

    name: str
    pools: tuple[PoolSpec, ...]

    def __post_init__(self) -> None:
        """Refuse a fleet in which two things answer to one name."""
        places = [replica for _, replica in self.replicas()]
        gpus = [gpu.uuid for replica in places for gpu in replica.gpus]
        for what, names in (
            ("pool", [pool.name for pool in self.pools]),
            ("replica key", [place.key for place in places]),
            ("replica address", [place.name for place in places]),
            ("GPU", gpus),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise SpecError(f"fleet {self.name}: {what} {twice[0]!r} is named twice; name each once")

    def replicas(self) -> Iterator[tuple[PoolSpec, ReplicaPlace]]:
        """Yield every replica with its pool, in order."""
        for pool in self.pools:
            for replica in pool.replicas:
                yield pool, replica

    def listening(self, host: str, ports: Sequence[int]) -> Self:
        """Return the same fleet with every replica on `host`, on `ports` in order.

        Raises `SpecError` when the number of ports is not the number of replicas.
        """
        free = iter(ports)
        if len(ports) != sum(1 for _ in self.replicas()):
            raise SpecError(f"fleet {self.name}: {len(ports)} ports given; give one for each replica")
        pools = tuple(
            dataclasses.replace(
                pool,
                replicas=tuple(
                    dataclasses.replace(
                        place,
                        host=host,
                        port=next(free),
                        gpus=tuple(dataclasses.replace(gpu, host=host) for gpu in place.gpus),
                    )
                    for place in pool.replicas
                ),
            )
            for pool in self.pools
        )
        return dataclasses.replace(self, pools=pools)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """A pool before its replicas have places: `build_fleet` numbers hosts, ports and GPUs."""

    name: str
    engine: EngineSpec
    gpu: GpuModel
    replicas: int
    policy: Policy = Policy.ROUND_ROBIN
    region: str | None = None


def build_fleet(
    name: str, plans: Sequence[PoolPlan], *, host: str = "sim-host", first_port: int = 9000
) -> FleetSpec:
    """Return a fleet on one host: replica keys `pool-0`, `pool-1`, …; ports and GPUs numbered on.

    A GPU's identity depends only on the fleet's name and the GPU's number, so it is the same
    in every run.
    """
    pools: list[PoolSpec] = []
    port, gpu_index = first_port, 0
    for plan in plans:
        places: list[ReplicaPlace] = []
        for number in range(plan.replicas):
            end = gpu_index + plan.engine.tensor_parallel
            gpus = tuple(
                GpuPlace(uuid=f"SIM-{uuid.uuid5(_NAMESPACE, f'{name}/{index}')}", host=host, index=index)
                for index in range(gpu_index, end)
            )
            places.append(ReplicaPlace(key=f"{plan.name}-{number}", host=host, port=port, gpus=gpus))
            port, gpu_index = port + 1, end
        pools.append(
            PoolSpec(
                name=plan.name,
                engine=plan.engine,
                gpu=plan.gpu,
                replicas=tuple(places),
                policy=plan.policy,
                region=plan.region,
            )
        )
    return FleetSpec(name=name, pools=tuple(pools))
