"""A service that really runs, as `inferometer up` starts it, and bodies to send to it."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.own_metrics import PREFIX
from service.store.state import State
from service.store.tokens import Role
from telemetry.requests import RequestRecord, Status
from telemetry.wire import BatchHeader, encode

QUICK = {"BLOCK_SECONDS": "0.2", "EVALUATION_SECONDS": "0.5", "BALLAST_BYTES": "0"}
_SEQS = itertools.count()


def _now_us() -> int:
    return time.time_ns() // 1_000


@dataclass(eq=False)
class Served:
    """One running service. Everything goes over HTTP, but for tokens, which the command line makes."""

    child: subprocess.Popen
    data_dir: Path
    said: Path
    url: str = ""
    admin: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    def wait_until_ready(self) -> None:
        self.until(lambda: "ready: " in self.log() or self.child.poll() is not None, 60)
        lines = self.log().splitlines()
        assert self.child.poll() is None, self.log()
        self.url = next(line[7:] for line in lines if line.startswith("ready: "))
        self.admin = next((line.rpartition(" ")[2] for line in lines if line.startswith("admin token")), "")

    def log(self) -> str:
        return self.said.read_text()

    def state(self):
        return contextlib.closing(State.open(f"sqlite:///{self.data_dir / 'state.db'}"))

    def token(self, role: str, name: str = "") -> str:
        name = name or f"a-{role}"
        if name not in self.tokens:
            with self.state() as state:
                self.tokens[name] = state.tokens.create(name, Role(role), now_us=_now_us())
        return self.tokens[name]

    def call(self, method, path, *, token=None, **more) -> httpx.Response:
        headers = more.pop("headers", {}) | ({"authorization": f"Bearer {token}"} if token else {})
        return httpx.request(method, self.url + path, headers=headers, timeout=20, **more)

    def post(self, body, *, token=None, **more) -> httpx.Response:
        token = self.token("agent") if token is None else token
        return self.call("POST", "/api/v1/batches", token=token, content=body, **more)

    def metric(self, name: str, **labels) -> float:
        """Return the sum of a family's samples that have these labels."""
        families = text_string_to_metric_families(self.call("GET", "/metrics").text)
        samples = [each for family in families for each in family.samples if each.name == PREFIX + name]
        return sum(each.value for each in samples if labels.items() <= each.labels.items())

    def until(self, holds, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def everything_is_stored(self) -> bool:
        return self.metric("rows_total") == self.metric("stored_rows_total")

    def stop(self, seconds: float = 15) -> int:
        """Ask it to end; return its exit status."""
        self.child.terminate()
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise


def _environment(changed: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INFEROMETER_")}
    return kept | {f"INFEROMETER_{name}": value for name, value in (QUICK | changed).items()}


@contextlib.contextmanager
def _serving(home: Path, data_dir: Path | None = None, **settings: str):
    said, data_dir = home / f"said-{next(_SEQS)}", data_dir or home / "data"
    with said.open("w") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "inferometer", "up", "--port", "0", "--data-dir", str(data_dir)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(settings),
            cwd=home,
        )
    served = Served(child, data_dir, said)
    try:
        served.wait_until_ready()
        yield served
    finally:
        if child.poll() is None:
            served.stop()


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """Return the service that most tests share; pages are closed, as on a public address."""
    with _serving(tmp_path_factory.mktemp("served"), PAGES_OPEN="false") as running:
        yield running
        assert "Traceback" not in running.log()


@pytest.fixture(scope="session")
def serving():
    """Return a way to start a service of one's own: `with serving(folder, SETTING="...") as served`."""
    return _serving


@pytest.fixture
def refused():
    """Return how a start ended that cannot succeed: refused(arguments, SETTING="...") -> (code, words)."""

    def run(*arguments, **settings: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "inferometer", "up", *map(str, arguments)]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=_environment(settings)
        )
        assert "Traceback" not in ended.stdout + ended.stderr
        return ended.returncode, re.sub(r"\s+", " ", ended.stdout + ended.stderr)

    return run


@pytest.fixture
def batch():
    """Return a maker of good bodies; each has a number of its own: batch(rows=3, boot="b")."""

    def make(rows: int = 3, *, boot: str = "b", seq: int | None = None, **changed) -> bytes:
        at_us = changed.pop("ended_at_us", _now_us())
        header = {"sealed_at_us": at_us, "host": "h", **changed.pop("header", {})}
        seq = next(_SEQS) if seq is None else seq
        records = [
            RequestRecord(
                **{
                    "request_id": f"{boot}-{seq}-{number}",
                    "model": "m",
                    "status": Status.OK,
                    "started_at_us": at_us - 1_000,
                    "ended_at_us": at_us,
                    "e2e_us": 1_000,
                    **changed,
                }
            )
            for number in range(rows)
        ]
        return encode(BatchHeader(boot=boot, seq=seq, **header), {"requests": records})

    return make
