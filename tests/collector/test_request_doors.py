"""Spans and log lines through the whole agent to the service."""

from __future__ import annotations

import json
import time
import urllib.request

import pytest

from collector.agent import Agent
from collector.settings import LogTarget, Settings, SettingsError, load
from telemetry.wire import split


def rows(web, table):
    batches = [body for path, _, body in list(web.asked) if path == "/api/v1/batches"]
    return sum(part.rows for body in batches for part in split(body)[1] if part.table == table)


@pytest.fixture
def agent(tmp_path, web):
    """An agent whose doors are a log and an OTLP port."""
    started = []

    def start(**given):
        settings = Settings(
            server=web.url, token="t", host="node-1", data_dir=tmp_path / "agent", listen=("127.0.0.1", 0),
            gpus=False, find_engines=False, seal_seconds=0.1, interval_seconds=0.1, otlp=("127.0.0.1", 0),
            request_logs=(LogTarget(path=tmp_path / "requests.jsonl"),), **given,
        )  # fmt: skip
        started.append(Agent(settings))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()


def test_spans_and_lines_reach_the_service_and_are_counted(agent, web, tmp_path, eventually):
    running, end = agent(), time.time_ns()
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "startTimeUnixNano": str(end - 10**9),
        "endTimeUnixNano": str(end),
        "attributes": [{"key": "gen_ai.latency.e2e", "value": {"doubleValue": 1.0}}],
    }
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span, span]}]}]}).encode()
    kind = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(running.doors.otlp.url, body, kind), timeout=5)
    line = json.dumps({"id": "a", "status": "success", "startTime": end / 1e9 - 1, "endTime": end / 1e9})
    (tmp_path / "requests.jsonl").write_text(f"{line}\nno line\n")
    eventually(lambda: rows(web, "requests") == 2)
    page = running.exporter.page().decode()
    assert 'inferometer_agent_otlp_spans_total{outcome="repeated"} 1.0' in page
    assert f'inferometer_agent_log_records_total{{path="{tmp_path}/requests.jsonl"}} 1.0' in page
    assert f'inferometer_agent_log_lines_refused_total{{path="{tmp_path}/requests.jsonl"}} 1.0' in page


def test_names_past_the_bounds_are_counted(agent, tmp_path, eventually):
    running, now = agent(), time.time()
    lines = [
        {"id": f"{n}", "model": f"m{n}", "status": "success", "startTime": now, "endTime": now}
        for n in range(203)
    ]
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = f'inferometer_agent_names_folded_total{{door="{tmp_path}/requests.jsonl"}} 3.0'
    eventually(lambda: told in running.exporter.page().decode())


def test_a_restarted_agent_reads_no_line_twice(agent, web, tmp_path, eventually):
    first, log = agent(), tmp_path / "requests.jsonl"
    line = json.dumps({"status": "success", "startTime": time.time(), "endTime": time.time()}) + "\n"
    log.write_text(line)
    eventually(lambda: rows(web, "requests") == 1)
    first.stop()
    log.write_text(line + line)
    agent()
    eventually(lambda: rows(web, "requests") == 2)
    time.sleep(0.5)
    assert rows(web, "requests") == 2


def test_a_log_that_cannot_be_read_is_told_and_harms_nobody(agent, tmp_path, eventually):
    (tmp_path / "requests.jsonl").mkdir()
    running = agent()
    eventually(
        lambda: "log_unreadable{" in (page := running.exporter.page().decode()) and 'jsonl"} 1.0' in page
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"otlp": "4318"}, "otlp = '4318': must be ADDRESS:PORT"),
        ({"request_logs": [{"format": "litellm"}]}, "a request log is a path"),
        ({"request_logs": [{"path": "x", "format": "nginx"}]}, "nginx: neither litellm nor a .toml file"),
        ({"request_logs": ["x"] * 17}, "at most 16 request logs"),
        ({"hostname_label": "HOST"}, "must be one of Hostname, hostname"),
    ],
)
def test_a_mistake_in_the_settings_is_told(given, told):
    with pytest.raises(SettingsError) as error:
        load(None, {}, given)
    assert told in str(error.value)


def test_the_environment_can_name_them_too():
    settings = load(
        None, {"INFEROMETER_AGENT_OTLP": "127.0.0.1:4318", "INFEROMETER_AGENT_REQUEST_LOGS": "a, b"}
    )
    assert settings.otlp == ("127.0.0.1", 4318)
    assert [target.path.name for target in settings.request_logs] == ["a", "b"]
