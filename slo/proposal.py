"""Objectives drafted from what was served: guesses for a person to judge, never chosen by themselves.

For each model, of each kind of promise, the strictest rung of a ladder of round numbers that the
traffic kept with room to spare: had the promise been in force, at most half of its budget would
have been spent. The same requests always give the same drafts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

import numpy as np

from slo.cells import Cells, fold
from slo.indicator import Indicator
from slo.indicators.availability import Availability
from slo.indicators.e2e import EndToEnd
from slo.indicators.tpot import Tpot
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from telemetry.frame import Frame
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MILLI

HEADROOM: Final = 2
"""A draft's budget is at least this many times what was spent."""
LEAST_REQUESTS: Final = 1_000
"""Of a model that served fewer nothing is drafted."""
LEAST_BUDGET: Final = 10
"""A target is drafted only from so many requests that its budget is at least this many bad ones."""
_MODEL: Final = ("model",)
_LATENCY: Final = (Decimal("0.99"), Decimal("0.95"), Decimal("0.9"))
_AVAILABILITY: Final = (Decimal("0.9999"), Decimal("0.999"), Decimal("0.995"), *_LATENCY)
_TTFT_MS: Final = (100, 200, 300, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 30_000, 60_000)
_TPOT_MS: Final = (5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1_000)
_E2E_MS: Final = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000)


@dataclass(frozen=True, slots=True)
class Ladder:
    """One kind of promise: its rungs from the strictest on, and the targets to try on all of them in turn."""

    title: str
    rungs: tuple[Indicator, ...]
    targets: tuple[Decimal, ...]


LADDERS: Final = (
    Ladder("Availability", (Availability(),), _AVAILABILITY),
    Ladder("TTFT", tuple(Ttft(each * MICROS_PER_MILLI) for each in _TTFT_MS), _LATENCY),
    Ladder("TPOT", tuple(Tpot(each * MICROS_PER_MILLI) for each in _TPOT_MS), _LATENCY),
    Ladder("End-to-end latency", tuple(EndToEnd(each * MICROS_PER_MILLI) for each in _E2E_MS), _LATENCY),
)
_RUNGS: Final = tuple(
    Objective(name="rung", indicator=rung, target=ladder.targets[-1], group_by=_MODEL, policy="none")
    for ladder in LADDERS
    for rung in ladder.rungs
)
COLUMNS: Final = frozenset(column for rung in _RUNGS for column in rung.columns)
"""The columns of requests that `counted` reads."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One objective, and what it rests on: `good` of `total` requests of a model, in `hours` hours."""

    objective: Objective
    good: int
    total: int
    hours: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """The drafts, and the models of which there is too little to say anything, with their requests."""

    drafts: tuple[Draft, ...]
    too_few: tuple[tuple[str, int], ...]


def counted(requests: Frame) -> list[Cells]:
    """Return the hourly counts of every rung, by model. To be added up over frames, rung by rung."""
    return [fold(requests, rung, width_us=MICROS_PER_HOUR) for rung in _RUNGS]


def proposed(counts: Sequence[Cells]) -> Proposal:
    """Return the drafts that counts of every rung allow, by model and kind of promise."""
    drafts: list[Draft] = []
    too_few: list[tuple[str, int]] = []
    names: set[str] = set()
    for key in sorted({key for cells in counts for key in cells.keys}):
        served = [_of_model(cells, key) for cells in counts]
        if (most := max(rung.total for rung in served)) < LEAST_REQUESTS:
            too_few.append((key[0], most))
            continue
        for ladder, rungs in _by_ladder(served):
            if (chosen := _chosen(ladder, rungs)) is not None:
                drafts.append(_draft(key[0], ladder, *chosen, names=names))
    return Proposal(tuple(drafts), tuple(too_few))


@dataclass(frozen=True, slots=True)
class _Served:
    good: int
    total: int
    hours: int


def _of_model(cells: Cells, key: tuple[str, ...]) -> _Served:
    if key not in cells.keys:
        return _Served(0, 0, 0)
    rows = cells.group == cells.keys.index(key)
    return _Served(int(cells.good[rows].sum()), int(cells.total[rows].sum()), int(np.count_nonzero(rows)))


def _by_ladder(served: Sequence[_Served]) -> Iterator[tuple[Ladder, Sequence[_Served]]]:
    at = 0
    for ladder in LADDERS:
        yield ladder, served[at : at + len(ladder.rungs)]
        at += len(ladder.rungs)


def _chosen(ladder: Ladder, rungs: Sequence[_Served]) -> tuple[Indicator, Decimal, _Served] | None:
    """Return the strictest rung of the highest target that was kept with room to spare."""
    for target in ladder.targets:
        for indicator, served in zip(ladder.rungs, rungs, strict=True):
            budget = served.total * (1 - Fraction(target))
            if budget >= LEAST_BUDGET and (served.total - served.good) * HEADROOM <= budget:
                return indicator, target, served
    return None


def _draft(
    model: str, ladder: Ladder, indicator: Indicator, target: Decimal, served: _Served, *, names: set[str]
) -> Draft:
    name = _name(model, indicator.kind, names)
    spent = (served.total - served.good) / (served.total * (1 - target))
    objective = Objective(
        name=name,
        display_name=f"{ladder.title} of {model}",
        description=(
            f"A guess from {served.total:,} requests in {_hours(served.hours)}, of which "
            f"{served.good / served.total:.3%} were good: {spent:.0%} of the budget would have been spent."
        ),
        indicator=indicator,
        target=target,
        selector=(("model", model),),
        guess=True,
    )
    return Draft(objective, served.good, served.total, served.hours)


def _name(model: str, kind: str, names: set[str]) -> str:
    """Return a name that is not taken yet, of the letters that names may have."""
    words = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    kind = kind.replace("_", "-")
    name = base = f"{words[: 59 - len(kind)].strip('-')}-{kind}".strip("-")
    number = 1
    while name in names:
        number += 1
        name = f"{base}-{number}"
    names.add(name)
    return name


def _hours(count: int) -> str:
    return "one hour" if count == 1 else f"{count:,} hours"
