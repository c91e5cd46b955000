"""Asking the past over HTTP: progress and answers line by line, from what was stored."""

from __future__ import annotations

import json

OBJECTIVE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: past-ttft}
spec:
  service: chat
  indicator:
    metadata: {name: past-ttft}
    spec:
      thresholdMetric: {metricSource: {type: inferometer, spec: {indicator: ttft, model: past}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{op: lte, value: 2, targetPercent: 99}]
"""


def asked(served, text=OBJECTIVE, **query):
    headers = {"content-type": "application/yaml"}
    return served.call(
        "POST", "/api/v1/backtests", token=served.token("read"), content=text, headers=headers, params=query
    )


def test_stored_requests_are_judged_by_an_objective_that_was_never_in_force(served, batch):
    served.post(batch(rows=50, model="past", stream=True, ttft_us=5_000_000, e2e_us=6_000_000))
    served.until(served.everything_is_stored)
    *progress, last = [json.loads(line) for line in asked(served, range="1d").text.splitlines()]
    assert progress[-1] == {"progress": 1.0, "objective": "past-ttft"}
    told = last["backtest"]
    assert (told["good"], told["total"], told["counted_from"]) == (0, 50, "stored rows")
    assert [alert["severity"] for alert in told["alerts"]] == ["page", "ticket"]
    assert told["alerts"][0]["burn"] == 100 and told["alerts"][0]["to_us"] is None


def test_who_may_not_read_may_not_ask(served):
    answer = served.call("POST", "/api/v1/backtests", content=OBJECTIVE)
    assert answer.status_code == 401


def test_mistakes_and_ranges_are_told(served):
    assert asked(served, range="99d").status_code == 422
    refused = asked(served, text=OBJECTIVE.replace("ttft,", "ttfft,"))
    assert refused.status_code == 422 and "did you mean ttft" in refused.json()["detail"]


def test_forecasts_are_answered_and_a_young_service_has_none(served):
    assert served.call("GET", "/api/v1/forecasts", token=served.token("read")).json() == []
    assert served.call("GET", "/api/v1/forecasts").status_code == 401
