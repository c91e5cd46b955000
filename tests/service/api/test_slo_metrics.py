"""The counters of objectives over HTTP: for those who may read, once requests have come."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from service.counting.slo_counters import GOOD_REQUESTS, REQUESTS
from telemetry.requests import Status


def _counted(served, model):
    page = served.call("GET", "/metrics/slo", token=served.token("read")).text
    samples = [each for family in text_string_to_metric_families(page) for each in family.samples]
    wanted = {"objective": "availability", "model": model}
    return {each.name: each.value for each in samples if wanted.items() <= each.labels.items()}


def test_the_names_of_tenants_are_not_told_to_anyone(served):
    assert served.call("GET", "/metrics/slo").status_code == 401
    assert served.call("GET", "/metrics/slo", token=served.token("agent")).status_code == 403


def test_requests_that_came_are_in_both_counters(served, batch):
    served.post(batch(rows=2, model="counted"))
    served.until(lambda: _counted(served, "counted") == {REQUESTS: 2, GOOD_REQUESTS: 2})
    served.post(batch(rows=5, model="counted", status=Status.ERROR))
    served.until(lambda: _counted(served, "counted") == {REQUESTS: 7, GOOD_REQUESTS: 2})
