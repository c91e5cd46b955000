"""Minutes of the Azure conversation trace in real time by real processes, the agent and the service killed.

A load generator plays the trace through `inferometer proxy` to a simulated fleet; `inferometer
agent` and `inferometer up` are killed -9 at random moments and started again. It keeps its own
account of every request, so afterwards each one is either stored once or explained: a kill of
the agent loses what was not sealed yet, a kill of the service loses nothing. What the agent had
sealed when it was killed is read from its spool, and must be stored once.

    python benchmarks/azure_replay.py [--seconds 300] [--kills 2] [--seed 1] [--trace CSV]

Prints one JSON object; exit status 1 when something is lost, duplicated or counted wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from parts.killing import kill
from parts.recount import kept, recounted
from parts.telling import tell
from parts.waiting import caught_up, until

from collector.shipper import READER
from inferometer.processes import Children
from inferometer.stage import Place, Stage
from journal import Entry, Journal, Limits
from service.ingest.decode import decode
from service.objectives.files import starter
from service.store.facts import Facts
from simulator.arrivals import replay
from simulator.load import Outcome, Played, Target, play
from telemetry.units import MICROS_PER_SECOND

TRACE = Path(__file__).resolve().parents[2] / "shared/traces/azure-llm-2023/conv.csv.gz"
SERVICE = {"block_seconds": 1.0, "ballast_bytes": 0}
HANDING_OVER_US = MICROS_PER_SECOND // 2
"""A request that ended so long before may still have been on its way to the agent's buffer."""
UNREAD_BATCHES = 100_000


@dataclass(frozen=True)
class Spooled:
    """What a killed agent had sealed and not delivered: batches by (boot, number), and request ids."""

    batches: frozenset[tuple[str, int]]
    requests: frozenset[str]


@dataclass(frozen=True)
class AgentKill:
    """One kill of the agent: when, and what lay in its spool."""

    at_us: int
    spooled: Spooled


class Run:
    """One run of all processes."""

    def __init__(self, home: Path, children: Children) -> None:
        self.stage = Stage(home, children)
        self.places: list[Place] = self.stage.fleet("replay")
        part = self.stage.service(port=0, **SERVICE)
        self.service, self.url = part.child, part.url
        self.token = self.stage.token("replay-host")
        self.agent = self.stage.agent(self.url, self.token, self.places)
        self.proxy = self.stage.proxy(self.places)
        self.played: list[Played] = []
        self.agent_kills: list[AgentKill] = []
        self.service_kills: list[int] = []

    def load(self, trace: Path, seconds: float) -> None:
        """Play the trace; returns when every request has ended."""
        arrivals = itertools.takewhile(lambda one: one.at_us < seconds * MICROS_PER_SECOND, replay(trace))
        target = Target(model=self.places[0].model, urls=(self.proxy.url,))
        asyncio.run(play(arrivals, {self.places[0].pool: target}, told=self.played.append))

    def kill_agent(self) -> None:
        """Kill the agent, look at what it had sealed, start it again."""
        kill(self.agent)
        at_us = time.time_ns() // 1000
        self.agent_kills.append(AgentKill(at_us, spooled(self.stage.spool_dir)))
        self.agent = self.stage.agent(self.url, self.token, self.places)

    def kill_service(self) -> None:
        """Kill the service and start it again, on its port."""
        kill(self.service)
        self.service_kills.append(time.time_ns() // 1000)
        self.service = self.stage.launched_service(port=urlsplit(self.url).port, **SERVICE)

    def settle(self) -> None:
        """Stop the agent once everything is delivered, then the service once everything is stored."""
        ended = time.monotonic()
        until(lambda: time.monotonic() > ended + 3, 10, "the last records are sealed")
        self.agent.process.terminate()
        self.agent.process.wait(30)
        while spooled(self.stage.spool_dir).batches:
            self.agent = self.stage.agent(self.url, self.token, self.places)
            time.sleep(3)
            self.agent.process.terminate()
            self.agent.process.wait(30)
        until(lambda: caught_up(self.url), 120, "the service has stored and counted everything")
        self.service.process.terminate()
        self.service.process.wait(60)


def spooled(folder: Path) -> Spooled:
    """Return what lies in the spool of an agent that is not running."""
    journal = Journal.open(folder / "spool.db", Limits(ballast_bytes=0), readers=(READER,))
    entries = journal.read(0, UNREAD_BATCHES)
    journal.close()
    requests = (request for entry in entries for request in _requests_in(entry))
    return Spooled(frozenset((entry.boot, entry.seq) for entry in entries), frozenset(requests))


def _requests_in(entry: Entry) -> list[str]:
    table = decode(entry.body).tables.get("requests")
    return [] if table is None else table["request_id"].to_pylist()


def play_and_kill(run: Run, trace: Path, seconds: float, kills: int, chance: random.Random) -> None:
    """Play the trace while agent and service are killed `kills` times each at random moments."""
    load = threading.Thread(target=run.load, args=(trace, seconds))
    began = time.monotonic()
    load.start()
    victims = [run.kill_agent, run.kill_service] * kills
    chance.shuffle(victims)
    moments = sorted(chance.uniform(0.1, 0.9) * seconds for _ in victims)
    for moment, victim in zip(moments, victims, strict=True):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        victim()
    load.join()


def judge(run: Run) -> dict[str, object]:
    """Compare the load generator's account with what is stored, and the cells with a recount."""
    facts = Facts.open(f"clickhousedb:///?interface=chdb&path={run.stage.data_dir / 'facts'}")
    rows = facts.query("SELECT request_id, count() AS times FROM requests GROUP BY request_id").to_pylist()
    stored = {row["request_id"]: row["times"] for row in rows}
    batches = _batches(facts)
    windows = [(_last_reading(facts, one.at_us), one.at_us) for one in run.agent_kills]
    objectives = starter()
    wrong = [each.name for each in objectives if kept(facts, each) != recounted(facts, each)]
    counted = {each.name: sum(total for _, total in kept(facts, each).values()) for each in objectives}
    facts.close()

    sent = [one for one in run.played if one.outcome is not Outcome.SHED]
    missing = [one for one in sent if one.request_id not in stored]
    unsealed = [one for one in sent if _ended_in(one, windows)]
    sealed = {name for one in run.agent_kills for name in one.spooled.requests}
    return {
        "sent": len(sent),
        "outcomes": dict(Counter(one.outcome.value for one in run.played)),
        "cut_by_kills": [one.request_id for one in sent if one.outcome is Outcome.CUT],
        "stored_once": sum(times == 1 for times in stored.values()),
        "stored_more_than_once": sum(times > 1 for times in stored.values()),
        "missing": len(missing),
        "ended_unsealed_at_a_kill_of_the_agent": len(unsealed),
        "missing_without_a_reason": [
            one.request_id for one in missing if one.request_id not in {each.request_id for each in unsealed}
        ],
        "sealed_at_kills": {
            "batches": sum(len(one.spooled.batches) for one in run.agent_kills),
            "requests": len(sealed),
        },
        "sealed_and_not_stored_once": sum(stored.get(name) != 1 for name in sealed),
        "batches": len(batches),
        "batches_lost": _gaps(batches)
        + sum(batch not in batches for one in run.agent_kills for batch in one.spooled.batches),
        "requests_counted": counted,
        "objectives_with_a_wrong_count": wrong,
    }


def _batches(facts: Facts) -> set[tuple[str, int]]:
    tables = ("requests", "engine_samples", "gpu_samples", "events", "in_flight")
    every = " UNION DISTINCT ".join(f"SELECT boot, seq FROM {table}" for table in tables)
    return {(row["boot"], row["seq"]) for row in facts.query(every).to_pylist()}


def _gaps(batches: set[tuple[str, int]]) -> int:
    """Return how many numbers are missing: an agent's boot numbers its batches 1, 2, 3 ..."""
    newest: dict[str, int] = {}
    for boot, seq in batches:
        newest[boot] = max(newest.get(boot, 0), seq)
    return sum(newest.values()) - len(batches)


def _last_reading(facts: Facts, before_us: int) -> int:
    """Return the last instant before a kill from which a reading was sealed."""
    row = facts.query(
        "SELECT max(at_us) AS newest FROM gpu_samples WHERE at_us < {before_us:Int64}",
        {"before_us": before_us},
    ).to_pylist()[0]
    return int(row["newest"])


def _ended_in(one: Played, windows: list[tuple[int, int]]) -> bool:
    ended_us = one.started_at_us + one.e2e_us
    return any(start - HANDING_OVER_US <= ended_us <= end for start, end in windows)


def main() -> int:
    parser = argparse.ArgumentParser(description="Replay a trace through real processes that are killed.")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--kills", type=int, default=2, help="of the agent and of the service, each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", type=Path, default=TRACE)
    asked = parser.parse_args()
    children = Children()
    with tempfile.TemporaryDirectory(prefix="azure-replay-") as name:
        try:
            run = Run(Path(name), children)
            play_and_kill(run, asked.trace, asked.seconds, asked.kills, random.Random(asked.seed))
            run.settle()
            kills = {"agent": len(run.agent_kills), "service": len(run.service_kills)}
            figures = {"seconds": asked.seconds, "kills": kills, **judge(run)}
        finally:
            children.stop()
    tell(figures)
    faults = (
        "stored_more_than_once",
        "missing_without_a_reason",
        "sealed_and_not_stored_once",
        "batches_lost",
        "objectives_with_a_wrong_count",
    )
    return int(any(figures[fault] for fault in faults))


if __name__ == "__main__":
    sys.exit(main())
