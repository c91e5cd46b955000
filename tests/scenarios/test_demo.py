"""The demo as a stranger runs it: within a minute a wedge and an overload reach the webhook sink."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time

import httpx
import psutil
import pytest

VIEWS = ("overview", "objectives", "gpus", "requests", "cost", "alerts")
TOLD_SECONDS = 60.0


class Demo:
    """A running `inferometer demo`, its lines as they come."""

    def __init__(self, command, **options) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )
        self.lines: list[str] = []
        self._new: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._new.put(line)

    def line(self, *words: str, until: float) -> str:
        """Return the first line that has all words; fails at the instant `until` (monotonic)."""
        while not (found := [line for line in self.lines if all(word in line for word in words)]):
            try:
                self.lines.append(self._new.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                pytest.fail(f"no line with {words} in time; it said:\n{''.join(self.lines)}")
        return found[0]

    def output(self) -> str:
        """Return everything it said; it has ended."""
        self._reader.join(10)
        while not self._new.empty():
            self.lines.append(self._new.get())
        return "".join(self.lines)


@pytest.fixture
def demo(repository, tree, tmp_path):
    command = [sys.executable, "-m", "inferometer", "demo", "--once", "--seconds", "50", "--port", "0"]
    running = Demo([*command, "--data-dir", str(tmp_path / "demo")], env=tree, cwd=repository)
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGINT)
        running.process.wait(30)


def _answers(url: str) -> None:
    for name in VIEWS:
        answer = httpx.get(f"{url}/api/v1/views/{name}", timeout=30)
        assert answer.status_code == 200, (name, answer.text[:500])
        body = answer.json()
        assert body["sentences"], name
        assert any("SIMULATED" in mark for mark in body["marks"]), name
    page = httpx.get(url, timeout=30)
    assert page.status_code == 200
    assert "<html" in page.text


@pytest.mark.xdist_group("processes")
@pytest.mark.timeout(240)
def test_a_stranger_sees_a_wedge_and_an_overload_within_a_minute(demo):
    url = demo.line("ready:", until=time.monotonic() + 90).split()[-1]
    deadline = time.monotonic() + TOLD_SECONDS
    wedge = demo.line("webhook:", "FIRING", "page A1", until=deadline)
    assert "admits nothing" in wedge
    assert "gpus SIM-" in wedge
    assert "idle_cost" in wedge
    _answers(url)
    assert "code" in demo.line("webhook:", "FIRING", "capacity", until=deadline)
    children = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(children) >= 5

    assert demo.process.wait(90) == 0
    said = demo.output()
    assert "Traceback" not in said
    assert "ended by itself" not in said
    assert "refused" not in said
    gone, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert len(gone) == len(children)
