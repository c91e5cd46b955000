"""An engine as a source: samples while its page can be read, `up` false while it cannot."""

from __future__ import annotations

import pytest

from collector.scraping.engine_source import EngineSource
from collector.settings import EngineTarget
from telemetry.events import Event, EventKind
from telemetry.samples import EngineSample

NOW = 1_700_000_000_000_000
PAGE = (
    b'vllm:num_requests_running{engine="0",model_name="m"} 3\n'
    b'vllm:num_requests_running{engine="1",model_name="m"} 4\n'
    b"process_start_time_seconds 1000\n"
)


@pytest.fixture
def source(web):
    web.answer = lambda handler, _: handler.reply(
        200, b'{"version": "0.33.0"}' if handler.path == "/version" else web.page
    )
    web.page = PAGE
    target = EngineTarget(url=web.url + "/metrics", pool="chat")
    return EngineSource(target, host="node-1", timeout_seconds=2)


def samples(reading):
    return [record for record in reading.records if isinstance(record, EngineSample)]


def events(reading):
    return [record.kind for record in reading.records if isinstance(record, Event)]


def test_each_rank_is_a_replica_of_the_page(source, web):
    reading = source.read(NOW)
    port = web.url.rpartition(":")[2]
    assert reading.health.ok
    assert [sample.replica for sample in samples(reading)] == [f"node-1:{port}", f"node-1:{port}#1"]
    assert [sample.requests_running for sample in samples(reading)] == [3, 4]
    first = samples(reading)[0]
    assert (first.at_us, first.host, first.engine, first.engine_version) == (NOW, "node-1", "vllm", "0.33.0")
    assert (first.model, first.pool, first.up) == ("m", "chat", True)
    assert first.scrape_us > 0


def test_a_page_that_cannot_be_read_keeps_the_replicas_and_nothing_else(source, web):
    source.read(NOW)
    web.page = b"<html>no</html>"
    reading = source.read(NOW + 1)
    assert not reading.health.ok and "HTML" in reading.health.error
    assert [(one.up, one.requests_running, one.model) for one in samples(reading)] == [(False, None, "m")] * 2


def test_a_page_without_engine_series_says_what_to_do(source, web):
    source.read(NOW)
    web.page = b"python_info 1\n"
    assert "--disable-log-stats" in source.read(NOW).health.error


def test_an_engine_that_was_never_there_is_a_replica_that_is_down():
    source = EngineSource(EngineTarget(url="http://127.0.0.1:1/metrics"), host="node-1", timeout_seconds=1)
    reading = source.read(NOW)
    (sample,) = samples(reading)
    assert (sample.replica, sample.up, sample.engine) == ("node-1:1", False, "unknown")
    assert "Connection refused" in reading.health.error


def test_a_bad_family_is_in_the_health_and_the_rest_in_the_sample(source, web):
    web.page = PAGE + b"vllm:num_requests_waiting oops\n"
    reading = source.read(NOW)
    assert samples(reading)[0].requests_running == 3
    assert not reading.health.ok and "vllm:num_requests_waiting" in reading.health.error


def test_a_restart_is_told_once_for_each_replica(source, web):
    assert events(source.read(NOW)) == [EventKind.ENGINE_START] * 2
    assert events(source.read(NOW)) == []
    web.page = PAGE.replace(b"1000", b"2000")
    assert events(source.read(NOW)) == [EventKind.ENGINE_RESTART] * 2
    assert events(source.read(NOW)) == []


def test_the_version_is_asked_once_a_start(source, web):
    for _ in range(3):
        source.read(NOW)
    assert [path for path, _, _ in web.asked].count("/version") == 1


def test_a_page_that_costs_its_server_dear_is_left_in_peace(source, web):
    import time

    def slow(handler, _):
        time.sleep(0.3 if handler.path == "/metrics" else 0)
        handler.reply(200, PAGE)

    web.answer = slow
    source.read(NOW)
    asked = len(web.asked)
    rest = source.read(NOW)
    assert rest.health.ok and rest.records == ()
    assert len(web.asked) == asked
