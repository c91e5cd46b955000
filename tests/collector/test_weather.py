"""Bad weather: the service away, slow or refusing, a full disk, a stepped clock, a second agent."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from itertools import pairwise

import pytest

from collector import shipper as shipping
from collector.agent import Agent
from collector.clock import HostClock
from collector.settings import Settings
from collector.shipper import Pace, Shipper
from collector.web import Answer, WebError, WebTooLate
from journal import Journal, Limits, Sealed
from telemetry.wire import split

HOUR = 3600.0


@pytest.fixture
def journal(tmp_path):
    opened = Journal.open(tmp_path / "spool.db", Limits(drop_oldest=True), readers=("ship",))
    yield opened
    opened.close()


class World:
    """Virtual time: a batch is sealed every ten seconds, and `answer` says what the service does."""

    def __init__(self, journal, answer):
        self.journal, self.answer = journal, answer
        self.now, self.sealed = 0.0, 0
        self.arrived, self.pauses = [], []

    def shipper(self, backlog_per_second=20.0):
        pace = Pace(
            monotonic=lambda: self.now, pause=self.pause, await_batch=lambda _, wait: self.go_on(wait)
        )
        made = Shipper(
            self.journal, self, clock=HostClock(), backlog_per_second=backlog_per_second, pace=pace
        )
        made.begin()
        return made

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.go_on(seconds)

    def go_on(self, seconds):
        self.now += seconds
        while (self.sealed + 1) * 10 <= self.now:
            self.sealed += 1
            batch = Sealed(agent="a", boot="b", seq=self.sealed, received_at_us=1, body=b"%d" % self.sealed)
            self.journal.append(batch).result(5)

    def post(self, body):
        self.now += 0.01
        status = self.answer(self.now)
        if status is None:
            raise WebError("POST: nobody answers")
        if status == 200:
            self.arrived.append((self.now, int(body)))
        return Answer(status=status, headers={}, body=b"", took_us=1)


def test_an_outage_of_hours_drains_newest_first_at_its_share(journal):
    world = World(journal, lambda now: None if now < HOUR else 200)
    shipper = world.shipper(backlog_per_second=5.0)
    while world.now < HOUR or journal.stats().batches:
        shipper.step()
    assert sorted(seq for _, seq in world.arrived) == list(range(1, world.sealed + 1))
    back = world.arrived[0][0]
    backlog = [(at, seq) for at, seq in world.arrived if seq * 10 <= back]
    fresh = [at - seq * 10 for at, seq in world.arrived if seq * 10 > back]
    assert [seq for _, seq in backlog] == list(range(len(backlog), 0, -1)) and len(backlog) >= 360
    assert all(later - at > 0.199 for (at, _), (later, _) in pairwise(backlog))
    assert fresh and max(fresh) < 0.5
    assert max(world.pauses) <= 30.0  # so long may it take to see that the service is back


@pytest.mark.parametrize("status", [401, 403, 426])
def test_what_only_a_person_can_mend_is_tried_once_a_minute_and_keeps_the_spool(journal, status):
    world = World(journal, lambda now: status if now < HOUR / 2 else 200)
    shipper = world.shipper()
    while world.now < HOUR / 2:
        shipper.step()
    assert set(world.pauses) == {60.0} and len(world.pauses) <= 31
    assert shipper.trouble and journal.stats().batches == world.sealed
    while journal.stats().batches:
        shipper.step()
    assert len(world.arrived) == world.sealed and shipper.trouble is None


def test_a_service_that_answers_too_slowly_is_no_answer_and_loses_nothing(
    journal, web, eventually, monkeypatch
):
    monkeypatch.setattr(shipping, "_TIMEOUT_SECONDS", 0.2)
    slow = [True]

    def answer(handler, body):
        if slow[0]:
            time.sleep(0.5)
        handler.reply(200, b"")

    web.answer = answer
    shipper = Shipper(journal, shipping.Link(web.url, "t"), clock=HostClock(), backlog_per_second=1_000.0)
    shipper.start()
    journal.append(Sealed(agent="a", boot="b", seq=1, received_at_us=1, body=b"1")).result(5)
    eventually(lambda: shipper.answers["none"])
    assert "no whole answer within 0.2 s" in shipper.trouble and journal.stats().batches == 1
    slow[0] = False
    eventually(lambda: not journal.stats().batches)
    shipper.stop(grace_seconds=5)


def test_a_service_that_became_slow_gets_a_batch_once_a_try(web, monkeypatch):
    monkeypatch.setattr(shipping, "_TIMEOUT_SECONDS", 0.2)
    link = shipping.Link(web.url, "t")
    assert link.post(b"first").status == 200  # the connection is kept
    web.answer = lambda handler, _: (time.sleep(0.5), handler.reply(200, b""))
    with pytest.raises(WebTooLate):
        link.post(b"second")
    link.close()
    assert [body for _, _, body in web.asked] == [b"first", b"second"]


def alone(tmp_path, name, **given):
    return Settings(
        data_dir=tmp_path / name, gpus=False, find_engines=False, interval_seconds=0.1,
        **{"host": "node-1", "listen": ("127.0.0.1", 0), "seal_seconds": 0.1, **given},
    )  # fmt: skip


@pytest.fixture
def run_agent(tmp_path):
    running = []

    def start(name="agent", **given):
        running.append(Agent(alone(tmp_path, name, **given)))
        running[-1].start()
        return running[-1]

    yield start
    for agent in running:
        agent.stop()


def test_a_second_agent_of_a_host_is_told_until_the_first_has_gone(run_agent, eventually, caplog):
    host = uuid.uuid4().hex  # other tests run beside this one
    first, second = run_agent("one", host=host), run_agent("two", host=host)
    assert b"inferometer_agent_duplicate 0.0" in first.exporter.page()
    assert b"inferometer_agent_duplicate 1.0" in second.exporter.page()
    assert f"another agent measures {host}" in caplog.text
    first.stop()
    eventually(lambda: b"inferometer_agent_duplicate 0.0" in second.exporter.page())


def test_a_port_that_is_taken_is_told_with_a_hint(run_agent, tmp_path):
    taken = run_agent("one").exporter.url.removeprefix("http://127.0.0.1:").removesuffix("/metrics")
    with pytest.raises(
        OSError, match=f"listen on 127.0.0.1:{taken}: Address already in use; does another agent"
    ):
        Agent(alone(tmp_path, "two", listen=("127.0.0.1", int(taken))))


def test_a_clock_that_was_set_is_an_event(run_agent, web, eventually, monkeypatch):
    agent = run_agent(server=web.url, token="t")
    measured = HostClock._measured
    monkeypatch.setattr(HostClock, "_measured", staticmethod(lambda: measured() + 3_600_000_000))

    def told():
        bodies = [body for path, _, body in list(web.asked) if path == "/api/v1/batches"]
        parts = [part for body in bodies for part in split(body)[1] if part.table == "events"]
        return any(b"clock was set by +3600" in bytes(part.stream) for part in parts)

    eventually(told)
    assert b"inferometer_agent_clock_steps_total 1.0" in agent.exporter.page()
    assert abs(agent.clock.now_us() - measured() - time.monotonic_ns() // 1_000 - 3_600_000_000) < 1_000_000


FULL = """
import resource, sys
from pathlib import Path
from collector.agent import run
from collector.settings import Settings
from telemetry.samples import GpuSample
from telemetry.source import Health, Reading

class Loud:
    name = "loud"
    def read(self, now_us):
        rows = tuple(GpuSample(at_us=now_us, gpu_uuid=f"GPU-{now_us}-{n}", host="n") for n in range(300))
        return Reading(records=rows, health=Health(source=self.name, at_us=now_us, took_us=1, ok=True))
    def close(self):
        pass

resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
sys.exit(run(Settings(
    server="http://127.0.0.1:1", token="t", host="full", data_dir=Path(sys.argv[1]), listen=("127.0.0.1", int(sys.argv[2])),
    gpus=False, find_engines=False, interval_seconds=0.1, seal_seconds=0.1, buffer_bytes=1 << 20,
), sources=[Loud()]))
"""


def test_a_full_disk_drops_the_oldest_aloud_and_the_agent_goes_on(tmp_path, eventually):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", FULL, str(tmp_path), str(port)], stderr=subprocess.DEVNULL
    )

    def series(name):
        try:
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        except OSError:
            return 0.0
        return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name))

    try:
        dropped = ("inferometer_agent_spool_batches_dropped_total ", "inferometer_agent_rows_dropped_total{")
        eventually(
            lambda: series("inferometer_agent_spool_refusals_total ") or any(map(series, dropped)), seconds=20
        )
        eventually(lambda: any(map(series, dropped)), seconds=20)
        reads = series("inferometer_agent_reads_total{")
        eventually(lambda: series("inferometer_agent_reads_total{") > reads + 5)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
