"""Facts to bill: who held which GPU, in which state, and what the ledger of a window is.

The same code bills a live interval and a recorded incident. A GPU is billed from the interval
in which it was first seen until it is retired; what no placement names is `idle.unallocated`,
or one pool's when its requests name no replica, and `unobserved` when nothing is heard of it.
A MIG instance is no GPU of the bill but a part of one: its slices of seven.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from cost.attribution import Window, attribute
from cost.classes import InstanceState, Scope
from cost.fleet import Gpu, Holding, Instance, StateSpan
from cost.ledger import Ledger
from cost.prices import PriceBook
from cost.requests import Requests
from slo.cells import selected
from slo.objective import Objective
from telemetry.frame import Frame, Ints, Mask, combined
from telemetry.identity import UNMAPPED, Vantage
from telemetry.samples import ReplicaState

LIMIT_KINDS: Final = frozenset({"goodput", "ttft", "ttft_by_prompt", "tpot", "e2e"})
"""Indicators whose limits make a request a missed one for the bill."""
_STATE: Final = {
    ReplicaState.STARTING.value: InstanceState.LOADING,
    ReplicaState.DRAINING.value: InstanceState.DRAINING,
    ReplicaState.LOST.value: InstanceState.UNOBSERVED,
}
_MIG_SLICES: Final = 7
_SLICES: Final = re.compile(r"(\d+)[cg]\.")
"""The compute slices of a MIG profile: 1 of `1g.10gb`, 2 of `2c.3g.40gb`."""
_WARMING: Final = frozenset({"compile", "warm-up", "warmup", "graph"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a bill is made of: frames that cover the window."""

    requests: Frame
    engine_samples: Frame
    gpu_samples: Frame
    placements: Frame


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a replica runs: a GPU, and which share of it."""

    gpu_uuid: str
    share: Fraction
    replica: str
    pool: str | None
    model: str | None


def bill(
    facts: Facts,
    *,
    prices: PriceBook,
    objectives: Sequence[Objective],
    window: Window,
    known_gpus: Sequence[Gpu] = (),
    gap_us: int,
) -> Ledger:
    """Return the ledger of a window. `gap_us` is the longest silence still taken as the same state.

    `known_gpus` are billed even when they were silent for the whole window.
    """
    seen = {gpu.uuid: gpu for gpu in seen_gpus(facts.gpu_samples)}
    known = {gpu.uuid: gpu for gpu in known_gpus}
    gpus = known | {uuid: gpu if gpu.model else known.get(uuid, gpu) for uuid, gpu in seen.items()}
    placed = _placed(facts.placements, gpus, mig_parts(facts.gpu_samples))
    held = {place.gpu_uuid for place in placed}
    instances = list(_replicas(facts, placed, gpus, window, gap_us))
    spare = [gpu for uuid, gpu in seen.items() if uuid not in held]
    instances += _nameless_pool(facts, spare, window, gap_us)
    instances += _silent([gpu for uuid, gpu in gpus.items() if uuid not in seen.keys() | held])
    demand = Requests.of(facts.requests, missed(facts.requests, objectives))
    return attribute(instances, demand, prices=prices, window=window, gpus=list(gpus.values()))


def missed(requests: Frame, objectives: Sequence[Objective]) -> Mask:
    """Return the requests that broke a latency limit of any objective that selects them."""
    broke = np.zeros(requests.rows, dtype=np.bool_)
    for objective in objectives:
        if objective.indicator.kind in LIMIT_KINDS:
            broke |= objective.indicator.judge(requests).broken & selected(requests, objective)
    return broke


def seen_gpus(gpu_samples: Frame) -> list[Gpu]:
    """Return every whole GPU of a frame with the model its samples name; None when none does."""
    models: dict[str, str | None] = {}
    for uuid, model, parent in _told(gpu_samples, "gpu_uuid", "gpu_model", "mig_parent_uuid"):
        if uuid is not None and parent is None:
            models[uuid] = model or models.get(uuid)
    return [Gpu(uuid, model) for uuid, model in sorted(models.items())]


def mig_parts(gpu_samples: Frame) -> dict[str, tuple[str, Fraction]]:
    """Return of each MIG instance of a frame the GPU it is a part of, and its share of it.

    The share is its compute slices of seven; an instance without a readable profile is left out.
    """
    parts = {}
    for uuid, parent, profile in _told(gpu_samples, "gpu_uuid", "mig_parent_uuid", "mig_profile"):
        slices = _SLICES.match(profile or "")
        if uuid is not None and parent is not None and slices:
            parts[uuid] = (parent, Fraction(int(slices[1]), _MIG_SLICES))
    return parts


def _told(frame: Frame, *columns: str) -> list[tuple[str | None, ...]]:
    """Return the distinct rows of some text columns."""
    return combined([frame.texts(name) for name in columns], None)[1]


def _placed(
    placements: Frame, gpus: Mapping[str, Gpu], parts: Mapping[str, tuple[str, Fraction]]
) -> list[_Place]:
    """Return the newest placement of each billed GPU and of each part of one."""
    columns = (placements.texts(name).listed() for name in ("gpu_uuid", "replica", "pool", "model"))
    newest = np.argsort(placements.numbers("at_us").values, kind="stable")
    listed = [list(column) for column in columns]
    found: dict[str, _Place] = {}
    for row in newest:
        uuid, replica, pool, model = (column[row] for column in listed)
        if uuid is None or replica is None:
            continue
        gpu_uuid, share = parts.get(uuid, (uuid, Fraction(1)))
        if gpu_uuid in gpus:
            found[uuid] = _Place(gpu_uuid, share, replica, pool, model)
    return _without_twice_held(found)


def _without_twice_held(found: Mapping[str, _Place]) -> list[_Place]:
    """Leave out the old placement on a whole GPU whose parts are placed now."""
    cut = {place.gpu_uuid for uuid, place in found.items() if uuid != place.gpu_uuid}
    return [place for uuid, place in found.items() if uuid not in cut]


def _replicas(
    facts: Facts, placed: Sequence[_Place], gpus: Mapping[str, Gpu], window: Window, gap_us: int
) -> Iterator[Instance]:
    by_replica: dict[str, list[_Place]] = {}
    for place in placed:
        by_replica.setdefault(place.replica, []).append(place)
    for replica, places in sorted(by_replica.items()):
        yield Instance(
            name=replica,
            holdings=tuple(Holding(gpus[place.gpu_uuid], place.share) for place in places),
            states=tuple(_states(facts, replica, window, gap_us)),
            pool=places[0].pool,
            model=places[0].model,
        )


def _states(facts: Facts, replica: str, window: Window, gap_us: int) -> Iterator[StateSpan]:
    """Yield what a replica was doing, from its engine's samples; silence is unobserved."""
    samples = facts.engine_samples
    own = samples.texts("vantage").equals(Vantage.ENGINE) & samples.texts("replica").equals(replica)
    own &= samples.numbers("up").values != 0
    rows = np.flatnonzero(own)
    rows = rows[np.argsort(samples.numbers("at_us").values[rows], kind="stable")]
    if _works_unseen(facts, replica, samples.take(rows)):
        return
    at = samples.numbers("at_us").values[rows]
    chosen = samples.take(rows)
    states = chosen.texts("state").listed()
    stages = chosen.texts("stage").listed()
    kinds = [_state(state, stage) for state, stage in zip(states, stages, strict=True)]
    yield from _spans(at, kinds, window, gap_us)


def _state(state: str | None, stage: str | None) -> InstanceState:
    found = _STATE.get(state or "", InstanceState.READY)
    return InstanceState.WARMING if found is InstanceState.LOADING and stage in _WARMING else found


def _works_unseen(facts: Facts, replica: str, own: Frame) -> bool:
    """Tell whether an engine ran requests of which no record came: its time is not idle."""
    records = bool(facts.requests.texts("replica").equals(replica).any())
    running = own.numbers("requests_running")
    return not records and bool(np.any(running.valid & (running.values > 0)))


def _spans(at: Ints, kinds: Sequence[InstanceState], window: Window, gap_us: int) -> Iterator[StateSpan]:
    """Yield spans from samples: each holds until the next, or for `gap_us` when none follows in time."""
    current: StateSpan | None = None
    ends = np.append(at, window.to_us)[1:].tolist() if len(at) else []
    for start, kind, following in zip(at.tolist(), kinds, ends, strict=True):
        begins = window.from_us if current is None and start - window.from_us <= gap_us else start
        end = following if following - start <= gap_us else start + gap_us
        if current is not None and current.state is kind and current.to_us == begins:
            current = StateSpan(current.from_us, end, kind)
            continue
        if current is not None and current.to_us > current.from_us:
            yield current
        current = StateSpan(begins, end, kind)
    if current is not None and current.to_us > current.from_us:
        yield current


def _silent(gpus: Sequence[Gpu]) -> list[Instance]:
    """Return one instance of all GPUs that nothing is known of: a GPU that is silent is not idle."""
    if not gpus:
        return []
    return [Instance(name=UNMAPPED, holdings=tuple(Holding(gpu) for gpu in gpus), states=())]


def _nameless_pool(facts: Facts, spare: Sequence[Gpu], window: Window, gap_us: int) -> list[Instance]:
    """Return one instance of all unplaced GPUs when requests name no replica, as recordings do."""
    nameless = facts.requests.texts("replica").codes < 0
    if not spare or not bool(nameless.any()):
        return []
    pools = set(facts.requests.take(nameless).texts("pool").listed())
    models = set(facts.requests.take(nameless).texts("model").listed())
    if len(pools) != 1:
        return []
    pool = pools.pop()
    times = np.unique(facts.gpu_samples.numbers("at_us").values)
    heard = facts.engine_samples.numbers("at_us").values
    at = np.unique(np.concatenate([times, heard])) if len(heard) else times
    spans = tuple(_spans(at, [InstanceState.READY] * len(at), window, gap_us))
    return [
        Instance(
            name=pool or (next(iter(models)) if len(models) == 1 else None) or "pool",
            holdings=tuple(Holding(gpu) for gpu in spare),
            states=spans,
            pool=pool,
            model=models.pop() if len(models) == 1 else None,
            scope=Scope.POOL,
        )
    ]
