"""Makers of conditions and notifications, and a receiver that behaves as badly as it is told."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from alerts.memory import MemoryStore
from alerts.notification import Notification, NotifiedAlert
from service.store.migrate import upgrade_state
from service.store.state import State
from telemetry.condition import Condition, Holds, Severity


@pytest.fixture
def condition():
    """Make a condition: condition(holds, **changes)."""

    def make(holds=Holds.YES, *, since_us=None, **labels):
        labels = labels or {"replica": "a:8000"}
        return Condition(
            name="A1",
            labels=labels,
            severity=Severity.PAGE,
            holds=holds,
            since_us=since_us,
            annotations={"summary": "6 wait, none run"},
        )

    return make


@pytest.fixture
def told():
    """Make a notification: told(number, lane=..., receiver=..., resolved=..., incident=...)."""

    def make(number=1, *, lane="hook/a", receiver="hook", resolved=False, incident="inc", at_us=0):
        alert = NotifiedAlert(
            incident=incident,
            fingerprint="00" * 8,
            labels={"alertname": "A1", "severity": "page", "replica": "a:8000"},
            annotations={"summary": "6 wait, none run", "gpus": "GPU-1", "idle_cost": "0.10 USD"},
            starts_at_us=1_000_000,
            ends_at_us=2_000_000 if resolved else None,
        )
        return Notification(
            id=f"msg_{number}",
            lane=lane,
            receiver=receiver,
            group_key='{}:{alertname="A1"}',
            group_labels={"alertname": "A1"},
            created_at_us=at_us,
            alerts=(alert,),
        )

    return make


@pytest.fixture
def store():
    """Return an empty store of notifications."""
    return MemoryStore()


@pytest.fixture(params=["memory", "sqlite"])
def every_store(request, tmp_path):
    """Return an empty store of each kind that there is."""
    if request.param == "memory":
        yield MemoryStore()
        return
    url = f"sqlite:///{tmp_path}/state.db"
    upgrade_state(url)
    state = State.open(url)
    yield state.notifications
    state.close()


@dataclass
class HostileServer:
    """A receiver on 127.0.0.1. `answers` is consumed one per request; the last one stays."""

    answers: list = field(default_factory=lambda: [204])
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    port: int = 0
    release: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def next_answer(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]


def _handler(hostile: HostileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            hostile.arrivals.append(time.monotonic())
            data = self.rfile.read(int(self.headers["content-length"]))
            hostile.requests.append(({k.lower(): v for k, v in self.headers.items()}, data))
            answer = hostile.next_answer()
            if callable(answer):
                answer(self, hostile)
            else:
                self.reply(answer)

        def reply(self, status, **headers):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up is what these tests are about."""


@pytest.fixture
def hostile_server():
    """Make receivers: hostile_server(204), hostile_server(bad, worse, 204)."""
    running = []

    def make(*answers) -> HostileServer:
        hostile = HostileServer(list(answers) or [204])
        server = _Quiet(("127.0.0.1", 0), _handler(hostile))
        hostile.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        running.append((server, hostile))
        return hostile

    yield make
    for server, hostile in running:
        hostile.release.set()
        server.shutdown()
        server.server_close()


def _reset(handler, hostile):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def _silent(handler, hostile):
    hostile.release.wait(20)


def _drip(handler, hostile):
    line = b"HTTP/1.1 200 OK\r\nx-slow: "
    handler.wfile.write(line)
    while not hostile.release.wait(0.05):
        handler.wfile.write(b"z")
        handler.wfile.flush()


@pytest.fixture
def bad() -> dict[str, Callable]:
    """Ways to misbehave, by name."""
    return {
        "reset": _reset,
        "silent": _silent,
        "drip": _drip,
        "redirect": lambda handler, hostile: handler.reply(302, location="http://169.254.169.254/"),
        "throttle": lambda handler, hostile: handler.reply(429, retry_after="7"),
        "enormous": lambda handler, hostile: handler.reply(200, content_encoding="gzip"),
    }


@pytest.fixture
def until():
    """Wait for something to become true, by a deadline: until(lambda: ..., seconds=5)."""

    def wait(holds: Callable[[], object], seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "did not become true in time"
            time.sleep(0.005)

    return wait
