"""Requests and objectives for the tests of `slo`: a request that ended well, unless told otherwise."""

from __future__ import annotations

import sys
from decimal import Decimal
from importlib import util

import numpy as np
import pytest

from slo.indicators.availability import Availability
from slo.objective import Objective
from slo.ring import Counts
from telemetry.columns import TABLE, Kind
from telemetry.frame import Frame
from telemetry.requests import InFlightRequest, RequestRecord, Status

SECOND = 1_000_000


@pytest.fixture(scope="session")
def request_of():
    def make(**changes):
        values = {
            "request_id": "r1",
            "tenant": "acme",
            "model": "llama",
            "status": Status.OK,
            "started_at_us": 0,
            "ended_at_us": 10 * SECOND,
            "e2e_us": 10 * SECOND,
        }
        return RequestRecord(**values | changes)

    return make


@pytest.fixture(scope="session")
def requests_frame(request_of):
    def make(*changes):
        return Frame.of("requests", [request_of(**change) for change in changes])

    return make


@pytest.fixture(scope="session")
def in_flight_frame():
    def make(*changes):
        common = {
            "request_id": "r1",
            "at_us": 10 * SECOND,
            "started_at_us": 0,
            "tenant": "acme",
            "model": "llama",
        }
        return Frame.of("in_flight", [InFlightRequest(**common | change) for change in changes])

    return make


@pytest.fixture(scope="session")
def frame_of():
    """Return rows of any table with anything in any column that may stand there."""

    def value(chance, column):
        if column.nullable and chance.random() < 0.2:
            return None
        if column.words:
            return chance.choice(column.words)
        size = chance.choice([2, 5, 300, 3_000_000, 9_000_000])
        return {
            Kind.INT: chance.randrange(size),
            Kind.FLOAT: chance.random() * 500,
            Kind.TEXT: chance.choice(["determinism", "acme", "other_answer"]),
            Kind.FLAG: chance.random() < 0.5,
            Kind.UINTS: tuple(chance.choices(range(200_000), k=chance.choice([0, 16]))),
        }[column.kind]

    def make(table, chance, rows):
        spec = TABLE[table]
        made = [{column.name: value(chance, column) for column in spec.columns} for _ in range(rows)]
        return Frame.of(table, [spec.record(**each) for each in made])

    return make


@pytest.fixture(scope="session")
def objective_of():
    def make(**changes):
        values = {"name": "availability", "indicator": Availability(), "target": Decimal("0.999")}
        return Objective(**values | changes)

    return make


@pytest.fixture(scope="session")
def counts_of():
    """Return counts of one group in which every window has the same bad of total."""

    def make(objective, bad, total, **windows):
        each = [windows.get(f"w{window}", (bad, total)) for window in objective.windows_us]
        good = np.array([[total - bad] for bad, total in each], dtype=np.int64)
        totals = np.array([[total] for _, total in each], dtype=np.int64)
        key = ("acme",) * len(objective.group_by)
        return Counts(0, objective.windows_us, (key,), good, totals)

    return make


@pytest.fixture
def benchmark_named(repository, monkeypatch):
    """Return a script of `benchmarks/` as a module, for a small run of what it does at length."""

    def load(name):
        monkeypatch.syspath_prepend(str(repository / "benchmarks"))
        spec = util.spec_from_file_location(name, repository / "benchmarks" / f"{name}.py")
        module = util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load
