"""Where pages are closed, nothing is told without a token; a browser's token becomes a cookie."""

from __future__ import annotations

import httpx
import pytest

CLOSED = ["views/overview", "alerts", "notifications", "silences", "agents", "gpus", "stream"]


@pytest.fixture
def browser(served):
    with httpx.Client(base_url=served.url, timeout=20) as client:
        yield client


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_is_told_without_a_token(served, path):
    answer = served.call("GET", f"/api/v1/{path}")
    assert answer.status_code == 401 and "inferometer token create" in answer.json()["detail"]


def test_a_readers_token_becomes_a_cookie_that_scripts_cannot_read(served, browser):
    answer = browser.post("/api/v1/session", json={"token": served.token("read")})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert browser.get("/api/v1/agents").status_code == 200
    assert browser.delete("/api/v1/session").status_code == 204
    assert browser.get("/api/v1/agents").status_code == 401


def test_an_unknown_token_opens_no_session(browser):
    assert browser.post("/api/v1/session", json={"token": "inf_no"}).status_code == 401
    assert browser.post("/api/v1/session", json={"token": "\u20ac" * 300}).status_code == 422


def test_an_agents_token_opens_no_session(served, browser):
    answer = browser.post("/api/v1/session", json={"token": served.token("agent")})
    assert answer.status_code == 403 and "pages need read or admin" in answer.json()["detail"]


def test_a_reader_may_not_change_anything(served):
    answer = served.call("DELETE", "/api/v1/gpus/GPU-1", token=served.token("read"))
    assert answer.status_code == 403


def test_health_and_metrics_are_told_to_anyone(served):
    assert served.call("GET", "/health").json() == {"ok": True, "reasons": [], "notes": []}
    assert served.call("GET", "/metrics").status_code == 200


def test_no_page_comes_from_another_host(served):
    assert served.call("GET", "/docs").status_code == 404
