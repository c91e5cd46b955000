"""The ledger: rows of integer nano-currency that sum to the charge, and integer sums of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cost.classes import CLASSES, CostClass, Scope, Tier
from telemetry.frame import Ints

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """What one class of work cost on one GPU in one interval, in nano-currency.

    `nano` None = unpriced (class `unpriced` only). `tenant` None = nobody's (idle, overhead,
    headroom); `model` None = not known. `replica` is the instance's name: a replica, a pool
    when `scope` says so, `__unmapped__` for a GPU nobody holds.
    """

    from_us: int
    to_us: int
    gpu_uuid: str
    replica: str
    pool: str | None
    scope: Scope
    tier: Tier
    klass: CostClass
    tenant: str | None
    model: str | None
    nano: int | None


@dataclass(frozen=True, slots=True)
class RequestCosts:
    """What each request cost, by class: three columns of equal length; `request` has the ids."""

    request: tuple[str, ...]
    klass: tuple[CostClass, ...]
    nano: Ints

    @classmethod
    def none(cls) -> RequestCosts:
        """Return the costs of no request."""
        return cls((), (), np.zeros(0, dtype=np.int64))

    def by_class(self) -> dict[CostClass, int]:
        """Return nano-currency by class, attributed to requests only."""
        found: dict[CostClass, int] = defaultdict(int)
        for klass, amount in zip(self.klass, self.nano.tolist(), strict=True):
            found[klass] += amount
        return dict(found)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Rows, what each request cost, and what a reader must be told.

    `assumptions` are sentences (a price taken for want of a model, requests billed to a
    pool). `unplaced_requests` ran on no instance given: their work weighs nothing, and their
    instance's time shows as idle.
    """

    rows: tuple[LedgerRow, ...]
    requests: RequestCosts
    assumptions: tuple[str, ...] = ()
    unplaced_requests: int = 0

    def total(self) -> int:
        """Return the bill in nano-currency; unpriced time is not in it."""
        return total(self.rows)


def total(rows: Iterable[LedgerRow]) -> int:
    """Return the sum of rows in nano-currency; unpriced rows add nothing."""
    return sum(row.nano for row in rows if row.nano is not None)


def by_class(rows: Iterable[LedgerRow]) -> dict[CostClass, int]:
    """Return nano-currency by class, classes without rows left out, in the order of `CLASSES`."""
    sums = _sums((row.klass, row.nano) for row in rows)
    return {klass: sums[klass] for klass in CLASSES if klass in sums}


def by_gpu(rows: Iterable[LedgerRow]) -> dict[str, int]:
    """Return nano-currency by GPU identity."""
    return _sums((row.gpu_uuid, row.nano) for row in rows)


def by_tenant(rows: Iterable[LedgerRow]) -> dict[str | None, int]:
    """Return nano-currency by tenant; under None what is nobody's."""
    return _sums((row.tenant, row.nano) for row in rows)


def by_model(rows: Iterable[LedgerRow]) -> dict[str | None, int]:
    """Return nano-currency by model; under None where no model is known."""
    return _sums((row.model, row.nano) for row in rows)


def _sums(pairs: Iterable[tuple[K, int | None]]) -> dict[K, int]:
    sums: dict[K, int] = defaultdict(int)
    for key, amount in pairs:
        if amount is not None:
            sums[key] += amount
    return dict(sums)
