"""Σ ledger = Σ GPUs x span x price, to the last nano-dollar, though the service dies while it bills.

Minutes of the demo's fleet, its wedge and its overload, are simulated on the virtual clock and
lie in the journal of a service that has not started yet. The service stores and bills them, and
is killed -9 at random moments while it does. Afterwards every interval of every GPU is compared
with what it costs: floor(price x to / hour) - floor(price x from / hour).

    python benchmarks/conservation.py [--kills 20] [--minutes 15] [--seed 1]

Prints one JSON object; exit status 1 when a nano-dollar is missing or too much.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from parts.killing import kill
from parts.sealing import sealed
from parts.telling import tell
from parts.waiting import until

from inferometer.processes import Children
from inferometer.stage import Stage
from journal import Journal, Limits
from service.clock import now_us
from service.counting.fold import READER as FOLD
from service.money.billing import CLOSED, FIRST_VERSION
from service.store.facts import Facts
from service.writer import READER as STORE
from simulator.demo import FAULTS, arrivals
from simulator.fleets import demo_fleet
from simulator.world import World
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND

INTERVAL_SECONDS = 10
PRICE_NANO_PER_HOUR = 2_950_000_000
FAR_US = 2**62
SETTINGS = {
    "port": 0,
    "ballast_bytes": 0,
    "block_seconds": 0.5,
    "ledger_interval_seconds": INTERVAL_SECONDS,
    "ledger_lag_seconds": 5,
    "prices": {"H100": "2.95"},
}


def filled(data_dir: Path, minutes: float, seed: int) -> tuple[int, frozenset[str]]:
    """Journal what the demo's fleet does for so long, ended now; return its end and its GPUs."""
    span_us = int(minutes * MICROS_PER_MINUTE)
    start_us = now_us() - span_us
    world = World(demo_fleet(), start_us=start_us, faults=FAULTS)
    limits = Limits(ballast_bytes=0, max_lag_seconds=None)
    journal = Journal.open(data_dir / "journal.db", limits, readers=(STORE, FOLD))
    records = world.run(arrivals(seed=seed, until_us=span_us), until_us=span_us)
    outcomes = [journal.append(batch) for batch in sealed(records, agent="virtual")]
    for outcome in outcomes:
        outcome.result()
    journal.close()
    gpus = frozenset(gpu.uuid for _, place in world.cluster.fleet.replicas() for gpu in place.gpus)
    return start_us + span_us, gpus


def closed_upto(stage: Stage) -> int:
    """Return how far the ledger of a service that may be running reaches; 0 = not begun."""
    file = stage.data_dir / "state.db"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as state:
        try:
            row = state.execute("SELECT value FROM meta WHERE key = ?", (CLOSED,)).fetchone()
        except sqlite3.OperationalError:  # its first migration is under way
            return 0
    return 0 if row is None else int(row[0])


def cost(from_us: int, to_us: int) -> int:
    """Return what a GPU costs in nano-dollars, each end rounded down."""
    return PRICE_NANO_PER_HOUR * to_us // MICROS_PER_HOUR - PRICE_NANO_PER_HOUR * from_us // MICROS_PER_HOUR


def judge(stage: Stage, gpus: frozenset[str]) -> dict[str, object]:
    """Compare the ledger that stands, interval by interval and GPU by GPU, with what the GPUs cost."""
    facts = Facts.open(f"clickhousedb:///?interface=chdb&path={stage.data_dir / 'facts'}")
    upto_us = closed_upto(stage)
    sums = facts.ledger.sums(FIRST_VERSION, from_us=0, to_us=FAR_US, by=("interval_start_us", "gpu_uuid"))
    classes = facts.ledger.sums(FIRST_VERSION, from_us=0, to_us=FAR_US, by=("class",))
    rewritten = facts.query(
        "SELECT countIf(writes > 1) AS intervals FROM "
        "(SELECT uniqExact(written_at_us) AS writes FROM ledger GROUP BY interval_start_us)"
    ).to_pylist()[0]["intervals"]
    facts.close()
    held = {each.key: each.amount_nano for each in sums}
    first_us = min(start_us for start_us, _ in held)
    step_us = INTERVAL_SECONDS * MICROS_PER_SECOND
    due = {
        (start_us, gpu): cost(start_us, start_us + step_us)
        for start_us in range(first_us, upto_us, step_us)
        for gpu in gpus
    }
    wrong = [key for key in due.keys() | held.keys() if due.get(key) != held.get(key)]
    beyond = [key for key in wrong if key[0] >= upto_us]  # written, its note not yet: the next start's
    return {
        "gpus": len(gpus),
        "span_seconds": (upto_us - first_us) / MICROS_PER_SECOND,
        "ledger_nano": sum(held[key] for key in held.keys() & due.keys()),
        "gpus_times_span_times_price_nano": len(gpus) * cost(first_us, upto_us),
        "intervals_of_a_gpu": len(due),
        "wrong": len(wrong) - len(beyond),
        "intervals_billed_twice_and_kept_once": rewritten,
        "nano_by_class": {each.key[0]: each.amount_nano for each in classes},
    }


def run(home: Path, children: Children, *, kills: int, minutes: float, seed: int) -> dict[str, object]:
    """Let a service bill, kill it that often while it does, and judge its ledger."""
    stage, chance, began = Stage(home, children), random.Random(seed), time.monotonic()
    stage.data_dir.mkdir()
    end_us, gpus = filled(stage.data_dir, minutes, seed)
    while_billing = 0
    child = stage.launched_service(**SETTINGS)
    for _ in range(kills):
        before = closed_upto(stage)
        until(lambda before=before: closed_upto(stage) > before, 120, "another interval is billed")
        time.sleep(chance.uniform(0.0, 0.15))
        while_billing += closed_upto(stage) < end_us - 20 * MICROS_PER_SECOND
        kill(child)
        child = stage.launched_service(**SETTINGS)
    until(lambda: closed_upto(stage) >= end_us - 10 * MICROS_PER_SECOND, 180, "the ledger has caught up")
    child.process.terminate()
    child.process.wait(60)
    figures: dict[str, object] = {
        "kills": kills,
        "kills_with_intervals_to_bill": while_billing,
        "seconds": round(time.monotonic() - began),
    }
    return figures | judge(stage, gpus)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the service while it bills, and add up its ledger.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    children = Children()
    with tempfile.TemporaryDirectory(prefix="conservation-") as name:
        try:
            figures = run(Path(name), children, kills=asked.kills, minutes=asked.minutes, seed=asked.seed)
        finally:
            children.stop()
    tell(figures)
    return int(figures["wrong"] or figures["ledger_nano"] != figures["gpus_times_span_times_price_nano"])


if __name__ == "__main__":
    sys.exit(main())
