"""WCS-1: every nano-dollar of every GPU, given to the work that caused it (reference cost 2.3).

Guarantee: for each GPU and window the rows sum to C(to) - C(from) exactly, in integers, for
any requests, states, prices and cuts; no row is negative; the order of the input is of no
account. Cost: O(n log n) in numpy over requests, plus one step for each (interval, class,
tenant, model).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cost.apportion import apportion_groups, split
from cost.classes import CLASSES, CODE, CostClass, Scope, Tier
from cost.demand import Demand, Shares
from cost.fleet import Gpu, Instance
from cost.ledger import Ledger, LedgerRow, RequestCosts
from cost.prices import PriceBook, Quote
from cost.timeline import Timeline, charges_of, gpu_charges
from telemetry.frame import Ints, Texts, combined
from telemetry.identity import UNMAPPED


@dataclass(frozen=True, slots=True)
class Window:
    """The time billed, [from_us, to_us) UTC, and the width of a ledger interval in it.

    `interval_us` None = one interval. Intervals start at `from_us`; the last may be shorter.
    """

    from_us: int
    to_us: int
    interval_us: int | None = None

    def __post_init__(self) -> None:
        if self.to_us <= self.from_us or (self.interval_us is not None and self.interval_us <= 0):
            raise ValueError(f"bill {self}: the window and its intervals must be longer than nothing")

    def grid(self) -> Ints:
        """Return the edges of the intervals."""
        width = self.interval_us or self.to_us - self.from_us
        return np.append(np.arange(self.from_us, self.to_us, width, dtype=np.int64), self.to_us)


def attribute(
    instances: Sequence[Instance],
    demand: Demand,
    *,
    prices: PriceBook,
    window: Window,
    gpus: Sequence[Gpu] = (),
) -> Ledger:
    """Return the ledger of a window: rows by (interval, GPU, instance, class, tenant, model).

    `gpus` are the billed GPUs beyond those the instances hold; what nobody holds of a GPU is
    `idle.unallocated`. Raises `ValueError` for two instances of one name or a GPU held more
    than once over, `PriceError` for a book that contradicts itself.
    """
    names = [instance.name for instance in instances]
    if len(set(names)) != len(names):
        raise ValueError("bill a fleet: two instances have one name; name each replica once")
    held = {holding.gpu.uuid: holding.gpu for each in instances for holding in each.holdings}
    billed = {gpu.uuid: gpu for gpu in gpus} | held
    quotes = {uuid: prices.quote(uuid, billed[uuid].model) for uuid in sorted(billed)}
    grid = window.grid()
    lines = [
        Timeline.of(each, demand.on(each), grid, [quotes[holding.gpu.uuid] for holding in each.holdings])
        for each in instances
    ]
    by_gpu = {uuid: gpu_charges(billed[uuid], quote, lines, grid) for uuid, quote in quotes.items()}
    bills = [_Bill(line, charges_of(line, by_gpu), grid) for line in lines]
    rows = [row for bill in bills for row in bill.rows()]
    for uuid, charged in by_gpu.items():
        rows += _unallocated(uuid, charged.of(None, grid), grid)
    rows += [row for uuid, quote in quotes.items() for row in _unpriced(uuid, quote, grid)]
    return Ledger(
        rows=tuple(rows),
        requests=_request_costs(bills),
        assumptions=tuple(_assumptions(instances, quotes)),
        unplaced_requests=demand.unplaced(instances),
    )


class _Bill:
    """One instance's pieces with their charges, and the requests' parts of the busy ones."""

    def __init__(self, line: Timeline, charged: Ints, grid: Ints) -> None:
        self._line, self._charged, self._grid = line, charged, grid
        self._interval = np.searchsorted(grid, line.edges_us[:-1], side="right") - 1
        self.shares, self.parts, headroom = _shared(line, np.where(line.busy, charged.sum(axis=0), 0))
        self._headroom = headroom

    def rows(self) -> Iterator[LedgerRow]:
        """Yield the instance's ledger rows, by interval."""
        yield from self._whole_rows()
        yield from self._shared_rows()

    def _whole_rows(self) -> Iterator[LedgerRow]:
        intervals, count = len(self._grid) - 1, len(CLASSES)
        slots = self._interval * count + self._line.klass
        for gpu, charged in enumerate(self._charged):
            sums = np.zeros(intervals * count, dtype=np.int64)
            np.add.at(sums, slots[~self._line.busy], charged[~self._line.busy])
            for slot in np.flatnonzero(sums):
                interval, code = divmod(int(slot), count)
                yield self._row(interval, gpu, CLASSES[code], int(sums[slot]))

    def _shared_rows(self) -> Iterator[LedgerRow]:
        interval, klass, tenant, model, parts = self._keyed()
        busy = np.where(self._line.busy, self._charged, 0)
        for at in np.unique(interval):
            own = np.flatnonzero(interval == at)
            table = split(parts[own], busy[:, self._interval == at].sum(axis=1))
            for row, gpu in np.argwhere(table):
                key = own[row]
                whom = (tenant[key], model[key])
                yield self._row(int(at), int(gpu), CLASSES[klass[key]], int(table[row, gpu]), whom)

    def _keyed(self) -> tuple[Ints, Ints, list[str | None], list[str | None], Ints]:
        """Return the parts summed by (interval, class, tenant, model), headroom rows included."""
        people = self._line.load.parties.take(self.shares.request)
        who, names = combined([people.tenant, people.model], None)
        count = len(CLASSES)
        keys, inverse = np.unique(
            (self._interval[self.shares.piece] * count + self.shares.klass) * len(names) + who,
            return_inverse=True,
        )
        sums = np.zeros(len(keys), dtype=np.int64)
        np.add.at(sums, inverse, self.parts)
        slots, person = np.divmod(keys, max(len(names), 1))
        spare = np.zeros(len(self._grid) - 1, dtype=np.int64)
        np.add.at(spare, self._interval, self._headroom)
        at = np.flatnonzero(spare)
        headroom = np.full(len(at), CODE[CostClass.HEADROOM])
        return (
            np.concatenate([slots // count, at]),
            np.concatenate([slots % count, headroom]),
            [*(names[i][0] for i in person), *(None for _ in at)],
            [*(names[i][1] for i in person), *(self._line.instance.model for _ in at)],
            np.concatenate([sums, spare[at]]),
        )

    def _row(
        self,
        interval: int,
        gpu: int,
        klass: CostClass,
        nano: int,
        whom: tuple[str | None, str | None] | None = None,
    ) -> LedgerRow:
        instance = self._line.instance
        tenant, model = whom or (None, instance.model)
        return LedgerRow(
            from_us=int(self._grid[interval]),
            to_us=int(self._grid[interval + 1]),
            gpu_uuid=instance.holdings[gpu].gpu.uuid,
            replica=instance.name,
            pool=instance.pool,
            scope=instance.scope,
            tier=self._line.load.tier,
            klass=klass,
            tenant=tenant,
            model=model,
            nano=nano,
        )

    def request_parts(self) -> tuple[Texts, Ints, Ints]:
        """Return (request, class code, nano-currency) of every part, one row for each piece."""
        request = self._line.load.parties.take(self.shares.request).request
        return request, self.shares.klass, self.parts


def _shared(line: Timeline, charged: Ints) -> tuple[Shares, Ints, Ints]:
    """Return the weights of a timeline's busy pieces, the requests' parts, and each piece's headroom."""
    shares = line.load.shares(line.edges_us, line.busy)
    if shares.lone is None:
        return shares, apportion_groups(charged, shares.piece, shares.weight), np.zeros_like(charged)
    whole, lone = (_by_piece(shares.piece, each, len(charged)) for each in (shares.weight, shares.lone))
    spare = np.maximum(whole - lone, 0).astype(object)
    headroom = (charged * spare // np.maximum(whole, 1)).astype(np.int64)
    return shares, apportion_groups(charged - headroom, shares.piece, shares.lone), headroom


def _by_piece(piece: Ints, values: Ints, count: int) -> Ints:
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, piece, values)
    return sums


def _request_costs(bills: Sequence[_Bill]) -> RequestCosts:
    """Sum the parts of each request by class; a request on two instances is one request."""
    sums: dict[tuple[str, int], int] = {}
    for bill in bills:
        request, klass, parts = bill.request_parts()
        keys, inverse = np.unique(request.codes.astype(np.int64) * len(CLASSES) + klass, return_inverse=True)
        amounts = np.zeros(len(keys), dtype=np.int64)
        np.add.at(amounts, inverse, parts)
        for key, amount in zip(keys.tolist(), amounts.tolist(), strict=True):
            code, class_code = divmod(key, len(CLASSES))
            named = (request.words[code], class_code)
            sums[named] = sums.get(named, 0) + amount
    ordered = sorted(sums)
    return RequestCosts(
        request=tuple(request for request, _ in ordered),
        klass=tuple(CLASSES[code] for _, code in ordered),
        nano=np.array([sums[key] for key in ordered], dtype=np.int64),
    )


def _nobodys(gpu_uuid: str, from_us: int, to_us: int, klass: CostClass, nano: int | None) -> LedgerRow:
    return LedgerRow(
        from_us=from_us,
        to_us=to_us,
        gpu_uuid=gpu_uuid,
        replica=UNMAPPED,
        pool=None,
        scope=Scope.REPLICA,
        tier=Tier.EVENTS,
        klass=klass,
        tenant=None,
        model=None,
        nano=nano,
    )


def _unallocated(gpu_uuid: str, spare: Ints, grid: Ints) -> list[LedgerRow]:
    edges = grid.tolist()
    return [
        _nobodys(gpu_uuid, edges[at], edges[at + 1], CostClass.IDLE_UNALLOCATED, int(spare[at]))
        for at in np.flatnonzero(spare)
    ]


def _unpriced(gpu_uuid: str, quote: Quote, grid: Ints) -> Iterator[LedgerRow]:
    """Yield a row without money for each interval that begins before the GPU's first price."""
    priced_from = quote.segments[0].from_us if quote.segments else int(grid[-1])
    for from_us, to_us in zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True):
        if from_us < priced_from:
            yield _nobodys(gpu_uuid, from_us, min(to_us, priced_from), CostClass.UNPRICED, None)


def _assumptions(instances: Sequence[Instance], quotes: dict[str, Quote]) -> Iterator[str]:
    yield from (quote.assumption for quote in quotes.values() if quote.assumption)
    for instance in instances:
        if instance.scope is Scope.POOL:
            yield (
                f"requests of {instance.name} name no replica: their cost is shared over the pool's "
                f"{len(instance.holdings)} GPUs as one batch"
            )
