"""Backtests over a facts store: hour by hour, from cells where they reach, without what is left out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from service.clock import now_us
from service.counting.cell_store import CellStore
from service.ingest.frames import to_arrow
from service.past.backtesting import Backtest, CountedFrom, History, Progress, backtest, histories
from slo.cells import fold
from slo.corrections import Correction, Excluded
from slo.indicators.availability import Availability
from slo.objective import Objective
from telemetry.frame import Frame
from telemetry.requests import RequestRecord, Status

MINUTE = 60_000_000
HOUR = 60 * MINUTE
NOW = now_us() // HOUR * HOUR
OBJECTIVE = Objective(name="availability", indicator=Availability(), target=Decimal("0.99"))
OUTAGE = (NOW - 2 * HOUR, NOW - 2 * HOUR + 10 * MINUTE)


def request(at_us):
    failed = OUTAGE[0] <= at_us < OUTAGE[1]
    return RequestRecord(
        request_id=str(at_us),
        model="m",
        status=Status.ERROR if failed else Status.OK,
        started_at_us=at_us - 1_000,
        ended_at_us=at_us,
        e2e_us=1_000,
    )


REQUESTS = Frame.of("requests", [request(NOW - age) for age in range(6_000_000, 5 * HOUR, 6_000_000)][::-1])


@pytest.fixture
def history(facts):
    """Return five hours of ten requests a minute, all of which failed in ten minutes."""
    rows = to_arrow(REQUESTS)
    envelope = {
        "agent": "a",
        "boot": "b",
        "seq": 1,
        "block": 1,
        "received_at_us": NOW,
        "origin": "live",
        "dataset": "",
    }
    columns = {name: rows[name] for name in rows.column_names}
    columns |= {name: [value] * rows.num_rows for name, value in envelope.items()}
    facts.insert_block(1, {"requests": pa.table(columns)})
    return History(facts, lambda found: found)


def answered(history, range_us=4 * HOUR):
    *progress, last = backtest(history, [OBJECTIVE], range_us, now_us=NOW)
    assert isinstance(last, Backtest)
    return progress, last


def test_rows_are_counted_with_those_before_for_the_first_windows(history):
    progress, told = answered(history)
    assert [type(each) for each in progress] == [Progress] and progress[-1].share == 1
    assert (told.total - told.good, told.total, told.counted_from) == (100, 2_400, CountedFrom.ROWS)
    assert told.from_us == NOW - 4 * HOUR and told.reach_us == NOW - 5 * HOUR + 6_000_000
    assert OUTAGE[0] < told.alerts[0].from_us <= OUTAGE[1]


def test_cells_of_a_version_that_was_withdrawn_for_a_while_are_not_taken_for_all_there_was(history):
    before = fold(REQUESTS, OBJECTIVE)
    hole = before.take(before.bucket < (NOW - 3 * HOUR) // MINUTE)
    CellStore(history.facts.cells, clock=now_us).write(OBJECTIVE.version, MINUTE, hole, upto=1)
    told = answered(history)[1]
    assert (told.total, told.counted_from) == (2_400, CountedFrom.ROWS)


def test_cells_of_the_same_version_are_taken_where_they_reach(history):
    cells = fold(REQUESTS, OBJECTIVE)
    CellStore(history.facts.cells, clock=now_us).write(OBJECTIVE.version, MINUTE, cells, upto=1)
    history = replace(history, whole=lambda version: version == OBJECTIVE.version)
    progress, told = answered(history)
    assert progress == [] and told.counted_from is CountedFrom.CELLS
    assert (told.total - told.good, told.total) == (100, 2_400)


@pytest.mark.parametrize("excluded", Excluded)
def test_what_a_correction_leaves_out_would_not_have_alerted(history, excluded):
    corrections = {OBJECTIVE.name: (Correction(*OUTAGE, excluded),)}
    told = answered(History(history.facts, history.of_record, corrections=corrections.get))[1]
    assert (told.good, told.total, told.alerts) == (2_300, 2_300, ())


def test_a_range_longer_than_what_is_kept_begins_with_the_first_fact(history):
    told = answered(history, 30 * 24 * HOUR)[1]
    assert told.from_us == NOW - 5 * HOUR and told.total == len(
        np.unique(REQUESTS.numbers("ended_at_us").values)
    )


def test_nothing_kept_is_no_data(facts):
    assert histories(facts) == []
    told = answered(History(facts, lambda found: found))[1]
    assert (told.total, told.reach_us, told.alerts) == (0, None, ())
