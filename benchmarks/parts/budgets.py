"""Budgets recounted from single requests: the proof that windows, slices, periods and corrections are right.

Nothing of `slo` is used but its words; plain loops over plain numbers, fractions where it divides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from slo.corrections import Correction, Excluded
from slo.slices import RATIO_SCALE, Budgeting, Timeslices

MINUTE_US = 60_000_000


@dataclass(frozen=True)
class Fact:
    """A request that was judged: whose, when, how."""

    tenant: str
    at_us: int
    good: bool


Units = dict[str, tuple[int, int]]
"""Tenant -> (good, total), of requests or slices; tenants without any are left out."""


def units(
    facts: Iterable[Fact], corrections: Sequence[Correction], budgeting: Budgeting, from_us: int, to_us: int
) -> Units:
    """Return what a budget counts of the slices, or minutes, that begin in [from_us, to_us)."""
    slices: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for fact in facts:
        begin_us = fact.at_us - fact.at_us % (budgeting.slice_us or MINUTE_US)
        if from_us <= begin_us < to_us and not left_out(fact, corrections):
            slices[fact.tenant, begin_us][0] += fact.good
            slices[fact.tenant, begin_us][1] += 1
    sums: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for (tenant, _), (good, total) in slices.items():
        more = of_slice(budgeting, good, total)
        sums[tenant] = (sums[tenant][0] + more[0], sums[tenant][1] + more[1])
    return dict(sums)


def left_out(fact: Fact, corrections: Sequence[Correction]) -> bool:
    """Tell whether a request is in a minute that a correction touches, and excluded by it."""
    minute_us = fact.at_us - fact.at_us % MINUTE_US
    touching = (
        each for each in corrections if each.from_us < minute_us + MINUTE_US and each.to_us > minute_us
    )
    return any(each.excluded is Excluded.ALL or not fact.good for each in touching)


def of_slice(budgeting: Budgeting, good: int, total: int) -> tuple[int, int]:
    """Return what a slice with traffic counts for."""
    if budgeting.slice_us is None:
        return good, total
    if isinstance(budgeting, Timeslices):
        return int(Fraction(good, total) >= Fraction(budgeting.target)), 1
    return RATIO_SCALE - (total - good) * RATIO_SCALE // total, RATIO_SCALE


def budget_left(bad: int, total: int, ahead: int, target: Fraction) -> Fraction | None:
    """Return the share of a budget that is left; None without traffic."""
    return 1 - Fraction(bad, total + ahead) / (1 - target) if total else None
