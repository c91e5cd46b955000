"""The command line under test: in this process where it can be, else as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from alerts.receivers.webhook import new_secret
from alerts.sink import Sink
from inferometer.main import main

HEADER = "seed,index,send_ts,ttft_s,e2e_s,prompt_tokens,completion_tokens,status,error"
ROWS = (
    "1,0,1786146446.0,0.5,1.5,100,11,ok,",
    "1,1,1786146447.0,3.0,4.0,100,11,ok,",
    "1,2,1786146448.0,,0.04,,,error,RuntimeError: HTTP 500: Internal Server Error",
)


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


def _checked(said: Said) -> Said:
    assert "Traceback" not in said.err + said.out, said.err
    return said


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch, tmp_path):
    """Run in an empty folder, with no setting of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("INFEROMETER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run a command in this process: cli("token", "list") -> Said."""

    def run(*arguments) -> Said:
        monkeypatch.setattr(sys, "argv", ["inferometer", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return _checked(Said(int(ended.value.code or 0), *capsys.readouterr()))

    return run


@pytest.fixture
def process():
    """Run a command as a process of its own, as chDB wants it."""

    def run(*arguments) -> Said:
        command = [sys.executable, "-m", "inferometer", *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return _checked(Said(ended.returncode, ended.stdout, ended.stderr))

    return run


@pytest.fixture
def recording(tmp_path):
    """Return a writer of a small recording: three requests, one of them failed."""

    def write(name="run", rows=ROWS, header=HEADER) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "requests.csv").write_text("\n".join((header, *rows)) + "\n")
        return folder

    return write


@dataclass(frozen=True)
class Running:
    """A service that runs: its pages, its data directory, its admin token."""

    url: str
    data_dir: Path
    token: str


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """Start `inferometer up` for all tests of the session; stopped by its process."""
    home = tmp_path_factory.mktemp("service")
    said = home / "said"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INFEROMETER_")}
    with said.open("w") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "inferometer", "up", "--port", "0", "--data-dir", str(home / "data")],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=home,
        )
    try:
        yield _ready(child, said, home / "data")
    finally:
        child.terminate()
        child.wait(20)


def _ready(child, said, data_dir) -> Running:
    deadline = time.monotonic() + 60
    while "ready: " not in said.read_text():
        assert child.poll() is None and time.monotonic() < deadline, said.read_text()
        time.sleep(0.05)
    lines = said.read_text().splitlines()
    token = next(line.rpartition(" ")[2] for line in lines if line.startswith("admin token"))
    return Running(next(line[7:] for line in lines if line.startswith("ready: ")), data_dir, token)


@pytest.fixture
def admin(service, monkeypatch):
    """Speak to the running service as its admin."""
    monkeypatch.setenv("INFEROMETER_URL", service.url)
    monkeypatch.setenv("INFEROMETER_TOKEN", service.token)
    return service


@pytest.fixture
def sink():
    """Return a webhook receiver that runs: its url, its secret, the lines it printed."""
    secret, lines = new_secret(), []
    with closing(Closable(Sink(0, secret, lines.append))) as running:
        yield running.sink.url, secret, lines


class Closable:
    """A sink served by a thread until it is closed."""

    def __init__(self, served: Sink) -> None:
        self.sink = served
        self._thread = threading.Thread(target=served.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.sink.shutdown()
        self._thread.join()
        self.sink.server_close()
