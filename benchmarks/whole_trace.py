"""The whole Azure conversation trace on the virtual clock, through the service's own path.

    simulated fleet → batches → journal → writer and fold → facts and count cells

One process, nothing killed, no waiting for the clock: 19,366 requests of an hour in seconds.
Every request must be stored once, and the cells must equal, as integers, a recount in SQL.

    python benchmarks/whole_trace.py [--trace CSV]

Prints one JSON object; exit status 1 when anything is lost, duplicated or counted wrong.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

from parts.recount import kept
from parts.sealing import sealed
from parts.telling import tell
from parts.waiting import until

import service.objectives
from service.clock import now_us
from service.settings import Settings
from service.store.facts import Facts
from service.wiring import Service
from simulator.arrivals import replay
from simulator.fleets import replay_fleet
from simulator.world import World
from telemetry.units import MICROS_PER_MINUTE

TRACE = Path(__file__).resolve().parents[2] / "shared/traces/azure-llm-2023/conv.csv.gz"
STARTER = Path(service.objectives.__file__).with_name("starter.yaml")
HOUR_US = 60 * MICROS_PER_MINUTE
SPAN_US = HOUR_US + 2 * MICROS_PER_MINUTE
"""The trace and the time in which its last requests end."""
AT_ONCE = 128
"""Batches offered before the service is waited for."""
TIGHT = {
    "value: 2,": "value: 0.05,",
    "value: 0.1,": "value: 0.01,",
    "ttft: 2s": "ttft: 50ms",
    "tpot: 100ms": "tpot: 10ms",
}
"""The starter objectives' limits, and tighter ones that this fleet often breaks."""
GOOD = {
    "availability": "status = 'ok'",
    "ttft": "ttft_us <= 50000",
    "tpot": "e2e_us - ttft_us <= 10000 * (output_tokens - 1)",
    "goodput": "ttft_us <= 50000 AND e2e_us - ttft_us <= 10000 * (output_tokens - 1)",
}
"""Their verdicts in SQL, for requests that all ended well."""


def tight_objectives(folder: Path) -> Path:
    """Write the starter objectives with tighter limits."""
    text = STARTER.read_text()
    for usual, tight in TIGHT.items():
        text = text.replace(usual, tight)
    file = folder / "objectives.yaml"
    file.write_text(text)
    return file


def fed(running: Service, trace: Path) -> int:
    """Let a simulated fleet serve the trace, ended now, and journal what it brings; return the batches."""
    world = World(replay_fleet(), start_us=now_us() - SPAN_US)
    batches = sealed(world.run(replay(trace), until_us=SPAN_US), agent="virtual")
    offered = 0
    while part := list(itertools.islice(batches, AT_ONCE)):
        for outcome in [running.journal.append(batch) for batch in part]:
            outcome.result()
        offered += len(part)
        until(lambda: running.journal.stats().batches < 8 * AT_ONCE, 60, "the service keeps up")
    return offered


def settled(running: Service) -> bool:
    """Tell whether everything in the journal is folded and stored."""
    return not any(reader.behind for reader in running.journal.stats().readers)


def recounted(facts: Facts, name: str) -> dict:
    """Return the counts of an objective by one statement over the raw rows."""
    rows = facts.query(
        f"SELECT model, tenant, intDiv(ended_at_us, {MICROS_PER_MINUTE}) AS minute, "
        f"countIf({GOOD[name]}) AS good, count() AS total FROM requests GROUP BY model, tenant, minute"
    ).to_pylist()
    return {((row["model"], row["tenant"]), row["minute"]): (row["good"], row["total"]) for row in rows}


def run(home: Path, trace: Path) -> dict[str, object]:
    """Feed a service, let it settle, and compare what it holds with what the trace has."""
    began, arrivals = time.monotonic(), sum(1 for _ in replay(trace))
    settings = Settings(
        data_dir=home / "data", objectives=(tight_objectives(home),), ballast_bytes=0, block_seconds=1.0
    )
    running = Service.open(settings, url="", tell=lambda _: None)
    running.start()
    batches = fed(running, trace)
    until(lambda: settled(running), 120, "everything is folded and stored")
    facts, objectives = running.facts, running.objectives.objectives
    totals = facts.query(
        "SELECT count() AS rows, uniqExact(request_id) AS requests, countIf(status = 'ok') AS ok FROM requests"
    ).to_pylist()[0]
    wrong = [each.name for each in objectives if kept(facts, each) != recounted(facts, each.name)]
    goods = {each.name: sum(good for good, _ in kept(facts, each).values()) for each in objectives}
    running.close()
    return {
        "arrivals": arrivals,
        "batches": batches,
        "stored": totals["rows"],
        "stored_once": totals["requests"] - (totals["rows"] - totals["requests"]),
        "ok": totals["ok"],
        "good": goods,
        "objectives_with_a_wrong_count": wrong,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="A whole trace on the virtual clock through the service.")
    parser.add_argument("--trace", type=Path, default=TRACE)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whole-trace-") as name:
        figures = run(Path(name), asked.trace)
    tell(figures)
    once = figures["arrivals"] == figures["stored"] == figures["stored_once"]
    return int(not once or bool(figures["objectives_with_a_wrong_count"]))


if __name__ == "__main__":
    sys.exit(main())
