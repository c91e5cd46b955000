"""A webhook receiver that checks every signature and keeps every alert it is told."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook as Signer
from standardwebhooks import WebhookVerificationError

from alerts.receivers.webhook import new_secret


@dataclass(frozen=True)
class Receipt:
    """One alert of one webhook: when it came, the webhook's id, the alert of an Alertmanager body."""

    at_us: int
    message_id: str
    alert: dict[str, Any]

    @property
    def incident(self) -> str:
        return str(self.alert["generatorURL"].rpartition("#")[2])

    @property
    def status(self) -> str:
        return str(self.alert["status"])


class Receiver(ThreadingHTTPServer):
    """Listens on a free port; takes up to `slowest_seconds` to answer, as real receivers do."""

    daemon_threads = True

    def __init__(self, *, slowest_seconds: float = 0.0, seed: int = 1) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = new_secret()
        self.signer = Signer(self.secret)
        self.receipts: list[Receipt] = []
        self.refused = 0
        self.lock = threading.Lock()
        self.slowest_seconds, self.chance = slowest_seconds, random.Random(seed)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def settings(self) -> dict[str, object]:
        """Itself as a receiver of the service's settings."""
        url = f"http://127.0.0.1:{self.server_address[1]}/"
        return {"name": "oncall", "url": url, "secret": self.secret, "allow_private": True}

    def told(self, name: str) -> list[Receipt]:
        """Return what came about alerts of a name, in order of arrival."""
        with self.lock:
            return [one for one in self.receipts if one.alert["labels"]["alertname"] == name]

    def handle_error(self, request, client_address) -> None:
        """A sender that was killed hangs up: that is the point."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        at_us = time.time_ns() // 1000
        try:
            message = self.server.signer.verify(data, dict(self.headers.items()))
        except WebhookVerificationError:
            self.server.refused += 1
            self.send_error(401)
            return
        with self.server.lock:
            self.server.receipts += [
                Receipt(at_us, self.headers["webhook-id"], alert) for alert in message["alerts"]
            ]
        time.sleep(self.server.chance.uniform(0, self.server.slowest_seconds))
        self.send_response(204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is inherited
        """Say nothing."""
