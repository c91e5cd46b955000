"""Burn rates, exactly: integers are compared by cross-multiplication, never as floats.

Burn 1 spends the budget just within its period: burn = (bad / total) / (1 - target). At
99.9 % exactly 144 bad of 10,000 is 14.4x and does not fire a threshold of 14.4; 145 does.
No traffic has no burn rate: what rests on it is unknown, neither kept nor broken.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slo.objective import Objective
from slo.pairs import Pair
from slo.ratios import above
from slo.significance import significant
from telemetry.frame import Ints, Mask

Answers = NDArray[np.int8]
"""Kleene's three values: YES, NO, UNKNOWN. OR is the maximum, AND the minimum."""

YES: Final = 1
UNKNOWN: Final = 0
NO: Final = -1


def burn_rate(bad: int, total: int, budget: Fraction) -> Fraction | None:
    """Return how many times too fast the budget burns; None without traffic."""
    return Fraction(bad, total) / budget if total else None


def budget_remaining(bad: int, total: int, budget: Fraction, *, ahead: int = 0) -> Fraction | None:
    """Return the share of the budget left, negative when overspent; None without traffic.

    `ahead` is what the period is still to bring, where that is known: slices of a calendar period.
    """
    return 1 - Fraction(bad, total + ahead) / budget if total else None


def pair_fires(
    objective: Objective, pair: Pair, *, long: tuple[Ints, Ints], short: tuple[Ints, Ints]
) -> Answers:
    """Return for each group whether a pair fires, from (bad, total) of its two windows.

    Both windows must be above the threshold; the long one beyond chance where the threshold
    stands for few errors. A window without traffic is unknown, so a fire that goes silent is
    unknown too, unless the other window says no.
    """
    ratio = objective.error_ratio(pair)
    proven = _beyond_chance(objective, *long, ratio)
    answers: Answers = np.minimum(_answers(proven, long[1]), _answers(above(*short, ratio), short[1]))
    return answers


def _beyond_chance(objective: Objective, bad: Ints, total: Ints, ratio: Fraction) -> Mask:
    """Return where a ratio is crossed, by more than chance explains: a request or slice is one draw."""
    is_above, scale = above(bad, total, ratio), objective.budgeting.scale
    doubtful = np.flatnonzero(is_above & (total < objective.alerts.few(ratio) * scale))
    is_above[doubtful] = significant(bad[doubtful] // scale, total[doubtful] // scale, ratio)
    return is_above


def _answers(is_above: Mask, total: Ints) -> Answers:
    answers: Answers = np.where(total == 0, UNKNOWN, np.where(is_above, YES, NO)).astype(np.int8)
    return answers
