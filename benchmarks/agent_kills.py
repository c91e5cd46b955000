"""Kill -9 of the agent under load, and a service that is away for six hours: what arrives?

1. A real agent takes request records by its socket and readings by its sources, and is killed at
   random moments, its start included, while its service now and then refuses, or takes a batch and
   hangs up without a word. Every batch that was ever sealed must arrive, a repeat must be the very
   same bytes under the same identity. Records go in order, so those that a kill cost, which were
   not sealed yet, are one run: there may be no more runs of lost records than kills.
2. The real spool and the real shipper in virtual time: batches of six hours wait while nobody
   answers. When the service is back all must arrive once, fresh ones first and the backlog newest
   first, at its bounded share.

    python benchmarks/agent_kills.py [--kills 200] [--hours 6] [--seed 1] [--out FILE]

Prints one JSON object; exit status 1 when a sealed batch is lost or altered, records are lost
without a kill, or the outage does not drain as it must.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path

import pyarrow as pa
from parts.telling import tell
from parts.waiting import until

from collector.clock import HostClock
from collector.requests.socket import RecordSender
from collector.shipper import READER, Pace, Shipper
from collector.web import Answer, WebError
from journal import Journal, Limits, Sealed
from telemetry.requests import RequestRecord, Status
from telemetry.wire import split

ROOT = Path(__file__).resolve().parents[1]
SEAL_SECONDS = 0.2
RECORDS_PER_SECOND = 300
LONGEST_LIFE_SECONDS = 2.5
LIMITS = Limits(max_bytes=2 << 30, max_lag_seconds=None, drop_oldest=True)
BATCH_SECONDS = 2.0
BACKLOG_PER_SECOND = 20.0
POST_SECONDS = 0.005
BODY = bytes(8_000)
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
        return Reading(records=(sample,) * 20, health=Health(source=self.name, at_us=now_us, took_us=1, ok=True))
    def close(self):
        pass

sys.exit(run(Settings(
    server=sys.argv[1], token="t", host="node-1", data_dir=Path(sys.argv[2]), listen=("127.0.0.1", 0),
    gpus=False, find_engines=False, interval_seconds=0.1, seal_seconds=float(sys.argv[3]),
), sources=[Simulated()]))
"""
Identity = tuple[str, int]


class Door(ThreadingHTTPServer):
    """A service that keeps what it takes by identity, and is at times in a bad mood."""

    daemon_threads = True

    def __init__(self, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: dict[Identity, bytes] = {}
        self.repeats = self.altered = 0
        self.records: set[str] = set()
        self.moody = True
        self.lock = threading.Lock()
        self.chance = random.Random(seed)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def mood(self) -> str:
        roll = self.chance.random() if self.moody else 1.0
        return "refuse" if roll < 0.15 else "hang up" if roll < 0.3 else "answer"

    def take(self, body: bytes) -> None:
        header, parts = split(body)
        digest = hashlib.sha256(body).digest()
        with self.lock:
            known = self.taken.setdefault((header.boot, header.seq), digest)
            if known != digest:
                self.altered += 1
            for part in parts:
                if part.table == "requests":
                    rows = pa.ipc.open_stream(part.stream).read_all()
                    self.records.update(rows["request_id"].to_pylist())

    def handle_error(self, request, client_address) -> None:
        """An agent that was killed hangs up: that is the point."""


class _Handler(BaseHTTPRequestHandler):
    server: Door
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        mood = self.server.mood()
        if mood != "refuse":
            header, _ = split(body)
            self.server.repeats += (header.boot, header.seq) in self.server.taken
            self.server.take(body)
        if mood == "hang up":
            self.close_connection = True
            return
        self.send_response(200 if mood == "answer" else 503)
        self.send_header("Retry-After", "0.05")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Load(threading.Thread):
    """Hands records to the agent, or waits for it, at a steady rate; remembers when each was handed over."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.sender = RecordSender(path)
        self.sent_at: dict[str, float] = {}
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(1 / RECORDS_PER_SECOND):
            name, at_us = f"r{len(self.sent_at)}", time.time_ns() // 1_000
            self.sent_at[name] = time.monotonic()
            self.sender.send(
                RequestRecord(
                    request_id=name,
                    model="m",
                    status=Status.OK,
                    started_at_us=at_us,
                    ended_at_us=at_us,
                    e2e_us=0,
                )
            )

    def finish(self) -> None:
        self.done.set()
        self.join()
        until(lambda: not self.sender.waiting, 60, "every record was handed over")
        self.sender.close()


def launched(url: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, url, str(folder), str(SEAL_SECONDS)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


def spooled(folder: Path) -> set[Identity]:
    """Return what lies sealed in the spool of an agent that does not run."""
    if not (folder / "spool.db").exists():
        return set()
    journal = Journal.open(folder / "spool.db", LIMITS, readers=(READER,))
    try:
        return {(entry.boot, entry.seq) for entry in journal.read(0, max_batches=100_000)}
    finally:
        journal.close()


def gaps(taken: dict[Identity, bytes]) -> int:
    """Return how many numbers are missing before the last one of each boot."""
    last = Counter[str]()
    for boot, seq in taken:
        last[boot] = max(last[boot], seq)
    return last.total() - len(taken)


def killed(folder: Path, kills: int, seed: int) -> dict[str, object]:
    """Kill an agent so often; return what arrived and what did not."""
    folder.mkdir()
    door, chance, begun = Door(seed), random.Random(seed), time.monotonic()
    load = Load(folder / "records.sock")
    load.start()
    sealed: set[Identity] = set()
    killed_at: list[float] = []
    for _ in range(kills):
        process = launched(door.url, folder)
        time.sleep(chance.uniform(0.0, LONGEST_LIFE_SECONDS))
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_at.append(time.monotonic())
        sealed |= spooled(folder)
    door.moody = False
    last = launched(door.url, folder)
    load.finish()
    time.sleep(5 * SEAL_SECONDS)
    last.send_signal(signal.SIGTERM)
    last.wait(60)
    rest = launched(door.url, folder)
    until(lambda: sealed <= door.taken.keys(), 120, "every sealed batch arrived")
    rest.send_signal(signal.SIGTERM)
    rest.wait(60)
    lost = [name for name in load.sent_at if name not in door.records]
    ages = [_age_at_a_kill(load.sent_at[name], killed_at) for name in lost]
    return {
        "kills": kills,
        "seconds": round(time.monotonic() - begun),
        "boots_that_sealed": len({boot for boot, _ in door.taken}),
        "batches_sealed": len(sealed | door.taken.keys()),
        "batches_lost": len(sealed - door.taken.keys()) + gaps(door.taken),
        "batches_repeated": door.repeats,
        "batches_altered": door.altered,
        "records_handed_over": len(load.sent_at),
        "records_lost": len(lost),
        "records_lost_a_kill": round(len(lost) / kills, 1),
        "runs_of_lost_records": _runs(load.sent_at, door.records),
        "age_of_a_lost_record_at_its_kill_seconds": _spread(ages),
        "seal_seconds": SEAL_SECONDS,
    }


def _spread(ages: list[float]) -> dict[str, float]:
    """Return median, 99th percentile and largest of some ages; zeros for none."""
    ordered = sorted(ages) or [0.0]
    told = {
        "median": statistics.median(ordered),
        "p99": ordered[int(0.99 * len(ordered))],
        "most": ordered[-1],
    }
    return {name: round(seconds, 2) for name, seconds in told.items()}


def _age_at_a_kill(sent_at: float, killed_at: list[float]) -> float:
    """Return how long before the next kill a record was handed over; it lay unsealed then."""
    return min((at - sent_at for at in killed_at if at >= sent_at), default=float("inf"))


def _runs(sent: Iterable[str], arrived: set[str]) -> int:
    """Return how many runs of records, in the order of handing over, did not arrive."""
    return sum(1 for missing, _ in groupby(sent, lambda name: name not in arrived) if missing)


class Virtual:
    """Hours that pass in seconds: seals a batch every two of them, and a service that is away at first."""

    def __init__(self, journal: Journal, away_seconds: float) -> None:
        self.now = 0.0
        self.arrived: list[tuple[float, int]] = []
        self.sealed = 0
        self._journal = journal
        self._away = away_seconds

    def pass_(self, seconds: float) -> None:
        """Let time go by; what is sealed meanwhile is in the spool afterwards."""
        self.now += seconds
        futures = []
        while (self.sealed + 1) * BATCH_SECONDS <= self.now:
            self.sealed += 1
            batch = Sealed(agent="node-1", boot="b", seq=self.sealed, received_at_us=1, body=self._body())
            futures.append(self._journal.append(batch))
        for future in futures:
            future.result(60)

    def _body(self) -> bytes:
        return self.sealed.to_bytes(8) + BODY

    def post(self, body: bytes) -> Answer:
        self.pass_(POST_SECONDS)
        if self.now < self._away:
            raise WebError("POST: nobody answers")
        self.arrived.append((self.now, int.from_bytes(body[:8])))
        return Answer(status=200, headers={}, body=b"", took_us=5_000)

    def close(self) -> None:
        """Nothing is held."""


def outage(folder: Path, hours: float) -> dict[str, object]:
    """Let the service be away for so long; return how what it missed was delivered."""
    folder.mkdir()
    journal, begun = Journal.open(folder / "spool.db", LIMITS, readers=(READER,)), time.monotonic()
    away = hours * 3600
    world = Virtual(journal, away)
    pace = Pace(
        monotonic=lambda: world.now, pause=world.pass_, await_batch=lambda _, seconds: world.pass_(seconds)
    )
    shipper = Shipper(journal, world, clock=HostClock(), backlog_per_second=BACKLOG_PER_SECOND, pace=pace)
    shipper.begin()
    while world.now < away or journal.stats().batches:
        shipper.step()
    journal.close()
    back = world.arrived[0][0]
    missed = [(at, seq) for at, seq in world.arrived if seq * BATCH_SECONDS <= back]
    fresh = [at - seq * BATCH_SECONDS for at, seq in world.arrived if seq * BATCH_SECONDS > back]
    times = [at for at, _ in missed]
    busiest = max(sum(1 for later in times[i : i + 64] if later < at + 1.0) for i, at in enumerate(times))
    return {
        "hours": hours,
        "seconds": round(time.monotonic() - begun),
        "batches": world.sealed,
        "batches_of_the_outage": len(missed),
        "arrived_once": sorted(seq for _, seq in world.arrived) == list(range(1, world.sealed + 1)),
        "newest_first": [seq for _, seq in missed] == sorted((seq for _, seq in missed), reverse=True),
        "minutes_to_drain": round((times[-1] - back) / 60, 1),
        "backlog_batches_in_the_busiest_second": busiest,
        "backlog_batches_allowed_a_second": BACKLOG_PER_SECOND,
        "latest_fresh_batch_seconds": round(max(fresh), 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        drained = outage(Path(name) / "outage", chosen.hours)
        kills = killed(Path(name) / "killed", chosen.kills, chosen.seed)
    tell({"kills": kills, "outage": drained}, chosen.out)
    good = not (kills["batches_lost"] or kills["batches_altered"])
    good &= kills["runs_of_lost_records"] <= chosen.kills
    good &= bool(drained["arrived_once"] and drained["newest_first"])
    good &= drained["backlog_batches_in_the_busiest_second"] <= BACKLOG_PER_SECOND + 1
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
