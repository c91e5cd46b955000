"""What it costs to store requests: rows per CPU-second into the facts store, merges settled.

Blocks of distinct rows with 28 of 52 columns filled, as decoded batches are (plain texts), go
through `Facts.insert_block` into chDB: synced inserts, synced merges. CPU is user + system of
the process, all threads, from the first insert until no merge has run for two seconds. Each
block size is measured in a process of its own.

    python benchmarks/store_insert.py [--rows 2400000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from service.store.facts import Facts
from service.store.migrate import upgrade_facts

SIZES = (20_000, 100_000, 200_000, 300_000, 400_000)
SECOND_US = 1_000_000


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def texts(chance: np.random.Generator, rows: int, words: list[str], skew: float = 1.3) -> pa.Array:
    place = np.minimum(chance.zipf(skew, rows) - 1, len(words) - 1)
    return pa.array(words).take(pa.array(place))


def block(number: int, rows: int) -> pa.Table:
    """Make a block's rows: ten seconds of 20 models and 50 tenants, lognormal times."""
    chance = np.random.default_rng(number)
    now = time.time_ns() // 1_000
    ended = now + np.sort(chance.integers(number * 10 * SECOND_US, (number + 1) * 10 * SECOND_US, rows))
    e2e = np.exp(chance.normal(14.5, 1, rows)).astype(np.int64)
    ttft = (e2e * chance.uniform(0.02, 0.3, rows)).astype(np.int64)
    output = np.exp(chance.normal(5.2, 0.9, rows)).astype(np.int64) + 1
    prompt = np.exp(chance.normal(6.5, 1, rows)).astype(np.int64)
    gaps = np.zeros((rows, 16), dtype=np.uint32)
    at = chance.integers(3, 8, rows)
    gaps[np.arange(rows), at], gaps[np.arange(rows), at + 1] = output, output // 8
    ids = chance.bytes(16 * rows).hex()
    batch = np.arange(rows) // 1_000
    same = lambda value: pa.array([value]).take(pa.array(np.zeros(rows, dtype=np.int64)))  # noqa: E731
    return pa.table(
        {
            "request_id": [ids[32 * row : 32 * row + 32] for row in range(rows)],
            "tenant": texts(chance, rows, [f"tenant-{n}" for n in range(50)]),
            "model": texts(chance, rows, [f"model-{n}" for n in range(20)]),
            "pool": texts(chance, rows, [f"pool-{n}" for n in range(20)]),
            "replica": texts(chance, rows, [f"host-{n}:8000" for n in range(64)], 1.01),
            "route": same("/v1/chat/completions"),
            "vantage": same("edge"),
            "synthetic": np.zeros(rows, dtype=bool),
            "status": texts(chance, rows, ["ok", "error"], 8),
            "finish": texts(chance, rows, ["stop", "length"], 3),
            "http_status": np.full(rows, 200),
            "retry": np.zeros(rows, dtype=np.int64),
            "started_at_us": ended - e2e,
            "ended_at_us": ended,
            "e2e_us": e2e,
            "queue_us": (ttft * chance.uniform(0, 0.8, rows)).astype(np.int64),
            "ttft_us": ttft,
            "first_byte_us": ttft * 98 // 100,
            "last_token_us": e2e - 200,
            "prompt_tokens": prompt,
            "cached_tokens": prompt // 32 * 16,
            "output_tokens": output,
            "tokens_estimated": np.zeros(rows, dtype=bool),
            "choices": np.ones(rows, dtype=np.int64),
            "stream": np.ones(rows, dtype=bool),
            "gap_max_us": np.exp(chance.normal(11, 0.5, rows)).astype(np.int64),
            "gap_buckets": pa.ListArray.from_arrays(
                pa.array(np.arange(rows + 1, dtype=np.int32) * 16), pa.array(gaps.reshape(-1))
            ),
            "chunks": output,
            "agent": same("agent-1").dictionary_encode(),
            "boot": same("0123456789abcdef").dictionary_encode(),
            "seq": batch + number * 1_000,
            "block": np.full(rows, number),
            "received_at_us": np.repeat(ended[::1_000] + 2 * SECOND_US, 1_000)[:rows],
            "origin": same("live").dictionary_encode(),
            "dataset": same("").dictionary_encode(),
        }
    )


def settle(facts: Facts) -> None:
    quiet = 0
    while quiet < 8:
        time.sleep(0.25)
        merging = facts.query("SELECT count() AS n FROM system.merges")["n"][0].as_py()
        quiet = 0 if merging else quiet + 1


def measure(size: int, total: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="store-insert-") as folder:
        url = f"clickhousedb:///?interface=chdb&path={folder}/facts"
        upgrade_facts(url)
        facts = Facts.open(url)
        inserting = spent = 0.0
        for number in range(total // size):
            rows = block(number, size)
            before, began = cpu_seconds(), time.monotonic()
            facts.insert_block(number, {"requests": rows})
            spent += cpu_seconds() - before
            inserting += time.monotonic() - began
        before = cpu_seconds()
        settle(facts)
        spent += cpu_seconds() - before
        stored = facts.query(
            "SELECT sum(rows) AS rows, sum(data_compressed_bytes) AS bytes, count() AS parts "
            "FROM system.parts WHERE table = 'requests' AND active"
        ).to_pylist()[0]
        facts.close()
        return {
            "block_rows": size,
            "rows": stored["rows"],
            "rows_per_cpu_second": round(stored["rows"] / spent),
            "seconds_per_insert": round(inserting / (total // size), 3),
            "bytes_per_row": round(stored["bytes"] / stored["rows"], 1),
            "parts": stored["parts"],
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure inserts into the facts store.")
    parser.add_argument("--rows", type=int, default=2_400_000)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.size:
        print(json.dumps(measure(asked.size, asked.rows)))
        return
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    for size in SIZES:
        command = [sys.executable, __file__, "--rows", str(asked.rows), "--size", str(size)]
        subprocess.run(command, check=True, env=path)


if __name__ == "__main__":
    main()
