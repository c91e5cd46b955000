"""What detectors judge: every replica on one grid, its engine, its GPUs and its router joined.

A pure function of facts. Rows are placed by the event time they carry; the caller corrects
clocks before (receipt decides the order across hosts). A router's own view of a replica never
stands for the replica: it only gives the requests in flight.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from anomalies.grid import Grid, Places, Signal, last_texts, mean_over, named, places, renumbered, total
from telemetry.frame import Floats, Frame, Ints, Mask, Numbers, Texts
from telemetry.gaps import BOUNDS_US, BUCKETS
from telemetry.identity import UNMAPPED, Vantage
from telemetry.placement import PlacementSource
from telemetry.samples import ESTIMATES, ReplicaState

OUTPUT_COUNTERS: Final = ("generation_tokens_total", "itl_count_total")
"""Either of them tells that tokens come out; prompt tokens alone do not tell that none do."""
REQUEST_COUNTERS: Final = ("ttft_count_total", "finished_total", "e2e_count_total")
AT_WORK: Final = (ReplicaState.READY, ReplicaState.STALLED, ReplicaState.UNKNOWN)
"""Declared states in which a replica is expected to serve; most engines declare none."""
_STRENGTH: Final = {
    PlacementSource.CONFIGURATION: 3,
    PlacementSource.POD_RESOURCES: 2,
    PlacementSource.PROCESS: 1,
    PlacementSource.NONE: 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaFrame:
    """R replicas over T cells. Every signal is [R, T]; what is not known is masked, never zero.

    `progress` is growth since the last known cell: tokens where the engine counts tokens
    (`counts_tokens`), else requests that got a first token or ended. `in_flight` is what the
    edge or router holds open for a replica. GPU signals are means over the replica's GPUs,
    ratios 0..1, power in watts.
    """

    grid: Grid
    replicas: tuple[str, ...]
    pools: tuple[str, ...]
    models: tuple[str, ...]
    gpus: tuple[tuple[str, ...], ...]
    """GPU identities of each replica; empty = no placement names one."""
    states: tuple[ReplicaState, ...]
    """The last state each replica's engine declared."""
    offline: Mask
    """[R] replicas of a pool that works through a deep queue by design."""

    fresh: Mask
    """[R, T] a sample of the engine itself fell into the cell."""
    up: Mask
    """[R, T] that sample said that the engine answered."""
    serving: Mask
    """[R, T] it answered and is not starting, draining or paused."""
    running: Signal
    waiting: Signal
    waiting_capacity: Signal
    kv_usage: Signal
    kv_change: Signal
    """Absolute change of KV usage since the last known cell: work, where tokens are not counted."""
    preemptions: Signal
    progress: Signal
    counts_tokens: Mask
    """[R] whether the engine counts tokens."""
    gap_p99_us: Ints
    """[R] the replica's own p99 gap between tokens, upper edge of its bucket; 0 = not known."""
    in_flight: Signal

    kernel_busy: Signal
    sm_activity: Signal
    """Where it was measured; an estimate made of kernel-busy or power is no second witness."""
    tensor_activity: Signal
    dram_activity: Signal
    power_watts: Signal

    @property
    def at_us(self) -> Ints:
        """The start of each cell, UTC microseconds."""
        return self.grid.at_us

    @property
    def moving(self) -> Mask:
        """[R, T] where work is known to have been done since the cell before."""
        by_cache = ~self.counts_tokens[:, None] & self.kv_change.positive() & self.running.positive()
        return self.progress.positive() | by_cache

    @property
    def still(self) -> Mask:
        """[R, T] where it is known that nothing was done. Progress that cannot be known is not here.

        Without a token counter a running batch is still only if its KV cache did not change
        either: decoding fills it.
        """
        provable = self.counts_tokens[:, None] | self.running.is_zero() | self.kv_change.is_zero()
        return self.progress.is_zero() & provable & ~self.moving

    @property
    def excused(self) -> Mask:
        """[R, T] where the replica itself says that it is starting, draining or paused."""
        return self.up & ~self.serving

    def cells(self, duration_us: int) -> int:
        """Return how many cells cover a duration, at least one."""
        return max(1, -(-duration_us // self.grid.step_us))


def build(
    engine_samples: Frame,
    gpu_samples: Frame,
    placements: Frame,
    in_flight: Frame | None = None,
    *,
    requests: Frame | None = None,
    from_us: int,
    to_us: int,
    step_us: int,
    offline_pools: Collection[str] = (),
) -> ReplicaFrame:
    """Join facts of [from_us, to_us) on a grid of `step_us`: 1 s live, 5 s for the recordings.

    Replicas are those with a sample of the engine's own vantage. A replica without a pool
    belongs to the pool named as its model. `in_flight` and `requests` may be None. Raises
    `ValueError` for an empty span. O(rows log rows) in numpy.
    """
    grid = Grid.between(from_us, to_us, step_us)
    own = engine_samples.texts("vantage").equals(Vantage.ENGINE)
    names = named(engine_samples.texts("replica"), own)
    engine = _Engine(engine_samples, places(engine_samples, "replica", names, grid, own))
    members, gpu_names = _members(_standing(placements, from_us, to_us), names)
    gpu_where = places(gpu_samples, "gpu_uuid", gpu_names, grid)
    models, pools = _models_and_pools(engine, placements, names)
    progress, counts_tokens = _progress(engine, _ended(requests, names, grid))

    def gpu(column: str) -> Signal:
        return mean_over(members, gpu_where.place(gpu_samples.numbers(column)))

    return ReplicaFrame(
        grid=grid,
        replicas=names,
        pools=pools,
        models=models,
        gpus=tuple(tuple(gpu_names[at] for at in np.flatnonzero(row)) for row in members),
        states=engine.states(),
        offline=np.array([pool in offline_pools for pool in pools], dtype=np.bool_),
        fresh=engine.fresh(),
        up=engine.gauge("up").positive(),
        serving=engine.serving(),
        running=engine.gauge("requests_running"),
        waiting=engine.gauge("requests_waiting"),
        waiting_capacity=engine.gauge("requests_waiting_capacity"),
        kv_usage=engine.gauge("kv_usage_ratio"),
        kv_change=_change(engine.gauge("kv_usage_ratio")),
        preemptions=engine.grown(("preemptions_total",)),
        progress=progress,
        counts_tokens=counts_tokens,
        gap_p99_us=_gap_p99(requests, names),
        in_flight=_in_flight(engine_samples, in_flight, names, grid),
        kernel_busy=gpu("kernel_busy_ratio"),
        sm_activity=mean_over(members, gpu_where.place(_measured_sm(gpu_samples))),
        tensor_activity=gpu("tensor_activity_ratio"),
        dram_activity=gpu("dram_activity_ratio"),
        power_watts=gpu("power_watts"),
    )


def _measured_sm(gpu_samples: Frame) -> Numbers:
    """Return SM activity with the rows unknown whose source only estimates it."""
    sm, source = gpu_samples.numbers("sm_activity_ratio"), gpu_samples.texts("activity_source")
    estimated = np.any([source.equals(word) for word in ESTIMATES], axis=0)
    return Numbers(sm.values, sm.valid & ~estimated)


@dataclass(frozen=True, slots=True)
class _Engine:
    """The engines' own samples and where they go."""

    frame: Frame
    where: Places

    def gauge(self, column: str) -> Signal:
        return self.where.place(self.frame.numbers(column))

    def grown(self, columns: Sequence[str]) -> Signal:
        return total([self.where.grown(self.frame.numbers(column)) for column in columns])

    def fresh(self) -> Mask:
        return self.gauge("up").known

    def serving(self) -> Mask:
        at_work = np.isin(self._state_codes(), [word.value for word in AT_WORK])
        column = Numbers(at_work.astype(np.int64), np.ones(self.frame.rows, dtype=np.bool_))
        return self.gauge("up").positive() & self.where.place(column).positive()

    def states(self) -> tuple[ReplicaState, ...]:
        found = last_texts(self.frame.texts("state"), self.where)
        return tuple(ReplicaState.UNKNOWN if text is None else ReplicaState(text) for text in found)

    def _state_codes(self) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
        state = self.frame.texts("state")
        return np.array([*state.words, ReplicaState.UNKNOWN.value])[state.codes]


def _progress(engine: _Engine, ended: Signal) -> tuple[Signal, Mask]:
    """Return growth in tokens where the engine counts those that come out, else in requests."""
    output, prompt = engine.grown(OUTPUT_COUNTERS), engine.grown(("prompt_tokens_total",))
    requests = total([engine.grown(REQUEST_COUNTERS), ended])
    counts_tokens: Mask = np.any(output.known, axis=1)
    tokens = counts_tokens[:, None]
    values = np.where(tokens, output.values + prompt.values, requests.values)
    return Signal(values, np.where(tokens, output.known, requests.known)), counts_tokens


def _change(gauge: Signal) -> Signal:
    """Return the absolute change since the last known cell: the growth of the gauge either way."""
    before = gauge.held(gauge.values.shape[1])
    shifted = Signal(np.roll(before.values, 1, axis=1), np.roll(before.known, 1, axis=1))
    known = gauge.known & shifted.known
    known[:, :1] = False
    return Signal(np.where(known, np.abs(gauge.values - shifted.values), 0.0), known)


def _models_and_pools(
    engine: _Engine, placements: Frame, names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return each replica's model and pool: its engine's word, else its placement's."""
    rows = renumbered(placements.texts("replica"), names)
    index = np.flatnonzero(rows >= 0)
    placed = Places(index, rows[index], np.zeros_like(index), (len(names), 1))

    def either(column: str) -> list[str | None]:
        own = last_texts(engine.frame.texts(column), engine.where)
        other = last_texts(placements.texts(column), placed)
        return [mine if mine is not None else theirs for mine, theirs in zip(own, other, strict=True)]

    models = tuple(UNMAPPED if model is None else model for model in either("model"))
    pools = either("pool")
    return models, tuple(m if p is None else p for p, m in zip(pools, models, strict=True))


def _standing(placements: Frame, from_us: int, to_us: int) -> Frame:
    """Return the placements that hold at some instant of [from_us, to_us)."""
    until = placements.numbers("until_us")
    begun = placements.numbers("at_us").values < to_us
    return placements.take(begun & (~until.valid | (until.values > from_us)))


def _members(placements: Frame, names: Sequence[str]) -> tuple[Mask, tuple[str, ...]]:
    """Return which replica holds which GPU, [R, G], and the GPUs' names.

    Of several statements about a GPU the strongest source counts, of equal ones the newest.
    """
    replicas = renumbered(placements.texts("replica"), names)
    gpus = named(placements.texts("gpu_uuid"), replicas >= 0)
    columns = renumbered(placements.texts("gpu_uuid"), gpus)
    strength = _strengths(placements.texts("source"))
    newest = placements.numbers("at_us").values
    members = np.zeros((len(names), len(gpus)), dtype=np.bool_)
    order = np.lexsort((newest, strength))
    order = order[replicas[order] >= 0]
    holder = np.full(len(gpus), -1)
    holder[columns[order]] = replicas[order]
    held = np.flatnonzero(holder >= 0)
    members[holder[held], held] = True
    return members, gpus


def _strengths(source: Texts) -> Ints:
    table = np.array([*(_STRENGTH[PlacementSource(word)] for word in source.words), 0], dtype=np.int64)
    strengths: Ints = table[source.codes]
    return strengths


def _ended(requests: Frame | None, names: Sequence[str], grid: Grid) -> Signal:
    """Return requests ended per cell: they prove progress; that none ended proves nothing."""
    counts: Floats = np.zeros((len(names), grid.steps))
    if requests is not None:
        rows = renumbered(requests.texts("replica"), names)
        cells = grid.cells_of(requests.numbers("ended_at_us").values)
        kept = (rows >= 0) & (cells >= 0)
        np.add.at(counts, (rows[kept], cells[kept]), 1.0)
    return Signal(counts, counts > 0)


def _gap_p99(requests: Frame | None, names: Sequence[str]) -> Ints:
    """Return each replica's p99 token gap from its requests' buckets; 0 where there are none."""
    counts = np.zeros((len(names), BUCKETS))
    if requests is not None:
        buckets = requests.lists("gap_buckets")
        rows = renumbered(requests.texts("replica"), names)
        whole = (buckets.offsets[1:] - buckets.offsets[:-1] == BUCKETS) & (rows >= 0)
        np.add.at(counts, rows[whole], buckets.take(whole).values.reshape(-1, BUCKETS))
    reached = np.cumsum(counts, axis=1) >= 0.99 * counts.sum(axis=1, keepdims=True)
    edges = np.array([*BOUNDS_US, 2 * BOUNDS_US[-1]], dtype=np.int64)
    return np.where(counts.any(axis=1), edges[reached.argmax(axis=1)], 0)


def _in_flight(engine_samples: Frame, in_flight: Frame | None, names: Sequence[str], grid: Grid) -> Signal:
    """Return open requests as the router says, else as the edge's snapshots count them."""
    router = ~engine_samples.texts("vantage").equals(Vantage.ENGINE)
    where = places(engine_samples, "replica", names, grid, router)
    said = where.place(engine_samples.numbers("requests_running"))
    if in_flight is None:
        return said
    counted = _counted(places(in_flight, "replica", names, grid), in_flight.numbers("at_us").values)
    return Signal(np.where(said.known, said.values, counted.values), said.known | counted.known)


def _counted(where: Places, at_us: Ints) -> Signal:
    """Count a snapshot's rows for each replica; the last snapshot in a cell stands."""
    signal = Signal.unknown(where.shape)
    stamps = np.stack([at_us[where.index], where.rows, where.cells], axis=1)
    snapshots, counts = np.unique(stamps, axis=0, return_counts=True)
    signal.values[snapshots[:, 1], snapshots[:, 2]] = counts
    signal.known[snapshots[:, 1], snapshots[:, 2]] = True
    return signal
