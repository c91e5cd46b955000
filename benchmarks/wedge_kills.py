"""A wedged replica is told of, and so is its recovery: how soon, and whatever is killed in between.

A simulated fleet answers real HTTP; one replica after the other is wedged (requests wait, none
run, no token comes, /health stays 200) and recovers. The real agent and the real service watch it.

1. Undisturbed, evaluating every 5 s: from the instant at which the first bad sample reached the
   service to the signed webhook that names replica, GPU, cause and idle cost.
2. Evaluating every second: the service is killed -9 at a random moment between a decision (the
   transition is a row) and its delivery, again and again. Every decision must arrive.

    python benchmarks/wedge_kills.py [--measure 6] [--kills 50] [--seed 1]

Prints one JSON object; exit status 1 when an alert is late, nameless, lost or invented.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from parts.killing import kill
from parts.receiver import Receipt, Receiver
from parts.telling import tell
from parts.waiting import until

from inferometer.processes import Children
from inferometer.stage import Place, Stage
from service.store.facts import Facts
from service.store.state import State
from simulator.arrivals import Length, Tenant, Traffic, generate
from simulator.load import Limits, Target, play
from telemetry.units import MICROS_PER_SECOND

ALERT = "A1"
REPLICAS = 6
WEDGED_SECONDS = 12.0
HEALTHY_SECONDS = 16.0
"""After a wedge, before the next one of the same replica: time to drain and to be known as well."""
EVALUATION_SECONDS = 5.0
INTERVALS = 3
"""Evaluations after the first bad sample within which a person must have been told."""
HOURS_SECONDS = 3600.0
FAR_US = 2**62


@dataclass(frozen=True)
class Wedge:
    """One fault as the simulator took it. Instants are UTC microseconds."""

    place: Place
    start_us: int
    end_us: int


class Scene:
    """A fleet under a steady load, watched by the real parts, with a receiver for its alerts."""

    def __init__(
        self, home: Path, children: Children, *, evaluation_seconds: float, slow: float, seed: int
    ) -> None:
        home.mkdir()
        self.stage, self.receiver = Stage(home, children), Receiver(slowest_seconds=slow, seed=seed)
        self._settings = {
            "block_seconds": 1.0,
            "ballast_bytes": 0,
            "evaluation_seconds": evaluation_seconds,
            "keep_firing_seconds": 0,
            "prices": {"H100": "2.95"},
            "receivers": [self.receiver.settings],
        }
        self.places = self.stage.fleet("replay", "--replicas", str(REPLICAS))
        part = self.stage.service(port=0, **self._settings)
        self.service, self.url = part.child, part.url
        self.agent = self.stage.agent(self.url, self.stage.token("wedge-host"), self.places)
        self.wedges: list[Wedge] = []
        self._load = threading.Thread(target=self._play, args=(seed,), daemon=True)
        self._load.start()

    def _play(self, seed: int) -> None:
        place = self.places[0]
        traffic = Traffic(
            pool=place.pool,
            rate_per_second=2.0 * REPLICAS,
            prompt=Length(median=50, sigma=0.3, most=200),
            output=Length(median=20, sigma=0.3, most=60),
            tenants=(Tenant(name="acme"),),
        )
        arrivals = generate(traffic, seed=seed, until_us=int(HOURS_SECONDS * MICROS_PER_SECOND))
        target = Target(model=place.model, urls=tuple(each.url for each in self.places))
        asyncio.run(play(arrivals, {place.pool: target}, limits=Limits(request_seconds=60)))

    def wedge(self, place: Place) -> Wedge:
        """Wedge a replica from now on."""
        order = {"kind": "wedge", "replica": place.replica, "for_s": WEDGED_SECONDS}
        taken = (
            httpx.post(f"{place.url}/simulated/fault", json=order, timeout=10).raise_for_status().json()[0]
        )
        wedge = Wedge(place, taken["start_us"], taken["end_us"])
        self.wedges.append(wedge)
        return wedge

    def keep_wedging(self, stop: threading.Event) -> None:
        """Wedge one replica after the other until told to stop."""
        while True:
            for place in self.places:
                if stop.wait((WEDGED_SECONDS + HEALTHY_SECONDS) / REPLICAS):
                    return
                self.wedge(place)

    def kill_service(self) -> None:
        """Kill the service and start it again, on its port."""
        kill(self.service)
        self.service = self.stage.launched_service(port=urlsplit(self.url).port, **self._settings)

    def undelivered(self) -> set[str]:
        """Return the ids of decided notifications of our alert that are not finished."""
        return self._ids(f"NOT finished AND body LIKE '%\"{ALERT}\"%'")

    def finished(self) -> set[str]:
        """Return the ids of notifications that are finished."""
        return self._ids("finished")

    def _ids(self, which: str) -> set[str]:
        with closing(sqlite3.connect(f"file:{self.stage.data_dir / 'state.db'}?mode=ro", uri=True)) as rows:
            return {name for (name,) in rows.execute(f"SELECT id FROM notifications WHERE {which}")}

    def all_over(self) -> bool:
        """Tell whether every wedge was told of and is resolved, and nothing waits to be sent."""
        told = self.receiver.told(ALERT)
        fired = {one.incident for one in told if one.status == "firing"}
        resolved = {one.incident for one in told if one.status == "resolved"}
        return fired == resolved and all(firings(told, one) for one in self.wedges) and not self.undelivered()

    def close(self) -> None:
        """End the watching in order; what is stored stays."""
        for child in (self.agent, self.service):
            child.process.terminate()
            child.process.wait(60)


def firings(told: list[Receipt], wedge: Wedge) -> list[Receipt]:
    """Return what was told of one wedge: firing, of its replica, begun while it lasted."""
    return [
        one
        for one in told
        if one.status == "firing"
        and one.alert["labels"]["replica"] == wedge.place.replica
        and wedge.start_us - MICROS_PER_SECOND <= _began_us(one) <= wedge.end_us
    ]


def _began_us(receipt: Receipt) -> int:
    return int(datetime.fromisoformat(receipt.alert["startsAt"]).timestamp() * MICROS_PER_SECOND)


def nameless(receipt: Receipt, places: list[Place]) -> bool:
    """Tell whether a firing alert fails to name replica, GPU, cause or idle cost."""
    labels, notes = receipt.alert["labels"], receipt.alert["annotations"]
    place = next((one for one in places if one.replica == labels.get("replica")), None)
    named = place is not None and all(gpu in notes.get("gpus", "") for gpu in place.gpus)
    return not (named and "admits nothing" in notes.get("summary", "") and notes.get("idle_cost"))


def measured(home: Path, children: Children, count: int, seed: int) -> dict[str, object]:
    """Wedge replicas undisturbed and say how soon each was told of, and its recovery."""
    scene = Scene(home, children, evaluation_seconds=EVALUATION_SECONDS, slow=0.0, seed=seed)
    chance = random.Random(seed)
    for number in range(count):
        time.sleep(chance.uniform(4, 9))
        scene.wedge(scene.places[number % REPLICAS])
    until(scene.all_over, WEDGED_SECONDS + 90, "every wedge is told of and resolved")
    scene.close()
    told = scene.receiver.told(ALERT)
    facts = Facts.open(f"clickhousedb:///?interface=chdb&path={scene.stage.data_dir / 'facts'}")
    delays = [
        (min(one.at_us for one in firings(told, wedge)) - _first_bad_us(facts, wedge)) / MICROS_PER_SECOND
        for wedge in scene.wedges
    ]
    facts.close()
    return {
        "wedges": count,
        "seconds_from_the_first_bad_sample_received_to_the_webhook": {
            "median": round(statistics.median(delays), 2),
            "most": round(max(delays), 2),
            "allowed": INTERVALS * EVALUATION_SECONDS,
        },
        "late": sum(delay > INTERVALS * EVALUATION_SECONDS for delay in delays),
        "nameless": sum(nameless(one, scene.places) for one in told if one.status == "firing"),
        "refused_signatures": scene.receiver.refused,
    }


def _first_bad_us(facts: Facts, wedge: Wedge) -> int:
    """Return when the first sample that shows a wedge was received."""
    row = facts.query(
        "SELECT min(received_at_us) AS first FROM engine_samples WHERE replica = {replica:String} "
        "AND requests_waiting > 0 AND requests_running = 0 "
        "AND at_us BETWEEN {start_us:Int64} AND {end_us:Int64}",
        {"replica": wedge.place.replica, "start_us": wedge.start_us, "end_us": wedge.end_us},
    ).to_pylist()[0]
    return int(row["first"])


def killed(home: Path, children: Children, kills: int, seed: int) -> dict[str, object]:
    """Kill the service between decisions and their deliveries; every decision must arrive."""
    scene = Scene(home, children, evaluation_seconds=1.0, slow=0.5, seed=seed)
    chance, stop, began = random.Random(seed), threading.Event(), time.monotonic()
    wedging = threading.Thread(target=scene.keep_wedging, args=(stop,), daemon=True)
    wedging.start()
    waits: list[float] = []
    missed = 0
    while len(waits) < kills:
        until(lambda: bool(scene.undelivered()), 60, "something is decided")
        time.sleep(chance.uniform(0.0, 0.6))
        scene.kill_service()
        at, cut = time.monotonic(), scene.undelivered()
        if not cut:
            missed += 1
            scene.service.wait_for("ready:", 60)
            continue
        until(lambda cut=cut: cut <= scene.finished(), 90, "what a kill cut off is delivered")
        waits.append(time.monotonic() - at)
    stop.set()
    wedging.join()
    until(scene.all_over, WEDGED_SECONDS + 90, "every wedge is told of and resolved")
    scene.close()
    return {
        "kills_between_decision_and_delivery": len(waits),
        "kills_after_delivery": missed,
        "seconds": round(time.monotonic() - began),
        "most_seconds_from_kill_to_delivery": round(max(waits, default=0.0), 1),
        **judge(scene),
    }


def judge(scene: Scene) -> dict[str, object]:
    """Compare every decision that was committed with what arrived."""
    state = State.open(f"sqlite:///{scene.stage.data_dir / 'state.db'}")
    rows = state.alerts.transitions(0, FAR_US, limit=1_000_000)
    state.close()
    decided = {(one.incident, one.after.value) for one in rows if one.tells and one.name == ALERT}
    told = scene.receiver.told(ALERT)
    received = {(one.incident, one.status) for one in told}
    firing = [one for one in told if one.status == "firing"]
    return {
        "wedges": len(scene.wedges),
        "wedges_not_told_of": sum(not firings(told, wedge) for wedge in scene.wedges),
        "decided": len(decided),
        "webhooks": len(told),
        "repeats": len(told) - len({(one.message_id, one.incident) for one in told}),
        "lost": len(decided - received),
        "invented": len(received - decided),
        "not_resolved": len(
            {one.incident for one in firing} - {i for i, status in received if status != "firing"}
        ),
        "nameless": sum(nameless(one, scene.places) for one in firing),
        "refused_signatures": scene.receiver.refused,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Wedge replicas, kill the service, count the alerts.")
    parser.add_argument("--measure", type=int, default=6, help="wedges to time undisturbed")
    parser.add_argument("--kills", type=int, default=50, help="between decision and delivery")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    figures: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="wedge-kills-") as name:
        for part, count in (("measured", asked.measure), ("killed", asked.kills)):
            children = Children()
            try:
                if count:
                    figures[part] = globals()[part](Path(name) / part, children, count, asked.seed)
            finally:
                children.stop()
    tell(figures)
    faults = (
        "late",
        "nameless",
        "refused_signatures",
        "wedges_not_told_of",
        "lost",
        "invented",
        "not_resolved",
    )
    return int(any(part.get(fault) for part in figures.values() for fault in faults))


if __name__ == "__main__":
    sys.exit(main())
