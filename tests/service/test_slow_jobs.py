"""Jobs that may be late: the schedule outlives a failure, and minutes become hours without a loss."""

from __future__ import annotations

import threading
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.counting.cell_store import CellStore
from service.counting.rollup import RollUp, hourly
from service.jobs import Job, Jobs
from service.own_metrics import Tally
from service.store.errors import StoreUnavailable
from slo.cells import Cells
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE

OBJECTIVE = Objective(
    name="ttft", indicator=Ttft(limit_us=1_000_000), target=Decimal("0.99"), group_by=("tenant",)
)


class Memory(dict):
    """The state store's notes."""

    def set(self, values) -> None:
        self.update(values)


@pytest.fixture
def schedule():
    """Run jobs on a quick schedule: schedule(run, tally)."""
    begun = []

    def start(run, tally):
        jobs = Jobs([Job("job", 0.05, run)], tally=tally, first_after_seconds=0)
        begun.append(jobs)
        jobs.start()

    yield start
    for jobs in begun:
        jobs.stop()


def test_a_job_that_fails_is_counted_and_run_again(schedule):
    tally, again, runs = Tally(), threading.Event(), []

    def run():
        runs.append(1)
        if len(runs) < 3:
            raise StoreUnavailable("not now")
        again.set()

    schedule(run, tally)
    assert again.wait(10)
    assert [(each.name, each.label, each.value) for each in tally.read()] == [("job_failures", "job", 2)]


def test_a_job_never_runs_beside_itself(schedule):
    inside, most, done = [], [], threading.Event()

    def run():
        inside.append(1)
        most.append(len(inside))
        done.wait(0.15)
        inside.pop()
        if len(most) >= 3:
            done.set()

    schedule(run, Tally())
    assert done.wait(10) and set(most) == {1}


def cells(rows):
    """Return cells of (tenant, minute, good, total)."""
    keys = sorted({(tenant,) for tenant, *_ in rows})
    columns = np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, 3)
    group = np.array([keys.index((tenant,)) for tenant, *_ in rows], dtype=np.int64)
    return Cells.of(keys, group=group, bucket=columns[:, 0], good=columns[:, 1], total=columns[:, 2])


ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 300), st.integers(0, 5), st.integers(5, 9)), max_size=30
)


@given(ROWS)
def test_an_hour_is_the_sum_of_its_minutes(rows):
    minutes = cells(rows)
    hours = hourly(minutes)
    assert hours.sums() == minutes.sums()
    assert set(hours.bucket.tolist()) == {bucket // 60 for bucket in minutes.bucket.tolist()}


def test_hours_rolled_up_again_replace_those_before(facts):
    now_us = 500_000 * MICROS_PER_HOUR
    store = CellStore(facts.cells, clock=lambda: now_us)
    minute = now_us // MICROS_PER_MINUTE - 90
    both = cells([("a", minute, 1, 2), ("a", minute + 1, 3, 3)])
    store.write(OBJECTIVE.version, MICROS_PER_MINUTE, both, 10)
    notes = Memory()
    RollUp(store, notes).step([OBJECTIVE], upto=10, now_us=now_us)
    store.write(OBJECTIVE.version, MICROS_PER_MINUTE, cells([("a", minute, 5, 9)]), 20)
    assert RollUp(store, notes).step([OBJECTIVE], upto=20, now_us=now_us) == 1
    assert store.read(OBJECTIVE.version, MICROS_PER_HOUR, 0).cells.sums() == (5 + 3, 9 + 3)
