"""Facts that come late to a service that runs: each in its own minute, in every window that still holds it."""

from __future__ import annotations

import json
import time

import pytest

S = 1_000_000
MINUTE, HOUR = 60 * S, 3_600 * S
LATE_US = 24 * HOUR - 5 * MINUTE
"""Nearly as late as the door lets in: of the eight windows all but the day's and longer have passed it."""
TTFT = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: late-ttft}
spec:
  service: chat
  indicator:
    metadata: {name: late-ttft}
    spec:
      thresholdMetric: {metricSource: {type: inferometer, spec: {indicator: ttft}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{op: lte, value: 2, targetPercent: 99}]
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory, serving):
    home = tmp_path_factory.mktemp("late")
    (home / "ttft.yaml").write_text(TTFT)
    with serving(home, OBJECTIVES=json.dumps([str(home / "ttft.yaml")])) as running:
        yield running


def promise(house):
    rows = house.call("GET", "/api/v1/views/objectives", params={"name": "late-ttft"}).json()["objectives"]
    return rows[0] if rows else {"total": 0}


def spending_minutes(house):
    """Return when the budget fell, as the page draws it."""
    address = {"name": "late-ttft", "range": "7d"}
    told = house.call("GET", "/api/v1/views/objectives", params=address).json()["selected"]["budget"]
    left = told["left"]
    return [at for at, before, after in zip(told["at"], left, left[1:], strict=False) if after < before]


def test_a_fact_a_day_late_moves_every_window_that_holds_its_minute_by_the_next_tick(house, batch):
    now = time.time_ns() // 1_000
    timed = {"ttft_us": 9 * S, "e2e_us": 10 * S, "stream": True}
    house.post(batch(99, boot="today", **{**timed, "ttft_us": S}))
    house.until(lambda: promise(house)["total"] == 99)
    assert set(promise(house)["burn"].values()) == {0.0}

    at_us = now - LATE_US
    late = batch(boot="yesterday", ended_at_us=at_us, started_at_us=at_us - 10 * S, rows=1, **timed)
    assert house.post(late).status_code == 202
    house.until(lambda: promise(house)["total"] == 100, seconds=5)
    told = promise(house)
    assert told["good"] == 99
    assert {name for name, burn in told["burn"].items() if burn == 1.0} == {"1d", "3d", "30d"}
    assert {name for name, burn in told["burn"].items() if burn == 0.0} == {"5m", "30m", "1h", "2h", "6h"}

    # What is drawn is read from the stored cells, which follow within seconds.
    house.until(lambda: spending_minutes(house) == [at_us // MINUTE * MINUTE // 1_000])


def test_a_fact_that_is_later_than_a_day_is_refused_with_its_time(house, batch):
    at_us = time.time_ns() // 1_000 - 25 * HOUR
    answer = house.post(batch(1, ended_at_us=at_us, started_at_us=at_us - S))
    assert answer.status_code == 422 and "24" in answer.json()["detail"]
