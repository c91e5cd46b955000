"""What the simulator costs: the Azure conversation trace on the virtual clock, and a streamed token.

    python benchmarks/simulated_fleet.py [TRACE.csv.gz] [SECONDS]

The trace defaults to the recorded data beside the repository. The second figure streams the demo
for SECONDS (40) over real HTTP, server and load generator in this one process, and divides the
CPU time by the tokens.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from simulator.arrivals import replay
from simulator.demo import play_demo
from simulator.fleets import demo_fleet, replay_fleet
from simulator.load import Target
from simulator.server import serving
from simulator.world import simulate
from telemetry.units import MICROS_PER_SECOND

SHARED = Path(__file__).resolve().parents[1] / "../shared/traces/azure-llm-2023/conv.csv.gz"


def virtual(trace: Path, replicas: int) -> None:
    began = time.process_time()
    run = simulate(replay_fleet(replicas), replay(trace), until_us=3600 * MICROS_PER_SECOND)
    spent = time.process_time() - began
    tokens = sum(record.output_tokens or 0 for record in run.requests)
    print(
        f"{trace.name}, {replicas} replicas: {len(run.requests):,} requests ended, {len(run.unfinished)} "
        f"in flight, {tokens:,} tokens, {len(run.engines) + len(run.gpus):,} samples: {spent:.1f} s CPU"
    )


async def streamed(seconds: float) -> None:
    async with serving(demo_fleet()) as live:
        targets = {
            pool.name: Target(
                model=pool.engine.model,
                urls=tuple(f"http://127.0.0.1:{place.port}" for place in pool.replicas),
            )
            for pool in live.fleet.pools
        }
        began, cpu = time.monotonic(), time.process_time()
        report = await play_demo(targets, targets["chat"].urls[0], seconds=seconds)
        spent, passed = time.process_time() - cpu, time.monotonic() - began
        tokens = sum(replica.engine.counters.generation_tokens for replica in live.cluster.replicas)
        counts = {outcome.value: count for outcome, count in report.counts.items()}
        print(
            f"demo, {passed:.0f} s: {counts}, {tokens:,} tokens, "
            f"{spent:.1f} s CPU: {spent / tokens * 1e6:.0f} us a token"
        )


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    if path.exists():
        for count in (1, 2, 4):
            virtual(path, count)
    else:
        print(f"no trace at {path}: give one")
    asyncio.run(streamed(float(sys.argv[2]) if len(sys.argv) > 2 else 40))
