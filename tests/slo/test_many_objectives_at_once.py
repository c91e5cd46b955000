"""Many objectives judged at once have the answers that each has by itself."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from slo.evaluate import judge, judge_all
from slo.objective import Rolling
from slo.ring import Counts
from slo.slices import RatioTimeslices, Timeslices

MINUTE = 60_000_000
DAY = 1_440 * MINUTE
CHANGES = (
    {},
    {"target": Decimal("0.99")},
    {"policy": "tickets"},
    {"policy": "none"},
    {"window": Rolling(7 * DAY)},
    {"budgeting": Timeslices(5 * MINUTE, Decimal("0.9")), "target": Decimal("0.99")},
    {"budgeting": RatioTimeslices(MINUTE)},
)


def counts(objective, chance, groups):
    """Return windows of groups of which some stand at a threshold, some are idle, some saw little."""
    shape = (len(objective.windows_us), groups)
    total = np.sort(chance.choice([0, 1, 20, 300, 10**6], shape), axis=0) * objective.budgeting.scale
    bad = np.floor(total * chance.choice([0, 0.001, 0.02, 0.2, 1], shape)).astype(np.int64)
    keys = tuple((f"g{group}",) for group in range(groups))
    return Counts(0, objective.windows_us, keys, total - bad, total)


@pytest.mark.parametrize("seed", range(20))
def test_equals_judging_each_by_itself(objective_of, seed):
    chance = np.random.default_rng(seed)
    objectives = [objective_of(name=f"o{at}", **CHANGES[at % len(CHANGES)]) for at in range(20)]
    asked = [(each, counts(each, chance, int(chance.integers(0, 9)))) for each in objectives]
    for found, (objective, counted) in zip(judge_all(asked), asked, strict=True):
        alone = judge(objective, counted)
        assert found.objective is objective and found.counts is counted
        assert np.array_equal(found.answers, alone.answers)
        assert len(found.answers) == len(objective.alerts.pairs)


def test_no_objective_is_no_judgement():
    assert judge_all([]) == []
