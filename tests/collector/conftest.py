"""The fake driver for this process and for subprocesses, and small servers on free ports."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


def _load_module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fake_nvml():
    """The module that builds and steers the fake driver."""
    return _load_module("fake_nvml_driver", ROOT / "tests" / "fake_nvml" / "driver.py")


@pytest.fixture(scope="session")
def nvml_builds(fake_nvml):
    """Where compiled fakes are kept, one for each content; a second run compiles nothing."""
    return ROOT / "build" / "fake_nvml"


@pytest.fixture
def make_driver(fake_nvml, nvml_builds, tmp_path):
    """Make a driver with so many GPUs and give it to this process, some symbols hidden."""
    made = []

    def make(gpus=1, hidden=()):
        driver = fake_nvml.Driver.create(tmp_path / f"nvml-{len(made)}", gpus=gpus)
        fake_nvml.load(fake_nvml.build(nvml_builds, hidden=frozenset(hidden)), driver)
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.release()


@pytest.fixture
def eventually():
    """Poll until a condition holds, and fail with its last value when it does not in time."""

    def wait(condition, seconds=5.0):
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
            time.sleep(0.005)
        return value

    return wait


@dataclass
class Web:
    """A server whose answers a test sets, and what it was asked."""

    answer: object = b""
    status: int = 200
    headers: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    url: str = ""


@pytest.fixture
def web():
    """A small HTTP server; `answer` is bytes or a function of (handler, body)."""
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.do_GET()

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.asked.append((self.path, dict(self.headers), body))
            if callable(state.answer):
                state.answer(self, body)
                return
            self.reply(state.status, state.answer, state.headers)

        def reply(self, status, body, headers=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """A caller that hangs up is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def engine_page():
    """Read a recorded metrics page by name."""
    folder = SHARED / "fixtures" / "engines"
    if not folder.is_dir():
        pytest.skip("the recorded data of ../shared is not here")
    return lambda name: (folder / name).read_bytes()
