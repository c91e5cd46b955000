"""A statement: what a tenant, a model or the whole fleet paid, and per how many tokens.

Unit costs are exact fractions. `direct` is the money of a tenant's own rows; `loaded` adds
its part of what is nobody's (idle, overhead, headroom) in proportion to the direct money, so
that the loaded statements of all tenants sum to the bill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from cost.apportion import apportion
from cost.classes import CostClass
from cost.ledger import LedgerRow, by_class, total
from telemetry.units import NANO

MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one party paid over the rows given, in nano-currency.

    `output_tokens` None = not measured; then the unit costs are None, as they are for zero.
    """

    name: str | None
    direct_nano: int
    loaded_nano: int
    classes: Mapping[CostClass, int]
    output_tokens: int | None

    @property
    def direct_per_million(self) -> Fraction | None:
        """Return currency units per million output tokens, own rows only."""
        return per_million(self.direct_nano, self.output_tokens)

    @property
    def loaded_per_million(self) -> Fraction | None:
        """Return currency units per million output tokens, with the shared costs."""
        return per_million(self.loaded_nano, self.output_tokens)


def per_million(nano: int, tokens: int | None) -> Fraction | None:
    """Return currency units per million tokens, exactly; None without tokens."""
    return Fraction(nano * MILLION, NANO * tokens) if tokens else None


def statements(
    rows: Sequence[LedgerRow], tokens: Mapping[str | None, int], *, by: Callable[[LedgerRow], str | None]
) -> tuple[Statement, ...]:
    """Return one statement for each party that has rows, by name; together they sum to the bill.

    `by` names the party of a row that belongs to a tenant (its tenant, its model); `tokens`
    are output tokens by the same names. When nobody has rows of their own, the one statement
    is named None and holds everything.
    """
    own: dict[str | None, list[LedgerRow]] = {}
    for row in rows:
        if row.tenant is not None:
            own.setdefault(by(row), []).append(row)
    names = sorted(own, key=lambda name: (name is None, name or ""))
    direct = np.array([total(own[name]) for name in names], dtype=np.int64)
    shared = total(row for row in rows if row.tenant is None)
    if not names:
        return (_statement(None, rows, shared, tokens),)
    loads = apportion(shared, direct).tolist()
    return tuple(_statement(name, own[name], load, tokens) for name, load in zip(names, loads, strict=True))


def _statement(
    name: str | None, rows: Sequence[LedgerRow], load: int, tokens: Mapping[str | None, int]
) -> Statement:
    mine = total(row for row in rows if row.tenant is not None)
    return Statement(
        name=name,
        direct_nano=mine,
        loaded_nano=mine + load,
        classes=by_class(rows),
        output_tokens=tokens.get(name),
    )
