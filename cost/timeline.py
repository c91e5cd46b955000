"""One instance's time cut into pieces, each in one state, and what each piece costs.

A GPU that several instances share is divided on the finest grid of all their cuts, so that
its pieces sum to its charge whatever the instances' own cuts are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cost.apportion import apportion_groups
from cost.charge import charges
from cost.classes import CLASS_OF_STATE, CODE, CostClass, InstanceState
from cost.demand import Load
from cost.fleet import Gpu, Instance, StateSpan
from cost.prices import Quote, changes
from telemetry.frame import Ints, Mask

BUSY = -1
"""The class code of a piece whose cost is shared by the requests in it."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Pieces between consecutive `edges_us`; `klass` is a class code, or `BUSY`."""

    instance: Instance
    load: Load
    edges_us: Ints
    klass: Ints

    @property
    def busy(self) -> Mask:
        """Tell which pieces are shared by requests."""
        mask: Mask = self.klass == BUSY
        return mask

    @classmethod
    def of(cls, instance: Instance, load: Load, grid_us: Ints, quotes: Sequence[Quote]) -> Timeline:
        """Cut an instance's time at the grid, its states, its load, and price changes.

        `grid_us` is the window and the ledger's intervals in it.
        """
        cuts = [at for span in instance.states for at in (span.from_us, span.to_us)]
        if load.divisible:
            cuts += changes(quotes)
        edges = np.unique(np.concatenate([grid_us, np.array(cuts, dtype=np.int64), load.edges()]))
        edges = edges[(edges >= grid_us[0]) & (edges <= grid_us[-1])]
        states = _state_codes(instance.states, edges[:-1])
        ready = states == CODE[CLASS_OF_STATE[InstanceState.READY]]
        return cls(instance, load, edges, np.where(ready & load.busy(edges), BUSY, states))


def _state_codes(spans: Sequence[StateSpan], at_us: Ints) -> Ints:
    codes = np.full(len(at_us), CODE[CostClass.UNOBSERVED], dtype=np.int64)
    for span in spans:
        inside = (at_us >= span.from_us) & (at_us < span.to_us)
        codes[inside] = CODE[CLASS_OF_STATE[span.state]]
    return codes


@dataclass(frozen=True, slots=True)
class GpuCharges:
    """One GPU's charge over a grid: cumulative by holder, the last holder being nobody."""

    grid_us: Ints
    cumulative: Ints
    holders: tuple[str, ...]

    def of(self, holder: str | None, edges_us: Ints) -> Ints:
        """Return what the pieces between edges cost a holder (None = nobody), in nano-currency."""
        row = self.holders.index(holder) if holder is not None else -1
        pieces: Ints = np.diff(self.cumulative[row, np.searchsorted(self.grid_us, edges_us)])
        return pieces


def gpu_charges(gpu: Gpu, quote: Quote, timelines: Sequence[Timeline], window: Ints) -> GpuCharges:
    """Divide one GPU's charge among those that hold it, in every piece, by largest remainder.

    Raises `ValueError` when they hold more than the whole GPU.
    """
    shares = {
        line.instance.name: holding.share
        for line in timelines
        for holding in line.instance.holdings
        if holding.gpu.uuid == gpu.uuid
    }
    rest = 1 - sum(shares.values())
    if rest < 0:
        raise ValueError(f"bill {gpu.uuid}: {', '.join(sorted(shares))} hold more than the whole of it")
    holding = [line.edges_us for line in timelines if line.instance.name in shares]
    grid = np.unique(np.concatenate([window, *holding]))
    pieces = charges(quote.segments, grid)
    common = np.lcm.reduce([share.denominator for share in shares.values()]) if shares else 1
    weights = np.array([int(share * int(common)) for share in (*shares.values(), rest)], dtype=np.int64)
    parts = _by_weight(pieces, weights)
    zeros = np.zeros((len(weights), 1), dtype=np.int64)
    return GpuCharges(grid, np.concatenate([zeros, np.cumsum(parts, axis=1)], axis=1), tuple(shares))


def _by_weight(pieces: Ints, weights: Ints) -> Ints:
    """Return every piece divided by the same weights: a table of holders by pieces."""
    count = len(pieces)
    groups = np.repeat(np.arange(count), len(weights))
    table: Ints = apportion_groups(pieces, groups, np.tile(weights, count)).reshape(count, len(weights)).T
    return table


def charges_of(line: Timeline, by_gpu: Mapping[str, GpuCharges]) -> Ints:
    """Return what each of an instance's GPUs (rows) costs in each piece (columns)."""
    rows = [
        by_gpu[holding.gpu.uuid].of(line.instance.name, line.edges_us) for holding in line.instance.holdings
    ]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(line.edges_us) - 1)
