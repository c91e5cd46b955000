"""Which burn rates wake a person, as data: the pairs of the SRE workbook, chapter 5.

A pair fires while the budget burns too fast over a long window and still does over a short
one. Its factor is not written down but follows from what it protects: spending `share` of
the period's budget within the long window is burning at share x period / long. For 30 days
that gives the workbook's 14.4, 6, 3 and 1 exactly; for 28 days 13.44, 5.6, 2.8 and 14/15.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from slo.durations import MICROS_PER_DAY
from telemetry.condition import Severity
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Burning `share` of the budget within `long_us`, and still burning over `short_us`."""

    severity: Severity
    long_us: int
    short_us: int
    share: Fraction

    def factor(self, period_us: int) -> Fraction:
        """Return the burn rate above which it fires, for a budget of `period_us`."""
        return self.share * period_us / self.long_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Named pairs, the most urgent first, and where low traffic calls for proof.

    Where a threshold stands for fewer than `proof_below_errors` bad requests in the long
    window, a few unlucky ones could cross it; there the Clopper-Pearson bound of the long
    window must cross it instead (`slo.significance`).
    """

    name: str
    pairs: tuple[Pair, ...]
    proof_below_errors: int = 100

    def few(self, ratio: Fraction) -> int:
        """Return of how many requests on a threshold of this ratio needs no proof."""
        return math.ceil(self.proof_below_errors / ratio)


def _pair(severity: Severity, long_us: int, short_us: int, percent: int) -> Pair:
    return Pair(severity=severity, long_us=long_us, short_us=short_us, share=Fraction(percent, 100))


_MINUTE, _HOUR, _DAY = MICROS_PER_MINUTE, MICROS_PER_HOUR, MICROS_PER_DAY
_PAGE, _TICKET = Severity.PAGE, Severity.TICKET

POLICIES: Final[dict[str, Policy]] = {
    policy.name: policy
    for policy in (
        Policy(
            name="workbook",
            pairs=(
                _pair(_PAGE, _HOUR, 5 * _MINUTE, 2),
                _pair(_PAGE, 6 * _HOUR, 30 * _MINUTE, 5),
                _pair(_TICKET, _DAY, 2 * _HOUR, 10),
                _pair(_TICKET, 3 * _DAY, 6 * _HOUR, 10),
            ),
        ),
        # The same windows are a larger part of a week, so they may spend more of it.
        Policy(
            name="workbook-7d",
            pairs=(
                _pair(_PAGE, _HOUR, 5 * _MINUTE, 8),
                _pair(_PAGE, 6 * _HOUR, 30 * _MINUTE, 13),
                _pair(_TICKET, _DAY, 2 * _HOUR, 20),
                _pair(_TICKET, 3 * _DAY, 6 * _HOUR, 43),
            ),
        ),
        # Of a day only the two shortest are parts.
        Policy(
            name="workbook-1d",
            pairs=(
                _pair(_PAGE, _HOUR, 5 * _MINUTE, 25),
                _pair(_TICKET, 6 * _HOUR, 30 * _MINUTE, 50),
            ),
        ),
        Policy(
            name="tickets",
            pairs=(
                _pair(_TICKET, _DAY, 2 * _HOUR, 10),
                _pair(_TICKET, 3 * _DAY, 6 * _HOUR, 10),
            ),
        ),
        Policy(name="none", pairs=()),
    )
}


def usual_policy(period_us: int) -> str:
    """Return the policy of an objective that names none: the workbook's, or its weekly or daily form."""
    days = period_us / _DAY
    return "workbook" if days >= 28 else "workbook-7d" if days >= 7 else "workbook-1d"
