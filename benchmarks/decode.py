"""CPU of the door and of the journal: microseconds for 1,000 request rows of distinct content.

    python benchmarks/decode.py [batches]

Bodies are what an agent sends: 1,000 request records, 32 of 52 columns filled. CPU is user + system
of this process (the journal's thread included), commit times are wall clock, fsync included.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from journal import Journal, Limits, Sealed
from service.ingest.decode import decode, frame
from telemetry.gaps import bucket_counts
from telemetry.requests import Finish, RequestRecord, Status
from telemetry.wire import BatchHeader, encode, split

ROWS = 1_000
IN_FLIGHT = 8


def record(rng: random.Random, now_us: int) -> RequestRecord:
    """Return a request as the proxy records it."""
    tokens, ttft_us = rng.randint(1, 800), int(rng.lognormvariate(12.5, 0.8))
    gap_us = int(rng.lognormvariate(9.8, 0.4))
    e2e_us = ttft_us + gap_us * tokens
    return RequestRecord(
        request_id=f"chatcmpl-{rng.getrandbits(96):024x}",
        tenant=f"tenant-{int(rng.paretovariate(1.05)) % 50}",
        priority=rng.randint(0, 3),
        model=f"model-{rng.randint(0, 19)}",
        pool=f"pool-{rng.randint(0, 5)}",
        replica=f"host-{rng.randint(0, 7)}:8000",
        route="/v1/chat/completions",
        region="eu",
        status=Status.OK if rng.random() > 0.004 else Status.ERROR,
        finish=Finish.STOP,
        http_status=200,
        started_at_us=now_us - e2e_us,
        ended_at_us=now_us - rng.randint(0, 2_000_000),
        e2e_us=e2e_us,
        queue_us=ttft_us // 3,
        ttft_us=ttft_us,
        first_byte_us=ttft_us - 10,
        last_token_us=e2e_us - 5,
        prompt_tokens=rng.randint(1, 4_000),
        cached_tokens=rng.randint(0, 100),
        output_tokens=tokens,
        max_output_tokens=1_024,
        output_empty=False,
        gap_max_us=gap_us * 5,
        gap_buckets=bucket_counts(int(gap_us * rng.uniform(0.5, 3)) for _ in range(20)),
        chunks=tokens,
    )


def bodies(count: int) -> list[bytes]:
    """Return batches of distinct content."""
    rng, now_us = random.Random(7), int(time.time() * 1e6)
    headers = [BatchHeader(boot="b", seq=seq, sealed_at_us=now_us, host="h") for seq in range(count)]
    return [encode(header, {"requests": [record(rng, now_us) for _ in range(ROWS)]}) for header in headers]


def cpu_us(work: Callable[[bytes], object], batches: list[bytes]) -> float:
    """Return the CPU microseconds of `work` for one batch, the best of three rounds."""
    rounds = []
    for _ in range(3):
        before = time.process_time()
        for body in batches:
            work(body)
        rounds.append((time.process_time() - before) / len(batches) * 1e6)
    return min(rounds)


def journal_cpu_us(batches: list[bytes]) -> tuple[float, str]:
    """Append all with eight in flight and trim behind; return CPU per batch and a line on commits."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal.open(Path(folder) / "journal.db", Limits(ballast_bytes=0), readers=("store",))
        waiting: deque = deque()
        before, started = time.process_time(), time.monotonic()
        for seq in range(20 * len(batches)):
            body = batches[seq % len(batches)]
            batch = Sealed(agent="a", boot="b", seq=seq, received_at_us=seq, body=body)
            waiting.append(journal.append(batch))
            if len(waiting) == IN_FLIGHT:
                waiting.popleft().result()
            if seq % 200 == 199:
                journal.advance("store", journal.head())
        count = 20 * len(batches)
        cpu, wall = time.process_time() - before, time.monotonic() - started
        stats = journal.stats()
        journal.close()
    line = f"commit p50 {stats.commit_p50_us} us, p99 {stats.commit_p99_us} us, {count / wall:,.0f} batches/s wall"
    return cpu / count * 1e6, line


def main(count: int) -> None:
    batches = bodies(count)
    tables = {body: decode(body).tables["requests"] for body in batches}
    print(f"{count} bodies of {ROWS:,} rows, {sum(map(len, batches)) / count / ROWS:.0f} bytes a row")
    print(f"split  (zstd)            {cpu_us(split, batches):7.0f} us CPU for 1,000 rows")
    print(f"decode (split + checks)  {cpu_us(decode, batches):7.0f}")
    print(f"frame                    {cpu_us(lambda body: frame('requests', tables[body]), batches):7.0f}")
    cpu, line = journal_cpu_us(batches)
    print(f"journal append + trim    {cpu:7.0f}   {line}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
