"""A small webhook receiver: verifies every signature and prints one readable line for each.

The demo's stand-in for a pager; also a way to see what a real receiver would get.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from standardwebhooks import Webhook as Signer
from standardwebhooks import WebhookVerificationError

MAX_BODY_BYTES: Final = 1_048_576
SEEN: Final = 10_000
"""How many webhook ids are remembered to name repeats; the oldest are forgotten first."""


class Sink(ThreadingHTTPServer):
    """The receiver. `lines` gets one line per notification; `port` 0 takes a free one."""

    daemon_threads = True

    def __init__(self, port: int, secret: str, lines: Callable[[str], None]) -> None:
        """Bind to loopback; `OSError` when the port is taken."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.signer = Signer(secret)
        self.lines = lines
        self.seen: dict[str, None] = {}

    @property
    def url(self) -> str:
        """Where to send to."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def repeated(self, message_id: str) -> bool:
        """Remember a webhook id; true = it was here before."""
        before = message_id in self.seen
        self.seen[message_id] = None
        if len(self.seen) > SEEN:
            self.seen.pop(next(iter(self.seen)))
        return before


class _Handler(BaseHTTPRequestHandler):
    server: Sink
    timeout = 10

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self._answer(413)
            return
        data = self.rfile.read(int(length))
        try:
            message = self.server.signer.verify(data, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError) as error:
            self.server.lines(f"refused: {error}")
            self._answer(401)
            return
        mark = " (repeat)" if self.server.repeated(self.headers["webhook-id"]) else ""
        for line in readable(message):
            self.server.lines(line + mark)
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is inherited
        """Say nothing: the lines are the log."""


def readable(message: Any) -> list[str]:
    """Return one line for each alert of an Alertmanager v4 body: status, severity, name, sentence."""
    at = datetime.now(UTC).strftime("%H:%M:%S")
    return [_line(at, alert) for alert in message["alerts"]]


def _line(at: str, alert: Any) -> str:
    labels, notes = alert["labels"], alert["annotations"]
    where = labels.get("replica") or labels.get("pool") or ""
    parts = [f"{at} {alert['status'].upper():8}", labels.get("severity", ""), labels["alertname"], where]
    sentence = notes.get("summary", "")
    figures = "; ".join(f"{name} {notes[name]}" for name in ("gpus", "idle_cost") if name in notes)
    return " ".join(part for part in parts if part) + f": {sentence}" + (f" [{figures}]" if figures else "")


def run(port: int, secret: str) -> None:
    """Serve until interrupted, printing to standard output."""

    def show(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    with Sink(port, secret, show) as sink:
        show(f"webhook sink: {sink.url}")
        try:
            sink.serve_forever()
        except KeyboardInterrupt:
            return
