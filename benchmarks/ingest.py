"""Rows per CPU-second through the whole path, beside SQLAlchemy Core into SQLite of the same rows.

The path is a real `inferometer up`: HTTP, decompression, validation, journal with its sync,
fold into the starter objectives, blocks into chDB, merges settled. The bodies are distinct, their
requests 20 models' and 50 tenants', and follow each other in time as agents' batches do: two
million of them are seven blocks, so that what merging costs is in the figure. The peer gets the same rows as dictionaries, 1,000 to a transaction, without any HTTP. Printed: both
figures and their ratio, bytes per request at rest, and the journal's commit p99 while a page
asks for the last hour again and again.

    python benchmarks/ingest.py [--bodies 2000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from sqlalchemy import BigInteger, Boolean, Column, Float, MetaData, Table, Text, create_engine

from telemetry.columns import TABLE, Kind
from telemetry.gaps import BUCKETS, bucket_of
from telemetry.requests import Finish, RequestRecord, Status
from telemetry.wire import CONTENT_TYPE, BatchHeader, encode

ROWS = 1_000
SEAL_US, APART_US = 2_000_000, 10_000
"""A body holds what ended in its agent's two seconds; bodies of many agents follow each other by 10 ms."""
QUIET_CPU_SECONDS = 0.8
"""In 5 s: what judging a thousand groups of four objectives every 5 s takes, and no merge."""
MODELS = [f"model-{n}" for n in range(20)]
TENANTS = [f"tenant-{n}" for n in range(50)]


def records(rng: random.Random, batch: int, now_us: int) -> list[RequestRecord]:
    made = []
    from_us = now_us - 60_000_000 + batch * APART_US
    for row in range(ROWS):
        ttft = int(rng.lognormvariate(12.5, 0.7))
        output = rng.randrange(2, 400)
        gap = int(rng.lognormvariate(10.2, 0.3))
        e2e = ttft + output * gap
        ended = from_us + rng.randrange(SEAL_US)
        failed = rng.random() < 0.004
        made.append(
            RequestRecord(
                request_id=f"{rng.getrandbits(64):016x}",
                tenant=rng.choice(TENANTS),
                model=rng.choice(MODELS),
                pool=f"pool-{row % 5}",
                replica=f"host-{row % 16}:8000",
                route="/v1/chat/completions",
                status=Status.ERROR if failed else Status.OK,
                finish=None if failed else Finish.STOP,
                http_status=500 if failed else 200,
                started_at_us=ended - e2e,
                ended_at_us=ended,
                e2e_us=e2e,
                queue_us=ttft // 3,
                ttft_us=ttft,
                first_byte_us=ttft - 200,
                last_token_us=e2e - 100,
                prompt_tokens=rng.randrange(10, 4_000),
                cached_tokens=rng.randrange(0, 10),
                output_tokens=output,
                max_output_tokens=512,
                gap_max_us=rng.randrange(10_000, 900_000),
                gap_buckets=_gaps(output - 1, gap, rng),
                chunks=output,
            )
        )
    return made


def _gaps(count: int, usual_us: int, rng: random.Random) -> tuple[int, ...]:
    """Return gaps in buckets: most at the usual step, some in the next one, few in a long one."""
    late, longest = rng.randrange(count // 4 + 1), rng.randrange(count // 50 + 1)
    buckets = [0] * BUCKETS
    for gap_us, gaps in ((usual_us, count - late - longest), (2 * usual_us, late), (8 * usual_us, longest)):
        buckets[bucket_of(gap_us)] += gaps
    return tuple(buckets)


def bodies(count: int) -> tuple[list[bytes], list[list[RequestRecord]]]:
    rng = random.Random(20261121)
    now_us = time.time_ns() // 1000
    batches = [records(rng, at, now_us) for at in range(count)]
    encoded = [
        encode(BatchHeader(boot="bench", seq=at, sealed_at_us=now_us, host="bench"), {"requests": rows})
        for at, rows in enumerate(batches)
    ]
    return encoded, batches


class Up:
    """A real service in a directory, with an agent's token."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "inferometer", "up", "--data-dir", str(home), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(":", 1)[1])
        made = subprocess.run(
            [
                sys.executable,
                "-m",
                "inferometer",
                "token",
                "create",
                "bench",
                "--role",
                "agent",
                "--data-dir",
                str(home),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        self.token = next(word for word in made.stdout.split() if word.startswith("inf_"))
        self.cpu = psutil.Process(self.process.pid)

    def cpu_seconds(self) -> float:
        times = self.cpu.cpu_times()
        return times.user + times.system

    def gauge(self, name: str) -> float:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        link.request("GET", "/metrics")
        text = link.getresponse().read().decode()
        link.close()
        return float(
            next(
                line for line in text.splitlines() if line.startswith(f"inferometer_service_{name}")
            ).split()[-1]
        )

    def settle(self) -> None:
        """Wait until everything is stored and merges are done: quiet for 5 s, at most a minute."""
        while self.gauge("store_behind_batches") or self.gauge("fold_behind_batches"):
            time.sleep(0.5)
        for _ in range(12):
            before = self.cpu_seconds()
            time.sleep(5)
            if self.cpu_seconds() - before < QUIET_CPU_SECONDS:
                return

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def post(up: Up, encoded: list[bytes], senders: int = 4) -> float:
    """Send every body; refused ones (429) are sent again. Returns seconds by the wall."""
    waiting = list(reversed(encoded))
    lock = threading.Lock()
    headers = {"Authorization": f"Bearer {up.token}", "Content-Type": CONTENT_TYPE}

    def send() -> None:
        link = http.client.HTTPConnection("127.0.0.1", up.port, timeout=60)
        while True:
            with lock:
                if not waiting:
                    return
                body = waiting.pop()
            link.request("POST", "/api/v1/batches", body, headers)
            answer = link.getresponse()
            answer.read()
            if answer.status == 429:
                time.sleep(float(answer.headers["Retry-After"]))
                with lock:
                    waiting.append(body)
            elif answer.status != 202:
                raise SystemExit(f"the service answered {answer.status}")

    began = time.monotonic()
    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began


def asking(up: Up, stop: threading.Event) -> None:
    """Ask for the requests page of the last hour again and again."""
    while not stop.wait(0.2):
        link = http.client.HTTPConnection("127.0.0.1", up.port, timeout=60)
        link.request("GET", "/api/v1/views/requests?range=1h")
        link.getresponse().read()
        link.close()


def through_the_service(encoded: list[bytes]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        up = Up(Path(folder))
        try:
            before = up.cpu_seconds()
            wall = post(up, encoded)
            up.settle()
            rows = len(encoded) * ROWS
            cpu = up.cpu_seconds() - before
            commit = up.gauge("journal_commit_p99_seconds")
            rss = up.cpu.memory_info().rss
        finally:
            up.stop()
        size = at_rest(Path(folder))
    return {
        "rows_per_cpu_second": rows / cpu,
        "rows_per_second": rows / wall,
        "commit_p99_ms": commit * 1e3,
        "bytes_per_request": size / rows,
        "rss_mb": rss / 2**20,
    }


def at_rest(home: Path) -> float:
    """Return the bytes of the active parts of `requests`, asked of the store itself."""
    code = (
        "import sys; from service.store.facts import Facts; f = Facts.open(sys.argv[1]); "
        "print(f.query(\"SELECT sum(bytes_on_disk) AS b FROM system.parts WHERE active AND table = 'requests'\").to_pylist()[0]['b']); f.close()"
    )
    url = f"clickhousedb:///?interface=chdb&path={home / 'facts'}"
    return float(
        subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True).stdout
    )


def commit_beside_pages(encoded: list[bytes]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        up = Up(Path(folder))
        stop = threading.Event()
        page = threading.Thread(target=asking, args=(up, stop))
        try:
            page.start()
            post(up, encoded, senders=2)
            return up.gauge("journal_commit_p99_seconds") * 1e3
        finally:
            stop.set()
            page.join()
            up.stop()


def through_sqlalchemy(batches: list[list[RequestRecord]]) -> float:
    kinds = {Kind.INT: BigInteger, Kind.FLOAT: Float, Kind.FLAG: Boolean, Kind.TEXT: Text, Kind.UINTS: Text}
    columns = TABLE["requests"].columns
    rows = [[_plain(record) for record in batch] for batch in batches]
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/peer.db")
        table = Table("requests", MetaData(), *(Column(c.name, kinds[c.kind]) for c in columns))
        table.create(engine)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql("PRAGMA synchronous=FULL")
        began = time.process_time()
        for batch in rows:
            with engine.begin() as connection:
                connection.execute(table.insert(), batch)
        spent = time.process_time() - began
        engine.dispose()
    return len(batches) * ROWS / spent


def _plain(record: RequestRecord) -> dict[str, object]:
    values = dataclasses.asdict(record)
    values["gap_buckets"] = json.dumps(values["gap_buckets"])
    return values


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--bodies", type=int, default=2_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--out", type=Path)
    asked = options.parse_args()
    encoded, batches = bodies(asked.bodies)
    print(
        f"{asked.bodies:,} distinct bodies of {ROWS:,} rows, {sum(map(len, encoded)) / asked.bodies / 1024:.0f} KiB each"
    )
    runs, peers = [], []
    for at in range(asked.repeats):
        runs.append(through_the_service(encoded))
        peers.append(through_sqlalchemy(batches[: max(50, asked.bodies // 10)]))
        print(
            f"run {at + 1}: ours {runs[-1]['rows_per_cpu_second']:,.0f}, SQLAlchemy Core {peers[-1]:,.0f} rows per CPU-second"
        )
    figures = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    figures["sqlalchemy_rows_per_cpu_second"] = statistics.median(peers)
    figures["ratio"] = figures["rows_per_cpu_second"] / figures["sqlalchemy_rows_per_cpu_second"]
    figures["commit_p99_ms_beside_pages"] = commit_beside_pages(encoded[: asked.bodies // 4])
    for name, value in figures.items():
        print(f"{name:34} {value:,.2f}")
    if asked.out:
        asked.out.write_text(
            json.dumps({"bodies": asked.bodies, "repeats": asked.repeats, **figures}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
