"""How often the forecast's 80 % interval holds the moment at which a budget was really spent.

    python benchmarks/slo_forecast.py [--months 1000] [--out FILE]

Months of hours with a day curve (1:9 from night to noon), Poisson traffic and a burn drawn
evenly from 0.9 to 3. Half of a month's errors are a background, the other half come in bursts
that last half an hour to two hours; how many a day is what tells the months apart. On a day
from the 7th to the 14th, at an hour at which some budget is left, the forecast is made; then
the month goes on until the budget is spent. The first half of the months are calendar months;
the others judge a rolling window of 30 days, and come after a month in which the burn was 0.3.
`rare` months have two bursts in three days: the forecast does not promise to cover those, and
the figure says how far it misses.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from parts.telling import tell

from slo.forecast import WIDTH_US, Forecast, Term, forecast

BUDGET = Fraction(1, 100)
MONTH = 720
FUTURE = 4 * MONTH
A_DAY = {"steady": 0.0, "bursts": 6.0, "many bursts": 24.0}
RARE = 2 / 3


@dataclass(frozen=True, slots=True)
class Month:
    """Hours of requests, of which those in [first, now) are known when the forecast is asked for."""

    bad: np.ndarray
    total: np.ndarray
    first: int
    now: int
    rolls: bool


def month(chance: np.random.Generator, bursts_a_day: float, *, rolls: bool) -> Month:
    """Return a month and what came after it."""
    hours = np.arange(FUTURE)
    total = chance.poisson(6_000 * (1 + 0.8 * np.cos((hours % 24 - 14) / 12 * np.pi)))
    ratio = np.full(FUTURE, chance.uniform(0.9, 3.0) * float(BUDGET))
    if bursts_a_day:
        ratio /= 2
        mean = ratio[0] * 24 / bursts_a_day
        count = chance.poisson(bursts_a_day * FUTURE / 24)
        np.add.at(ratio, chance.integers(0, FUTURE, count), mean * chance.exponential(1.0, count))
    now = int(chance.integers(7 * 24, 14 * 24))
    if rolls:
        now += MONTH
        ratio[:MONTH] = 0.3 * float(BUDGET)
    bad = chance.binomial(total, np.minimum(ratio, 1.0))
    return Month(bad, total, max(now - MONTH, 0), now, rolls)


def asked(one: Month, term: Term) -> Forecast | None:
    """Return the forecast, seen from the hours that have passed."""
    return forecast(one.bad[one.first : one.now], one.total[one.first : one.now], term, now_us=0)


def truth(one: Month, made: Forecast) -> float:
    """Return after how many hours the budget was spent, in parts of an hour; inf = not within the horizon.

    Counted afresh: a calendar month has the budget of its own requests, a rolling window that
    of the requests it holds.
    """
    horizon = len(made.band.at_us) - 1
    bad, total = np.cumsum(one.bad), np.cumsum(one.total)
    ends = np.arange(one.now - 1, one.now + horizon)
    if one.rolls:
        bad = bad[ends] - bad[ends - MONTH]
        allowed = (total[ends] - total[ends - MONTH]) * float(BUDGET)
    else:
        bad, allowed = bad[ends], np.full(len(ends), total[MONTH - 1] * float(BUDGET))
    left = allowed - bad
    gone = np.flatnonzero(left <= 0)
    if not len(gone):
        return np.inf
    at = int(gone[0])
    return float(at - 1 + left[at - 1] / (left[at - 1] - left[at]))


def spent_already(one: Month) -> bool:
    """Tell whether there was nothing left to forecast."""
    bad, of = one.bad[one.first : one.now].sum(), one.total[one.first : one.first + MONTH].sum()
    return bool(bad >= of * float(BUDGET))


def coverage(months: int, bursts_a_day: float, *, rolls: bool, seed: int) -> dict[str, float]:
    """Return how many moments were inside, before and after the interval, of the months that had one."""
    chance = np.random.default_rng(seed)
    inside = before = after = 0
    while inside + before + after < months:
        one = month(chance, bursts_a_day, rolls=rolls)
        if spent_already(one):
            continue
        ends_us = None if rolls else (MONTH - one.now) * WIDTH_US
        made = asked(one, Term(budget=BUDGET, period_us=MONTH * WIDTH_US, ends_us=ends_us))
        assert made is not None
        at = truth(one, made)
        if np.isinf(at) and made.earliest_us is None:
            continue  # neither foretold nor come: no moment to be inside of
        earliest, latest = (
            np.inf if each is None else each / WIDTH_US for each in (made.earliest_us, made.latest_us)
        )
        before += at < earliest
        after += at > latest
        inside += earliest <= at <= latest
    return {"inside": inside / months, "before": before / months, "after": after / months}


def main() -> None:
    """Simulate, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=1_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    kinds = [(name, a_day, rolls) for rolls in (False, True) for name, a_day in A_DAY.items()]
    share = given.months // len(kinds)
    sizes = [share + (at < given.months - share * len(kinds)) for at in range(len(kinds))]
    each = {
        f"{name}, {'rolling' if rolls else 'calendar'}": coverage(size, a_day, rolls=rolls, seed=at)
        for at, ((name, a_day, rolls), size) in enumerate(zip(kinds, sizes, strict=True))
    }
    inside = sum(found["inside"] * size for found, size in zip(each.values(), sizes, strict=True))
    rare = coverage(min(given.months, 300), RARE, rolls=False, seed=99)
    figures = {"months": given.months, "inside": inside / given.months, "by kind": each, "rare": rare}
    tell(figures, given.out)


if __name__ == "__main__":
    main()
