"""Kill -9 of the store thread under load: is every acknowledged fact stored exactly once?

A child process appends batches to a real journal and runs the real writer into a real chDB,
in small blocks of several tables and days, so that a kill often lands between two of their
inserts. The parent kills it at a random moment and starts it again. At the end every batch is
counted in every table. One line of JSON; exit status 1 when a fact is lost, duplicated or cut.

    python benchmarks/block_repair.py --kills 100
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from journal import Journal, Limits, Sealed
from service.store.facts import Facts
from service.store.migrate import upgrade_facts
from service.writer import READER, Writer
from telemetry.events import Event, EventKind
from telemetry.requests import RequestRecord, Status
from telemetry.samples import GpuSample
from telemetry.wire import BatchHeader, encode

DAY_US = 86_400_000_000
ROWS = {"requests": 60, "gpu_samples": 40, "events": 6}
BLOCK_ROWS = 2_500
BODIES = 8
LIMITS = Limits(max_lag_seconds=None, ballast_bytes=0)


def records(at_us: int, table: str) -> list:
    """Make a batch's rows of one table, spread over three days: three parts for each insert."""
    times = [at_us - DAY_US * (number % 3) for number in range(ROWS[table])]
    if table == "requests":
        return [
            RequestRecord(
                request_id=f"{at_us}-{number}",
                model="m",
                status=Status.OK,
                started_at_us=time_us,
                ended_at_us=time_us,
                e2e_us=number,
            )
            for number, time_us in enumerate(times)
        ]
    if table == "events":
        return [Event(at_us=time_us, kind=EventKind.DEPLOY, host="h") for time_us in times]
    return [GpuSample(at_us=time_us, gpu_uuid="GPU-1", host="h", power_watts=300.5) for time_us in times]


def bodies() -> list[bytes]:
    """Make the bodies that are sent over and over; the batch's identity is what differs."""
    now = time.time_ns() // 1_000
    header = BatchHeader(boot="-", seq=0, sealed_at_us=now, host="h")
    return [encode(header, {table: records(now + at, table) for table in ROWS}) for at in range(BODIES)]


def load(journal: Journal, log: int, boot: str) -> None:
    """Append batches for as long as the process lives, telling the log of each one acknowledged."""
    made = bodies()
    for seq in range(10**9):
        if journal.stats().batches > 400:
            time.sleep(0.01)
            continue
        sealed = Sealed(
            agent="a", boot=boot, seq=seq, received_at_us=time.time_ns() // 1_000, body=made[seq % BODIES]
        )
        journal.append(sealed).result()
        os.write(log, f"acked {boot} {seq}\n".encode())


def child(folder: Path, boot: str) -> None:
    """Repair what the last process left, then store under load until killed; no boot: drain and count."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    url = f"clickhousedb:///?interface=chdb&path={folder}/facts"
    upgrade_facts(url)
    journal, facts = Journal.open(folder / "journal.db", LIMITS, readers=(READER,)), Facts.open(url)
    writer = Writer(journal, facts, block_rows=BLOCK_ROWS, block_seconds=0.5)
    writer.recover()
    os.write(log, f"repaired {writer.written.repaired_tables}\n".encode())
    if not boot:
        writer.drain()
        print(json.dumps({table: counts(facts, table) for table in ROWS}))
        facts.close()
        journal.close()
        return
    threading.Thread(target=load, args=(journal, log, boot), daemon=True).start()
    print("ready", flush=True)
    while True:
        if not writer.step():
            time.sleep(0.002)


def counts(facts: Facts, table: str) -> dict[str, int]:
    """Count the stored rows of each batch."""
    found = facts.query(f"SELECT boot, seq, count() AS rows FROM {table} GROUP BY boot, seq")
    return {f"{row['boot']} {row['seq']}": row["rows"] for row in found.to_pylist()}


def start(folder: Path, boot: str) -> subprocess.Popen:
    command = [sys.executable, __file__, "--child", str(folder), "--boot", boot]
    path = {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **path})


def judge(folder: Path, stored: dict[str, dict[str, int]]) -> dict[str, int]:
    """Compare what was acknowledged with what is stored."""
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    acked = {" ".join(words[1:]) for words in lines if words[0] == "acked"}
    faults = {"lost": 0, "duplicated": 0, "cut": 0}
    for table, rows in ROWS.items():
        found = stored[table]
        faults["lost"] += rows * len(acked - set(found))
        faults["duplicated"] += sum(count - rows for count in found.values() if count > rows)
        faults["cut"] += sum(rows - count for count in found.values() if count < rows)
    repaired = [int(words[1]) for words in lines if words[0] == "repaired"]
    return {
        "acked_batches": len(acked),
        "stored_batches": len(set().union(*stored.values())),
        "stored_rows": sum(sum(found.values()) for found in stored.values()),
        "restarts_with_a_repair": sum(count > 0 for count in repaired),
        "tables_repaired": sum(repaired),
        **faults,
    }


def run(kills: int, seed: int) -> dict[str, int]:
    """Kill that often, then count."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="block-repair-") as name:
        folder = Path(name)
        for number in range(kills):
            process = start(folder, f"boot-{number}")
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the child did not come up"
            time.sleep(chance.uniform(0.05, 1.2))
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        process = start(folder, "")
        answer, _ = process.communicate(timeout=300)
        return {"kills": kills, **judge(folder, json.loads(answer))}


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the store thread and count what is stored.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--boot", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.boot)
        return 0
    result = run(asked.kills, asked.seed)
    print(json.dumps(result))
    return int(any(result[fault] for fault in ("lost", "duplicated", "cut")))


if __name__ == "__main__":
    sys.exit(main())
