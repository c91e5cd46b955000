"""Corrections over HTTP and by the command line: counted anew at the next tick, nothing deleted."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from inferometer.slo import app
from service.api.corrections import MOST_STANDING
from service.store.corrections import Ending
from telemetry.requests import Status

MODEL = "corrected"


@pytest.fixture
def admin(served):
    def call(method, path, **more):
        return served.call(method, f"/api/v1/{path}", token=served.admin, **more)

    return call


@pytest.fixture
def counted(admin):
    """Return (good, total) of the model's availability over its period."""

    def read():
        rows = admin("GET", "views/objectives", params={"name": "availability"}).json()["objectives"]
        found = [row for row in rows if row["group"].startswith(MODEL)]
        return (found[0]["good"], found[0]["total"]) if found else None

    return read


@pytest.fixture
def three_bad_of_five(served, batch, counted):
    """Send five requests of ten minutes ago, three of them failed, once."""
    at_us = time.time_ns() // 1_000 - 600_000_000
    if counted() is None:
        served.post(batch(2, boot="good", model=MODEL, ended_at_us=at_us, started_at_us=at_us - 1_000))
        failed = {
            "status": Status.ERROR,
            "model": MODEL,
            "ended_at_us": at_us,
            "started_at_us": at_us - 1_000,
        }
        served.post(batch(3, boot="bad", **failed))
        served.until(lambda: counted() == (2, 5))


def an_hour_around_then(**more):
    start = datetime.now(UTC) - timedelta(minutes=40)
    return {"start": f"{start:%Y-%m-%d %H:%M}", "duration": "1h", "why": "an upgrade", **more}


def test_a_correction_counts_at_the_next_tick_and_leaves_no_trace_when_withdrawn(
    served, admin, counted, three_bad_of_five
):
    made = admin("POST", "corrections", json=an_hour_around_then(exclude="bad", objectives=["availability"]))
    assert made.status_code == 201
    served.until(lambda: counted() == (2, 2))
    (row,) = [each for each in admin("GET", "corrections").json() if each["id"] == made.json()["id"]]
    assert (row["state"], row["why"], row["exclude"]) == ("stands", "an upgrade", "bad")
    assert len(row["times_us"]) == 1
    end = f"corrections/{row['id']}/end"
    assert admin("POST", end, json={"why": "was no upgrade", "withdraw": True}).status_code == 204
    served.until(lambda: counted() == (2, 5))
    (row,) = [each for each in admin("GET", "corrections").json() if each["id"] == row["id"]]
    assert (row["state"], row["ended_why"], row["times_us"]) == ("withdrawn", "was no upgrade", [])
    assert admin("POST", end, json={"why": "again"}).status_code == 404
    with served.state() as state:
        told = [(entry.action, entry.subject) for entry in state.audit.listed()]
    assert ("correct", row["id"]) in told and ("withdraw correction", row["id"]) in told


def test_one_that_was_ended_can_still_be_withdrawn_and_its_record_says_both(
    served, admin, counted, three_bad_of_five
):
    made = admin("POST", "corrections", json=an_hour_around_then(objectives=["availability"])).json()["id"]
    end = f"corrections/{made}/end"
    assert admin("POST", end, json={"why": "it is over"}).status_code == 204
    assert admin("POST", end, json={"why": "it is over"}).status_code == 404
    assert admin("POST", end, json={"why": "wrong day", "withdraw": True}).status_code == 204
    assert admin("POST", end, json={"why": "wrong day", "withdraw": True}).status_code == 404
    served.until(lambda: counted() == (2, 5))
    (row,) = [each for each in admin("GET", "corrections").json() if each["id"] == made]
    assert row["state"] == "withdrawn"
    assert row["ended_why"] == f"wrong day; before, ended by {row['ended_by']}: it is over"


def test_a_correction_of_another_objective_changes_nothing_here(served, admin, counted, three_bad_of_five):
    made = admin("POST", "corrections", json=an_hour_around_then(objectives=["ttft"])).json()["id"]
    time.sleep(1.5)
    assert counted() == (2, 5)
    admin("POST", f"corrections/{made}/end", json={"why": "test", "withdraw": True})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objectives": ["nothing"]}, "no objective is called 'nothing'"),
        ({"start": "soon"}, "start: 'soon' is not a local time"),
        ({"zone": "Mars"}, "no time zone is called 'Mars'"),
        ({"duration": "40d"}, "whole minutes, up to 31d"),
        ({"rrule": "FREQ=HOURLY"}, "is not a rule of days"),
        ({"rrule": "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2"}, "never comes"),
        ({"exclude": "good"}, "exclude"),
        ({"why": ""}, "why"),
    ],
)
def test_what_is_no_correction_is_refused_with_the_reason(admin, changes, words):
    answer = admin("POST", "corrections", json=an_hour_around_then(**changes))
    assert answer.status_code == 422 and words in json.dumps(answer.json())


def test_only_an_admin_corrects(served):
    answer = served.call(
        "POST", "/api/v1/corrections", token=served.token("read"), json=an_hour_around_then()
    )
    assert answer.status_code == 403


def test_the_history_of_an_objective_tells_its_versions(admin):
    (version,) = admin("GET", "objectives/availability/history").json()
    assert version["promise"].startswith("99.9 % of requests") and version["to_us"] is None
    assert admin("GET", "objectives/nothing/history").status_code == 404


@pytest.fixture
def slo(served, monkeypatch):
    """Run `inferometer slo ...` against the service; return what it printed."""
    monkeypatch.setenv("INFEROMETER_URL", served.url)
    monkeypatch.setenv("INFEROMETER_TOKEN", served.admin)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments):
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_the_command_line_adds_lists_and_ends(slo):
    weekly = ("--rrule", "FREQ=WEEKLY;BYDAY=SU", "--zone", "Europe/Berlin", "--why", "maintenance")
    made = slo("correct", "add", "--start", "2026-01-04 02:00", "--for", "2h", *weekly).strip()
    assert "every objective" in slo("correct", "list")
    assert slo("correct", "end", made, "--why", "moved").strip() == f"ended {made}"
    (row,) = [each for each in json.loads(slo("correct", "list", "--json")) if each["id"] == made]
    assert (row["state"], row["ended_why"], row["created_by"]) == ("ended", "moved", "first-admin")
    assert slo(
        "correct",
        "withdraw",
        slo("correct", "add", "--start", "2026-01-04 02:00", "--for", "2h", "--why", "x").strip(),
        "--why",
        "y",
    ).startswith("withdrew c-")


def test_the_command_line_tells_the_history(slo):
    assert "99.9 % of requests" in slo("history", "availability")


def test_so_many_corrections_may_stand_and_no_more(served, admin):
    body = an_hour_around_then(start="2020-01-01 00:00")
    made = admin("POST", "corrections", json=body).json()["id"]
    with served.state() as state:
        (one,) = [each for each in state.corrections.listed() if each.id == made]
        standing = sum(each.until_us is None for each in state.corrections.listed())
        more = [replace(one, id=f"more-{number}") for number in range(MOST_STANDING - standing)]
        state.corrections.replace(more, {})
        refused = admin("POST", "corrections", json=body)
        state.corrections.replace((), {each.id: Ending("test", 1, "over", 0) for each in (one, *more)})
    assert refused.status_code == 422 and "end those that are over" in refused.json()["detail"]
    assert admin("POST", "corrections", json=body).status_code == 201
