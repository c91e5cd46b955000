"""Kill -9 of the whole service under load: is every acknowledged row stored once, every count right?

Agents that post as ours do (a batch is kept until it is acknowledged; after an outage the newest
goes first) load a real `inferometer up`, which is killed at random moments, its start included.
At the end the rows of every batch are counted, and the count cells of every objective are
compared, as integers, with a recount of the raw rows one by one.

    python benchmarks/service_kills.py [--kills 100] [--seed 1]

Prints one JSON object; exit status 1 when a row is lost or duplicated or a count is wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from parts.killing import kill
from parts.recount import kept, overdue, recounted
from parts.telling import tell
from parts.waiting import caught_up, until

from inferometer.processes import Children
from inferometer.stage import Stage
from service.objectives.files import starter
from service.store.facts import Facts
from telemetry.events import Event, EventKind
from telemetry.requests import InFlightRequest, RequestRecord, Status
from telemetry.units import MICROS_PER_SECOND
from telemetry.wire import CONTENT_TYPE, BatchHeader, encode

AGENTS = 2
BATCHES_PER_SECOND = 8
STARTED_PER_BATCH = 30
MOST_UNSENT = 60
SETTINGS = {"block_rows": 2_000, "block_seconds": 0.5, "ballast_bytes": 0}
TABLES = ("requests", "in_flight", "events")


@dataclass
class Life:
    """One request as it will go."""

    name: str
    tenant: str
    started_us: int
    ttft_us: int
    ended_us: int
    shown_us: int


@dataclass
class Traffic:
    """Requests of one agent's proxies: born, seen running every second, ended."""

    agent: str
    chance: random.Random
    lives: list[Life] = field(default_factory=list)
    born: int = 0

    def tables(self, now_us: int, *, last: bool = False) -> dict[str, list]:
        """Return what is sealed now; `last` ends everything."""
        for _ in range(0 if last else STARTED_PER_BATCH):
            lasting_us = int(self.chance.expovariate(1 / 1.2) * MICROS_PER_SECOND) + 10_000
            ttft_us = self.chance.randrange(lasting_us)
            name, tenant = f"{self.agent}-{self.born}", self.chance.choice(("acme", "globex"))
            self.lives.append(Life(name, tenant, now_us, ttft_us, now_us + lasting_us, now_us))
            self.born += 1
        over = [life for life in self.lives if last or life.ended_us <= now_us]
        self.lives = [life for life in self.lives if not last and life.ended_us > now_us]
        seen = [life for life in self.lives if now_us - life.shown_us >= MICROS_PER_SECOND]
        for life in seen:
            life.shown_us = now_us
        return {
            "requests": [_record(life) for life in over],
            "in_flight": [_sighting(life, now_us) for life in seen],
            "events": [Event(at_us=now_us, kind=EventKind.DEPLOY, host=self.agent)],
        }


def _record(life: Life) -> RequestRecord:
    return RequestRecord(
        request_id=life.name,
        tenant=life.tenant,
        model="m",
        status=Status.OK,
        started_at_us=life.started_us,
        ended_at_us=life.ended_us,
        e2e_us=life.ended_us - life.started_us,
        ttft_us=life.ttft_us,
        output_tokens=20,
    )


def _sighting(life: Life, now_us: int) -> InFlightRequest:
    waited_us = now_us - life.started_us
    return InFlightRequest(
        request_id=life.name,
        at_us=now_us,
        started_at_us=life.started_us,
        ttft_us=life.ttft_us if life.ttft_us <= waited_us else None,
        tenant=life.tenant,
        model="m",
    )


class Agent(threading.Thread):
    """Seals batches at a steady pace and posts each until it is acknowledged, the newest first."""

    def __init__(self, name: str, token: str, url: str, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.sent: dict[int, dict[str, int]] = {}
        """By number of a sealed batch: its rows in each table."""
        self.answers: Counter[str] = Counter()
        self.ending = threading.Event()
        self._token, self._address = token, urlsplit(url).netloc
        self._traffic = Traffic(name, random.Random(seed))
        self._unsent: list[bytes] = []
        self._connection: HTTPConnection | None = None

    def run(self) -> None:
        due = time.monotonic()
        while not self.ending.is_set():
            if time.monotonic() >= due and len(self._unsent) < MOST_UNSENT:
                due = time.monotonic() + 1 / BATCHES_PER_SECOND
                self._seal()
            elif not self._post():
                time.sleep(0.02)
        self._seal(last=True)
        while self._unsent:
            if not self._post():
                time.sleep(0.02)

    def _seal(self, *, last: bool = False) -> None:
        now_us, seq = time.time_ns() // 1000, len(self.sent) + 1
        tables = self._traffic.tables(now_us, last=last)
        header = BatchHeader(boot=f"boot-{self.name}", seq=seq, sealed_at_us=now_us, host=self.name)
        self._unsent.append(encode(header, tables))
        self.sent[seq] = {table: len(rows) for table, rows in tables.items() if rows}

    def _post(self) -> bool:
        """Offer the newest unsent batch; true = it is settled."""
        if not self._unsent:
            return False
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": CONTENT_TYPE}
        try:
            self._connection = self._connection or HTTPConnection(self._address, timeout=10)
            self._connection.request("POST", "/api/v1/batches", self._unsent[-1], headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException):
            self.answers["none"] += 1
            self._connection = None
            return False
        if answer.status == 202:
            self.answers[json.loads(text)["outcome"]] += 1
            self._unsent.pop()
            return True
        self.answers[str(answer.status)] += 1
        if answer.status != 429:
            raise SystemExit(f"refused with {answer.status}: {text.decode(errors='replace')[:300]}")
        return False


def run(kills: int, seed: int, home: Path, children: Children) -> dict[str, object]:
    """Kill the service that often under load, then let it settle and judge what it holds."""
    chance, stage, began = random.Random(seed), Stage(home, children), time.monotonic()
    part = stage.service(port=0, **SETTINGS)
    url, child = part.url, part.child
    port = urlsplit(url).port
    agents = [
        Agent(name, stage.token(name), url, seed + number)
        for number, name in enumerate(f"agent-{n}" for n in range(AGENTS))
    ]
    for agent in agents:
        agent.start()
    starting = 0
    for _ in range(kills):
        time.sleep(chance.uniform(0.3, 6.0))
        starting += not any(line.startswith("ready:") for line in child.last)
        kill(child)
        child = stage.launched_service(port=port, **SETTINGS)
    child.wait_for("ready:", 120)
    for agent in agents:
        agent.ending.set()
    until(lambda: not any(agent.is_alive() for agent in agents), 120, "every batch is acknowledged")
    until(lambda: caught_up(url), 120, "the service has stored and counted everything")
    child.process.terminate()
    code = child.process.wait(60)
    figures: dict[str, object] = {
        "kills": kills,
        "kills_while_starting": starting,
        "seconds": round(time.monotonic() - began),
        "exit_code": code,
        "answers": dict(sum((agent.answers for agent in agents), Counter())),
    }
    return figures | judge(stage, agents)


def judge(stage: Stage, agents: list[Agent]) -> dict[str, object]:
    """Compare what was acknowledged with what is stored, and the cells with a recount."""
    facts = Facts.open(f"clickhousedb:///?interface=chdb&path={stage.data_dir / 'facts'}")
    expected = Counter(
        {
            (table, agent.name, seq): rows
            for agent in agents
            for seq, tables in agent.sent.items()
            for table, rows in tables.items()
        }
    )
    stored = Counter()
    for table in TABLES:
        found = facts.query(f"SELECT agent, seq, count() AS rows FROM {table} GROUP BY agent, seq")
        stored.update({(table, row["agent"], row["seq"]): row["rows"] for row in found.to_pylist()})
    objectives = starter()
    wrong = [each.name for each in objectives if kept(facts, each) != recounted(facts, each)]
    counted = {each.name: sum(total for _, total in kept(facts, each).values()) for each in objectives}
    early = {each.name: len(overdue(facts, each)) for each in objectives}
    facts.close()
    return {
        "batches": sum(len(agent.sent) for agent in agents),
        "rows": expected.total(),
        "rows_lost": (expected - stored).total(),
        "rows_duplicated": (stored - expected).total(),
        "requests_counted": counted,
        "of_them_while_in_flight": early,
        "objectives_with_a_wrong_count": wrong,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the service under load and count what it holds.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    children = Children()
    with tempfile.TemporaryDirectory(prefix="service-kills-") as name:
        try:
            figures = run(asked.kills, asked.seed, Path(name), children)
        finally:
            children.stop()
    tell(figures)
    faults = ("rows_lost", "rows_duplicated", "objectives_with_a_wrong_count", "exit_code")
    return int(any(figures[fault] for fault in faults))


if __name__ == "__main__":
    sys.exit(main())
