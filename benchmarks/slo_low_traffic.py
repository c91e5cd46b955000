"""Pages at low traffic: how often chance alone wakes somebody, and what is still found.

    python benchmarks/slo_low_traffic.py [--months 600] [--out FILE]

Poisson traffic of 60 requests an hour against 99.9 % over 30 days, every minute through `Ring`
and `judge`. A page is false when it comes while the true error ratio is half the budget, counted
over whole months that begin with full windows. An incident is an hour in which half of all
requests fail, after days at half the budget; it is found when a page comes before it ends. The
plain rule beside it is the workbook's: the same windows and thresholds, without proof.
"""

from __future__ import annotations

import argparse
from decimal import Decimal
from pathlib import Path

import numpy as np
from parts.telling import tell

from slo.burn import NO, UNKNOWN, YES
from slo.cells import Cells
from slo.evaluate import judge
from slo.indicators.availability import Availability
from slo.objective import Objective
from slo.ratios import above
from slo.ring import Counts, Ring
from telemetry.condition import Severity

MINUTE = 60_000_000
OBJECTIVE = Objective(name="availability", indicator=Availability(), target=Decimal("0.999"))
WARM_UP, MONTH, INCIDENT = 3 * 1_440, 30 * 1_440, 60
HEALTHY = float(OBJECTIVE.budget) / 2
RULES = ("plain", "proven")


class Fleet:
    """Many groups of 60 requests an hour in one ring, and which rule pages for each of them."""

    def __init__(self, groups: int, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        self._keys = tuple((f"{group:05d}",) for group in range(groups))
        self._paging = np.zeros((len(RULES), groups), dtype=np.bool_)
        self._minute = 0
        self.ring = Ring.of(OBJECTIVE, now_us=0, group_cap=groups)

    def warm_up(self) -> None:
        """Fill the windows of the alerts."""
        for _ in range(WARM_UP):
            self._serve(HEALTHY)

    def minute(self, error_ratio: float) -> np.ndarray:
        """Let a minute pass; return which groups each rule begins to page for."""
        self._serve(error_ratio)
        counts = self.ring.counts()
        answers = np.stack([plain(counts), judge(OBJECTIVE, counts).holds(Severity.PAGE)])
        paging = np.where(answers == UNKNOWN, self._paging, answers == YES)
        begun = paging & ~self._paging
        self._paging = paging
        return begun

    def _serve(self, error_ratio: float) -> None:
        self.ring.advance(self._minute * MINUTE)
        total = self._chance.poisson(1.0, len(self._keys))
        bad = self._chance.binomial(total, error_ratio)
        bucket = np.full(len(total), self._minute)
        group = np.arange(len(total))
        self.ring.add(Cells.of(self._keys, group=group, bucket=bucket, good=total - bad, total=total))
        self._minute += 1


def plain(counts: Counts) -> np.ndarray:
    """Return whether the page pairs fire by their thresholds alone; no traffic is not above any."""
    pairs = [pair for pair in OBJECTIVE.alerts.pairs if pair.severity is Severity.PAGE]
    fires = [
        above(*counts.window(pair.long_us), OBJECTIVE.error_ratio(pair))
        & above(*counts.window(pair.short_us), OBJECTIVE.error_ratio(pair))
        for pair in pairs
    ]
    return np.where(np.any(fires, axis=0), YES, NO)


def false_pages(months: int) -> np.ndarray:
    """Return the pages of each rule a month while all is well."""
    fleet = Fleet(months, seed=20260101)
    fleet.warm_up()
    return sum(fleet.minute(HEALTHY).sum(axis=1) for _ in range(MONTH)) / months


def found(incidents: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the incidents that each rule pages for, and after how many minutes (median).

    One for which a rule was paging already is not counted for that rule.
    """
    fleet = Fleet(incidents, seed=20260102)
    fleet.warm_up()
    before = fleet.minute(HEALTHY)
    after = np.full(before.shape, np.inf)
    for minute in range(1, INCIDENT + 1):
        begun = fleet.minute(0.5)
        after[begun] = np.minimum(after[begun], minute)
    counted = [each[~was] for each, was in zip(after, before, strict=True)]
    return (
        np.array([np.isfinite(each).mean() for each in counted]),
        np.array([np.median(each[np.isfinite(each)]) for each in counted]),
    )


def main() -> None:
    """Simulate, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=600)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    false, (share, minutes) = false_pages(given.months), found(given.months)
    figures = {
        rule: {
            "false pages a month": round(float(false[at]), 4),
            "incidents found": float(share[at]),
            "median minutes": float(minutes[at]),
        }
        for at, rule in enumerate(RULES)
    }
    tell({"months": given.months, "incidents": given.months, **figures}, given.out)


if __name__ == "__main__":
    main()
