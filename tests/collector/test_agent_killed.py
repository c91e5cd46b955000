"""kill -9 at any moment: what was sealed arrives, and the service can tell a repeat from a new one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter

import pytest

from journal import Journal, Limits
from telemetry.wire import split

PROGRAM = """
import sys
from pathlib import Path
from collector.agent import run
from collector.settings import Settings
from telemetry.samples import GpuSample
from telemetry.source import Health, Reading

class Simulated:
    name = "simulated"
    def read(self, now_us):
        sample = GpuSample(at_us=now_us, gpu_uuid="GPU-sim", host="node-1", kernel_busy_ratio=0.5)
        return Reading(records=(sample,) * 5, health=Health(source=self.name, at_us=now_us, took_us=1, ok=True))
    def close(self):
        pass

sys.exit(run(Settings(
    server=sys.argv[1], token="t", host="node-1", data_dir=Path(sys.argv[2]), listen=("127.0.0.1", 0),
    gpus=False, find_engines=False, interval_seconds=0.1, seal_seconds=0.1,
), sources=[Simulated()]))
"""


@pytest.fixture
def launch(web, tmp_path):
    running = []

    def start():
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, web.url, str(tmp_path)])
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def identity(body):
    header, _ = split(body)
    return header.boot, header.seq


def spooled(tmp_path):
    journal = Journal.open(tmp_path / "spool.db", Limits(drop_oldest=True), readers=("ship",))
    entries = {(entry.boot, entry.seq) for entry in journal.read(0)}
    journal.close()
    return entries


def test_every_sealed_batch_arrives_once(launch, web, tmp_path, eventually):
    accepted = []
    chance = random.Random(7)

    def answer(handler, body):
        if chance.random() < 0.5:
            handler.reply(503, b"", {"Retry-After": "0.05"})
            return
        accepted.append(identity(body))
        handler.reply(200, b"")

    web.answer = answer
    kills, sealed = 3, set()
    for _ in range(kills):
        seen = len(web.asked)
        process = launch()
        eventually(lambda seen=seen: len(web.asked) >= seen + chance.randint(1, 8), seconds=20)
        process.send_signal(signal.SIGKILL)
        process.wait()
        sealed |= spooled(tmp_path) | set(accepted)
    seen = len(web.asked)
    last = launch()
    # Its own first word, too: before it Python may not have taken up SIGTERM yet.
    eventually(lambda: sealed <= set(accepted) and len(web.asked) > seen, seconds=20)
    last.send_signal(signal.SIGTERM)
    assert last.wait(10) == 0

    repeats = sum(count - 1 for count in Counter(accepted).values())
    assert repeats <= kills  # only what was under way at a kill, and it bears the same identity
    for boot in {boot for boot, _ in accepted}:
        numbers = sorted(
            {number for one, number in accepted if one == boot}
            | {n for b, n in spooled(tmp_path) if b == boot}
        )
        assert numbers == list(range(1, len(numbers) + 1))


def test_sigterm_seals_what_was_measured_and_ends_well(launch, web, tmp_path, eventually):
    web.status = 503
    process = launch()
    eventually(lambda: web.asked, seconds=20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert spooled(tmp_path)


def test_a_second_agent_on_the_same_spool_does_not_start(launch, web, eventually):
    web.status = 200
    launch()
    eventually(lambda: web.asked, seconds=20)
    assert launch().wait(20) == 1
