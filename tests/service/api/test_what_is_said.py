"""The service's own metrics and its description are whole, parse, and are documented."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.own_metrics import SERIES


@pytest.fixture(scope="module")
def app():
    """Return the application; nothing of the service is asked before a request comes."""
    return create_app(SimpleNamespace())


def test_the_metrics_page_parses_and_holds_only_known_series(served, batch):
    served.post(batch())
    page = served.call("GET", "/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(page)}
    known = {series.exported.removesuffix("_total"): series for series in SERIES}
    assert families.keys() <= known.keys()
    assert {name for name, series in known.items() if series.counts and not series.label} <= families.keys()
    assert served.metric("evaluations_total") >= 1


def test_the_description_builds(served):
    described = served.call("GET", "/openapi.json").json()
    assert "/api/v1/batches" in described["paths"]


def test_every_endpoint_is_documented(app, repository):
    text = (repository / "docs" / "api.md").read_text()
    described = [
        (method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods
    ]
    assert len(described) > 10
    assert [each for each in described if f"`{each[0]} {each[1]}`" not in text] == []


def test_every_metric_is_documented(repository):
    text = (repository / "docs" / "operations.md").read_text()
    assert [series.exported for series in SERIES if f"`{series.exported}`" not in text] == []


def test_the_documents_name_no_endpoint_and_no_metric_that_is_not_there(app, repository):
    paths = app.openapi()["paths"]
    said = [
        line.split("`")[1]
        for line in (repository / "docs" / "api.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert [each for each in said if each.split(" ")[1] not in paths] == []
    told = [
        line.split("`")[1]
        for line in (repository / "docs" / "operations.md").read_text().splitlines()
        if line.startswith("| `inferometer_service_")
    ]
    assert set(told) == {series.exported for series in SERIES}
