"""Nothing decided is lost: kill -9 at random moments between a decision and its delivery.

A child process decides (the real alert rounds over SQLite rows) and delivers (the real signed
webhook) as fast as it can; this process receives, and kills the child again and again. At the
end the ledger of committed transitions is compared with what arrived.

    python benchmarks/delivery_kills.py [--kills 60] [--seed 1] [--json FILE]

Prints one line per figure and exits 1 unless lost = 0, order is kept, every repeat has its old
webhook-id, and no kill caused more than one repeat.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from standardwebhooks import Webhook as Signer

from alerts.addresses import PRIVATE
from alerts.delivery import Delivery, Limits
from alerts.pipeline import Context
from alerts.receivers.http import Poster
from alerts.receivers.webhook import Webhook, new_secret
from alerts.routing import Route
from alerts.state import AlertState
from service.alerting.transitions import Alerting
from service.clock import now_us
from service.store.migrate import upgrade_state
from service.store.state import State
from telemetry.condition import Condition, Holds, Severity

ALERTS = 12
ROUTE = Route(receiver="hook", group_by=("...",))
LEASE_US = 800_000
RECEIPT_SECONDS = 0.02
"""Longest time the receiver takes to answer: the window in which a kill repeats a notification."""


# The child: decides and delivers until it is killed.


def conditions(at_us: int, *, calm: bool) -> list[Condition]:
    """Return every condition; each flips at its own pace, so the same instant gives the same answer."""

    def holds(number: int) -> Holds:
        paced = (at_us // (150_000 + 40_000 * number)) % 2 == 0
        return Holds.YES if paced and not calm else Holds.NO

    return [
        Condition(
            name="A1", labels={"replica": f"r{n}"}, severity=Severity.PAGE, holds=holds(n), since_us=at_us
        )
        for n in range(ALERTS)
    ]


def work(folder: Path, url: str, secret: str, *, drain: bool) -> None:
    """Decide and deliver; with `drain` stop when everything is resolved and delivered."""
    state = State.open(f"sqlite:///{folder}/state.db")
    alerting = Alerting(state.alerts)
    hook = Webhook("hook", url, secrets=[secret], poster=Poster(total_seconds=0.5, allowed=PRIVATE))

    def context() -> Context:
        firing = {
            a.incident: a.labels for a in alerting.standing if a.incident and a.state is AlertState.FIRING
        }
        return Context(firing=firing)

    delivery = Delivery(
        state.notifications,
        {"hook": hook},
        worker=f"{os.getpid()}-{time.time_ns()}",
        clock=now_us,
        context=context,
        limits=Limits(lease_us=LEASE_US),
    )
    stop = threading.Event()
    sender = threading.Thread(target=delivery.run, args=(stop,), kwargs={"poll_seconds": 0.02})
    sender.start()
    print("ready", flush=True)
    while not (drain and drained(state)):
        alerting.round(conditions(now_us(), calm=drain), [ROUTE], now_us())
        time.sleep(0.02)
    stop.set()
    sender.join()
    delivery.close()
    state.close()


def drained(state: State) -> bool:
    """Tell whether every alert is resolved and every notification finished."""
    quiet = all(alert.state is not AlertState.FIRING for alert in state.alerts.alerts())
    return quiet and all(row.finished for row in state.notifications.listed(limit=1_000_000))


# The parent: receives, kills, counts.


@dataclass
class Receipts:
    """What arrived, in order: (webhook-id, incident, status, how many kills came before its sender)."""

    secret: str
    rows: list[tuple[str, str, str, int]] = field(default_factory=list)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def receiver(receipts: Receipts, chance: random.Random) -> ThreadingHTTPServer:
    """Start the webhook receiver: verifies, notes, and takes a moment to answer."""
    signer = Signer(receipts.secret)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            data = self.rfile.read(int(self.headers["content-length"]))
            try:
                message = signer.verify(data, dict(self.headers.items()))
            except ValueError:
                receipts.refused += 1
                raise
            kills = int(self.path.strip("/"))
            with receipts.lock:
                for alert in message["alerts"]:
                    incident = alert["generatorURL"].rpartition("#")[2]
                    receipts.rows.append((self.headers["webhook-id"], incident, alert["status"], kills))
            time.sleep(chance.uniform(0, RECEIPT_SECONDS))
            self.send_response(204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            """A sender that was killed hangs up: that is the point."""

    server = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def child(
    folder: Path, server: ThreadingHTTPServer, secret: str, kills: int, *options: str
) -> subprocess.Popen[str]:
    """Start a worker, after so many kills, and wait until it decides; its messages say the number."""
    url = f"http://127.0.0.1:{server.server_address[1]}/{kills}"
    command = [sys.executable, __file__, "--work", str(folder), "--url", url, "--secret", secret, *options]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    assert started.stdout is not None
    if started.stdout.readline().strip() != "ready":
        raise SystemExit("the worker did not start")
    return started


def told(state: State) -> set[tuple[str, str]]:
    """Return the ledger: every committed transition that a person must hear of."""
    rows = state.alerts.transitions(0, 1 << 62, limit=10_000_000)
    return {(each.incident, each.after.value) for each in rows if each.tells}


def judge(receipts: Receipts, ledger: set[tuple[str, str]]) -> dict[str, int]:
    """Compare what was decided with what arrived."""
    first: dict[tuple[str, str], tuple[int, str]] = {}
    before: dict[str, int] = {}
    repeats: Counter[int] = Counter()
    changed_ids = slow = 0
    for place, (message_id, incident, status, kills) in enumerate(receipts.rows):
        known = first.setdefault((incident, status), (place, message_id))
        changed_ids += known[1] != message_id
        if before.get(message_id) == kills:
            slow += 1  # the same worker sent it again: the receiver had not answered in time
        elif message_id in before:
            repeats[before[message_id]] += 1  # the kill of the sender before is what repeated it
        before[message_id] = kills
    misordered = sum(
        first[incident, "resolved"][0] < first[incident, "firing"][0]
        for incident, status in first
        if status == "resolved" and (incident, "firing") in first
    )
    return {
        "decided": len(ledger),
        "received": len(receipts.rows),
        "lost": len(ledger - first.keys()),
        "invented": len(first.keys() - ledger),
        "misordered": misordered,
        "repeats": repeats.total(),
        "repeats_to_a_slow_receiver": slow,
        "most_repeats_by_one_kill": max(repeats.values(), default=0),
        "repeats_under_another_id": changed_ids,
        "bad_signatures": receipts.refused,
    }


def run(kills: int, seed: int) -> dict[str, object]:
    """Kill a worker `kills` times, let the last one finish, and return the figures."""
    chance = random.Random(seed)
    receipts = Receipts(new_secret())
    server = receiver(receipts, chance)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        upgrade_state(f"sqlite:///{folder}/state.db")
        for killed in range(kills):
            worker = child(folder, server, receipts.secret, killed)
            time.sleep(chance.uniform(0.0, 1.2))
            worker.kill()
            worker.wait()
        if child(folder, server, receipts.secret, kills, "--drain").wait(timeout=300) != 0:
            raise SystemExit("the last worker failed")
        state = State.open(f"sqlite:///{folder}/state.db")
        figures = judge(receipts, told(state))
        state.close()
    server.shutdown()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {"kills": kills, **figures, "seconds": round(time.monotonic() - began, 1), "machine": machine}


def main() -> None:
    """Read the options; be the worker or the judge."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kills", type=int, default=60)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", type=Path)
    for hidden in ("--work", "--url", "--secret"):
        options.add_argument(hidden, help=argparse.SUPPRESS)
    options.add_argument("--drain", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.work:
        work(Path(given.work), given.url, given.secret, drain=given.drain)
        return
    figures = run(given.kills, given.seed)
    for name, value in figures.items():
        print(f"{name:28} {value}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    wrong = ("lost", "invented", "misordered", "repeats_under_another_id", "bad_signatures")
    if any(figures[name] for name in wrong) or int(str(figures["most_repeats_by_one_kill"])) > 1:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
