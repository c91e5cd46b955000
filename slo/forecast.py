"""When a budget will be spent, as an interval: from the recent burn and how much it varies.

Guarantee: over simulated months with a day curve and a few error bursts a day, the moment
falls into the 80 % interval in 75-85 % of them (`benchmarks/slo_forecast.py`). Where a handful
of rare outages spends the whole budget, the next one cannot be foreseen and fewer do.

The model: the bad requests of a stretch with A requests have mean m A and variance s A, as
if each batch of them were independent. m and s are those of the last week, s from the
residuals bad - m total of n whole days (shorter batches while there are few days): batch means, so that
what errors have to do with each other within a day is in s (Law, "Simulation Modeling and
Analysis", 9.5.3). m itself is known only as well as the A0 requests seen allow, so the number
still to come lies, with Student's t of n - 1 degrees of freedom at 90 %, within

    m A +- t sqrt(s (A + A^2 / A0))

which is Fieller's interval when it is solved for the A at which the budget is spent (Fieller,
"Some problems in interval estimation", 1954). Future traffic repeats the hours of the day.
A rolling window also forgets, bucket by bucket, what it is known to hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from slo.durations import MICROS_PER_DAY
from telemetry.frame import Floats, Ints
from telemetry.units import MICROS_PER_HOUR

WIDTH_US: Final = MICROS_PER_HOUR
"""The usual width of the buckets a forecast is made from."""
LOOK_BACK_US: Final = 7 * MICROS_PER_DAY
FEWEST_BATCHES: Final = 5
_BATCHES_US: Final = (MICROS_PER_DAY, 6 * MICROS_PER_HOUR, MICROS_PER_HOUR)
_NORMAL: Final = 1.2815515655446004
"""The 90 % point of the normal distribution: 10 % are left out at either side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """What a budget is: the share of requests that may be bad, and for how long it must last.

    `ends_us` is when a calendar period ends and the budget is whole again; None = the window
    rolls, and forgets what is older than `period_us`.
    """

    budget: Fraction
    period_us: int
    ends_us: int | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """The share of the budget left at instants to come: negative = overspent.

    `middle` is expected; four in five futures lie between `low` and `high`.
    """

    at_us: Ints
    low: Floats
    middle: Floats
    high: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When the budget will be spent, UTC microseconds; None = not within the horizon.

    The horizon is one period from now, or the end of the calendar period. A budget that is
    spent already is forecast for now. `burn` is the mean of the last `seen_us`.
    """

    burn: float
    seen_us: int
    earliest_us: int | None
    likely_us: int | None
    latest_us: int | None
    band: Band


@dataclass(frozen=True, slots=True)
class _Pace:
    """What the look-back says of bad requests per request: mean, variance, and how sure that is."""

    mean: float
    variance: float
    requests: int
    degrees: int

    def spread(self, traffic: Floats) -> Floats:
        """Return half the width of the interval of bad requests among so many to come."""
        known = self.variance * (traffic + traffic**2 / self.requests)
        spread: Floats = _student(self.degrees) * np.sqrt(known)
        return spread


def forecast(bad: Ints, total: Ints, term: Term, *, now_us: int, width_us: int = WIDTH_US) -> Forecast | None:
    """Return when the budget of one group will be spent; None where too little has been seen.

    `bad[i]` of `total[i]` requests fell into bucket i of the running period, oldest first, the
    last one ending now, none left out. Too little = under five hours, or no request in the
    last week. `width_us` must divide an hour or be one. O(buckets).
    """
    batch_us = next((each for each in _BATCHES_US if len(bad) * width_us >= FEWEST_BATCHES * each), None)
    if batch_us is None:
        return None
    seen = min(len(bad) * width_us, LOOK_BACK_US) // batch_us * batch_us // width_us
    recent, traffic = bad[-seen:], total[-seen:]
    if not traffic.any():
        return None
    pace = _pace(recent, traffic, batch_us // width_us)
    steps = (term.period_us if term.ends_us is None else max(term.ends_us - now_us, 0)) // width_us
    coming = np.concatenate(([0.0], np.cumsum(_expected(traffic, steps, MICROS_PER_DAY // width_us))))
    at_us = now_us + np.arange(steps + 1) * width_us
    left, spread = _left(bad, total, term, pace=pace, coming=coming, width_us=width_us)
    band = Band(at_us, left - spread, left, left + spread)
    return Forecast(
        burn=pace.mean / float(term.budget),
        seen_us=seen * width_us,
        earliest_us=_spent(at_us, band.low),
        likely_us=_spent(at_us, band.middle),
        latest_us=_spent(at_us, band.high),
        band=band,
    )


def _pace(bad: Ints, total: Ints, batch: int) -> _Pace:
    requests, mean = int(total.sum()), float(bad.sum() / total.sum())
    residuals = (bad - mean * total).reshape(-1, batch).sum(axis=1)
    degrees = len(residuals) - 1
    measured = float((residuals**2).sum()) / degrees * len(residuals) / requests
    return _Pace(mean, max(measured, mean * (1 - mean)), requests, degrees)


def _expected(traffic: Ints, steps: int, day: int) -> Floats:
    """Return the requests of each bucket to come: the mean at its time of day, or of all."""
    whole = len(traffic) // day * day
    profile = traffic[-whole:].reshape(-1, day).mean(axis=0) if whole else np.array([traffic.mean()])
    expected: Floats = np.tile(profile, steps // len(profile) + 1)[:steps]
    return expected


def _left(
    bad: Ints, total: Ints, term: Term, *, pace: _Pace, coming: Floats, width_us: int
) -> tuple[Floats, Floats]:
    """Return the expected share of the budget left at each instant, and half its interval."""
    held_bad, held = float(bad.sum()) + pace.mean * coming, float(total.sum()) + coming
    if term.ends_us is None:
        held_bad = held_bad - _forgotten(bad, term.period_us // width_us, len(coming))
        held = held - _forgotten(total, term.period_us // width_us, len(coming))
    else:
        held = np.full(len(coming), held[-1])  # the budget is that of the whole period
    allowed = np.maximum(held, 1.0) * float(term.budget)
    return 1 - held_bad / allowed, pace.spread(coming) / allowed


def _forgotten(counts: Ints, period: int, instants: int) -> Floats:
    """Return how much of the counts a window of `period` buckets no longer holds at each instant."""
    young = np.zeros(max(period - len(counts), 0) + 1, dtype=np.int64)
    sums = np.concatenate((young, np.cumsum(counts)))
    return sums[np.minimum(np.arange(instants), len(sums) - 1)].astype(np.float64)


def _spent(at_us: Ints, left: Floats) -> int | None:
    """Return the first instant at which nothing is left, between two points on a straight line."""
    gone = np.flatnonzero(left <= 0)
    if not len(gone):
        return None
    after = int(gone[0])
    if after == 0:
        return int(at_us[0])
    share = left[after - 1] / (left[after - 1] - left[after])
    return int(at_us[after - 1] + math.floor(share * (at_us[after] - at_us[after - 1])))


def _student(degrees: int) -> float:
    """Return the 90 % point of Student's t (Abramowitz and Stegun 26.7.5), within 0.3 % from 4 degrees."""
    z = _NORMAL
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / degrees + second / degrees**2
