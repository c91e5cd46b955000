"""What asks for a GPU's time: the shape attribution needs, and work already weighed by an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cost.classes import CODE, CostClass, Tier
from cost.fleet import Instance
from telemetry.frame import Ints, Mask, Texts


@dataclass(frozen=True, slots=True)
class Shares:
    """Weights of work in busy pieces, one row per (piece, request, class), in key order.

    `weight` is integer nanoseconds of step time. `lone` is the same with the fixed part shared
    by the reference batch at least; None when the headroom class is off.
    """

    piece: Ints
    request: Ints
    klass: Ints
    weight: Ints
    lone: Ints | None = None


@dataclass(frozen=True, slots=True)
class Parties:
    """Whom each request's money is charged to, as columns ordered by request id (ties go by it)."""

    request: Texts
    tenant: Texts
    model: Texts

    def take(self, rows: Ints) -> Parties:
        """Return the chosen requests."""
        return Parties(self.request.take(rows), self.tenant.take(rows), self.model.take(rows))


class Load(Protocol):
    """The demand on one instance."""

    tier: Tier
    divisible: bool
    """Whether a price change may cut a busy piece (weights are known at any instant)."""
    parties: Parties

    def edges(self) -> Ints:
        """Return the instants (UTC microseconds) where a piece must be cut."""
        ...

    def busy(self, edges_us: Ints) -> Mask:
        """Tell for each piece between edges whether at least one request ran."""
        ...

    def shares(self, edges_us: Ints, busy: Mask) -> Shares:
        """Return the weights of the busy pieces."""
        ...


class Demand(Protocol):
    """Requests, to be asked for the load on each instance."""

    def on(self, instance: Instance) -> Load:
        """Return the load of one instance."""
        ...

    def unplaced(self, instances: Sequence[Instance]) -> int:
        """Return how many requests ran on none of the instances."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Work of one request in one class during one interval, weighed by who measured it (tier A, B).

    `weight_ns` is integer nanoseconds of step time.
    """

    instance: str
    from_us: int
    to_us: int
    request: str
    tenant: str | None
    model: str | None
    klass: CostClass
    weight_ns: int


@dataclass(frozen=True, slots=True)
class WeighedWork:
    """A demand whose intervals and weights are given; an interval with rows is busy."""

    work: tuple[Work, ...]

    def on(self, instance: Instance) -> WeighedLoad:
        """Return the load of one instance."""
        own = (row for row in self.work if row.instance == instance.name)
        return WeighedLoad(sorted(own, key=lambda row: (row.request, row.klass, row.from_us)))

    def unplaced(self, instances: Sequence[Instance]) -> int:
        """Return how many requests ran on none of the instances."""
        names = {instance.name for instance in instances}
        return len({row.request for row in self.work if row.instance not in names})


class WeighedLoad:
    """The given work of one instance; a piece shares in the weights of the interval around it."""

    tier = Tier.ENGINE
    divisible = False

    def __init__(self, work: Sequence[Work]) -> None:
        self.parties = Parties(
            _texts([row.request for row in work]),
            _texts([row.tenant for row in work]),
            _texts([row.model for row in work]),
        )
        self._from_us = np.array([row.from_us for row in work], dtype=np.int64)
        self._to_us = np.array([row.to_us for row in work], dtype=np.int64)
        self._klass = np.array([CODE[row.klass] for row in work], dtype=np.int64)
        self._weight = np.array([row.weight_ns for row in work], dtype=np.int64)

    def edges(self) -> Ints:
        """Return the starts and ends of the intervals."""
        return np.concatenate([self._from_us, self._to_us])

    def busy(self, edges_us: Ints) -> Mask:
        """Tell which pieces lie in an interval with work."""
        pieces = np.zeros(max(len(edges_us) - 1, 0), dtype=np.bool_)
        pieces[self._pairs(edges_us)[0]] = True
        return pieces

    def shares(self, edges_us: Ints, busy: Mask) -> Shares:
        """Return the interval's weights for each of its pieces."""
        piece, row = self._pairs(edges_us)
        kept = busy[piece]
        piece, row = piece[kept], row[kept]
        return Shares(piece, row, self._klass[row], self._weight[row])

    def _pairs(self, edges_us: Ints) -> tuple[Ints, Ints]:
        return pairs(edges_us, self._from_us, self._to_us)


def _texts(values: Sequence[str | None]) -> Texts:
    words = sorted({value for value in values if value is not None})
    codes = {word: code for code, word in enumerate(words)}
    return Texts(np.array([-1 if v is None else codes[v] for v in values], dtype=np.int32), tuple(words))


def pairs(edges_us: Ints, from_us: Ints, to_us: Ints) -> tuple[Ints, Ints]:
    """Return (piece, span) of every piece between edges that a span [from_us, to_us) overlaps.

    Ordered by piece, then span.
    """
    last = max(len(edges_us) - 1, 0)
    first = np.clip(np.searchsorted(edges_us, from_us, side="right") - 1, 0, last)
    after = np.clip(np.searchsorted(edges_us, to_us, side="left"), 0, last)
    counts = np.where(to_us > from_us, np.maximum(after - first, 0), 0)
    span = np.repeat(np.arange(len(from_us)), counts)
    within = np.arange(len(span)) - np.repeat(np.cumsum(counts) - counts, counts)
    piece = np.repeat(first, counts) + within
    order = np.lexsort((span, piece))
    return piece[order], span[order]
