"""Whether so many bad requests among so few could be chance: the exact binomial bound.

Guarantee: `significant` answers the same as comparing the one-sided 95 % Clopper-Pearson
lower bound of bad/total with a ratio, for up to 10^9 requests; scipy's quantile of the beta
distribution agrees on every case where the two are more than 1e-9 apart (tested).

The bound is above `ratio` exactly when P(X >= bad) < 5 % for X ~ Binomial(total, ratio), so
no inverse is needed. Where bad/total > ratio the terms of that tail only shrink, so their
sum is cut off as soon as the question is decided: by what is summed already, or by the
geometric series that bounds the rest. The first term is the saddle-point form of the
binomial density (C. Loader, "Fast and accurate computation of binomial probabilities", 2000),
which loses no digits at large counts.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

import numpy as np

from telemetry.frame import Floats, Ints, Mask

RISK: Final = 0.05
"""How often chance alone may cross a threshold."""

_TABLE: Final = 16
_STIRLING_ERROR: Final = np.array(
    [0.0]
    + [
        math.lgamma(n + 1) - ((n + 0.5) * math.log(n) - n + 0.5 * math.log(2 * math.pi))
        for n in range(1, _TABLE)
    ]
)


def significant(bad: Ints, total: Ints, ratio: Fraction) -> Mask:
    """Return where bad/total is above `ratio` by more than chance explains (one-sided 95 %).

    False where bad/total is not above the ratio, and where total is 0. `ratio` is in (0, 1). Arrays
    of one dimension; about 0.05 us an element.
    """
    answer = np.zeros(len(bad), dtype=np.bool_)
    above = np.flatnonzero(bad > total * float(ratio))
    answer[above] = _tail_is_rare(bad[above], total[above], float(ratio))
    return answer


def _tail_is_rare(bad: Ints, total: Ints, ratio: float) -> Mask:
    """Decide P(X >= bad) < RISK for bad > total x ratio, all at once."""
    rare = np.zeros(bad.shape, dtype=np.bool_)
    open_ = np.arange(len(bad))
    odds = ratio / (1 - ratio)
    term = _density(bad, total, ratio)
    tail, reached = term.copy(), bad.astype(np.float64)
    while len(open_):
        shrink = (total[open_] - reached) / (reached + 1) * odds
        most = tail + term * shrink / (1 - shrink)
        rare[open_[most < RISK]] = True
        undecided = (tail < RISK) & (most >= RISK)
        open_, reached = open_[undecided], reached[undecided] + 1
        term = (term * shrink)[undecided]
        tail = tail[undecided] + term
    return rare


def _density(bad: Ints, total: Ints, ratio: float) -> Floats:
    """Return P(X = bad), for 0 < bad <= total."""
    good = total - bad
    mean = np.multiply(total, ratio, dtype=np.float64)
    stirling = _stirling_error(total) - _stirling_error(bad) - _stirling_error(good)
    distance = _deviance(bad, mean) + _deviance(good, total.astype(np.float64) - mean)
    spread = np.sqrt(total / (2 * np.pi * bad * np.maximum(good, 1)))
    density: Floats = spread * np.exp(stirling - distance)
    all_bad = np.flatnonzero(good == 0)
    density[all_bad] = np.power(ratio, total[all_bad])
    return density


def _stirling_error(count: Ints) -> Floats:
    """Return log(n!) minus Stirling's formula; the series beyond the table is exact to 1e-14."""
    n = np.maximum(count, _TABLE).astype(np.float64)
    square = n * n
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / square) / square) / square) / n
    exact: Floats = np.where(count < _TABLE, _STIRLING_ERROR[np.minimum(count, _TABLE - 1)], series)
    return exact


def _deviance(count: Ints, mean: Floats) -> Floats:
    """Return x log(x / mean) + mean - x without cancellation where x is close to the mean."""
    x = count.astype(np.float64)
    safe = np.maximum(x, 1.0)  # counts are whole: only x = 0 changes, and takes the other branch
    relative = (mean - safe) / safe
    exact: Floats = np.where(x > 0, x * (relative - np.log1p(relative)), mean)
    return exact
