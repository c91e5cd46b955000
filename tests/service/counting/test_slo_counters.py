"""Objectives as Prometheus counters: both of a group together, from 0, only growing."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from service.counting.slo_counters import GOOD_REQUESTS, REQUESTS, Grown, SloCounters
from slo.cells import Cells
from slo.indicators.ttft import Ttft
from slo.objective import Objective

OBJECTIVE = Objective(
    name="first-token", indicator=Ttft(limit_us=1_000_000), target=Decimal("0.99"), group_by=("model",)
)


def _cells(rows):
    keys = [(model,) for model, _, _, _ in rows]
    columns = np.array([[at, bucket, good, total] for at, (_, bucket, good, total) in enumerate(rows)]).T
    return Cells.of(keys, group=columns[0], bucket=columns[1], good=columns[2], total=columns[3])


def _page(grown):
    page = SloCounters(lambda: [(OBJECTIVE, grown.read())]).page().decode()
    return {
        (sample.name, sample.labels["objective"], sample.labels["model"]): (sample.value, sample.labels)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_a_group_appears_at_zero_and_then_tells_all_that_was_counted():
    grown = Grown()
    grown.add(_cells([("chat", 5, 2, 3), ("chat", 9, 0, 1)]))
    first, second = _page(grown), _page(grown)
    assert {name: value for name, (value, _) in first.items()} == {
        (REQUESTS, "first-token", "chat"): 0,
        (GOOD_REQUESTS, "first-token", "chat"): 0,
    }
    assert second[REQUESTS, "first-token", "chat"] == (4, {"objective": "first-token", "model": "chat"})
    assert second[GOOD_REQUESTS, "first-token", "chat"][0] == 2


def test_a_group_without_a_good_request_has_both_series():
    grown = Grown()
    grown.add(_cells([("chat", 5, 0, 7)]))
    _page(grown)
    assert [value for value, _ in _page(grown).values()] == [7, 0]


def test_a_group_known_from_before_a_restart_begins_at_zero_again():
    grown = Grown()
    grown.know([("chat",)])
    assert [value for value, _ in _page(grown).values()] == [0, 0]
    grown.add(_cells([("chat", 5, 1, 1)]))
    assert [value for value, _ in _page(grown).values()] == [1, 1]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 3), st.integers(3, 9)),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 20),
)
def test_counters_equal_a_plain_sum_however_the_counts_come(rows, cut):
    grown = Grown()
    for part in (rows[:cut], rows[cut:]):
        if part:
            grown.add(_cells(part))
    grown.read()
    told = {key: (good, total) for key, good, total in grown.read()}
    assert told == {
        (model,): (sum(r[2] for r in rows if r[0] == model), sum(r[3] for r in rows if r[0] == model))
        for model in {row[0] for row in rows}
    }
