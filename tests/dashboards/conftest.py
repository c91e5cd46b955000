"""A real service with a simulated fleet in trouble, and Debian's Chromium to look at it with."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from service.store.state import State
from service.store.tokens import Role
from simulator.arrivals import generate, merged
from simulator.demo import traffic
from simulator.faults import Fault, FaultKind
from simulator.fleets import CODE_POOL, demo_fleet
from simulator.world import World
from telemetry.columns import TABLE_OF, TABLES
from telemetry.identity import Origin
from telemetry.wire import BatchHeader, encode

S = 1_000_000
PAST_S, FUTURE_S = 300, 150
"""How long the fleet has been watched when the tests begin, and how long its story goes on."""
_UNTIL = (PAST_S + FUTURE_S) * S
WEDGE = Fault(kind=FaultKind.WEDGE, replica="chat-1", start_us=240 * S, end_us=_UNTIL)
OVERLOAD = Fault(kind=FaultKind.OVERLOAD, pool=CODE_POOL, start_us=200 * S, end_us=_UNTIL, factor=6.0)
QUICK = {
    "BLOCK_SECONDS": "0.5",
    "EVALUATION_SECONDS": "1",
    "LEDGER_INTERVAL_SECONDS": "10",
    "LEDGER_LAG_SECONDS": "5",
    "BALLAST_BYTES": "0",
}
_CHROMIUM, _DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def now_us() -> int:
    return time.time_ns() // 1_000


class Watched:
    """One running service, and batches for it."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home, self._said = home, home / "said"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INFEROMETER_")}
        told = {f"INFEROMETER_{name}": value for name, value in (QUICK | settings).items()}
        with self._said.open("w") as output:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "inferometer", "up", "--port", "0", "--data-dir", str(home / "data")],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=kept | told,
                cwd=home,
            )
        self.until(lambda: "ready: " in self.log, 60)
        lines = self.log.splitlines()
        self.url = next(line[7:] for line in lines if line.startswith("ready: "))
        self.admin = next(line.rpartition(" ")[2] for line in lines if line.startswith("admin token"))
        with contextlib.closing(State.open(f"sqlite:///{home / 'data' / 'state.db'}")) as state:
            self._token = state.tokens.create("gpu-host-1", Role.AGENT, now_us=now_us())
        self._seq = 0

    @property
    def log(self) -> str:
        return self._said.read_text()

    def until(self, holds, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert self.child.poll() is None and time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def post(self, records, *, origin=Origin.SIMULATED) -> None:
        self._seq += 1
        tables = {table.name: [] for table in TABLES}
        for record in records:
            tables[TABLE_OF[type(record)].name].append(record)
        header = BatchHeader(boot="b", seq=self._seq, sealed_at_us=now_us(), host="gpu-host-1", origin=origin)
        answer = httpx.post(
            f"{self.url}/api/v1/batches",
            content=encode(header, tables),
            headers={"authorization": f"Bearer {self._token}"},
            timeout=30,
        )
        assert answer.status_code == 202, answer.text

    def view(self, name: str, **query) -> dict:
        return httpx.get(f"{self.url}/api/v1/views/{name}", params=query, timeout=30).json()

    def stop(self) -> None:
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(10)


def _story(start_us: int) -> list[list]:
    """Return the fleet's records, one list for each second; as the proxy does, requests under way too."""
    faults = (WEDGE, OVERLOAD)
    arrivals = merged([generate(stream, seed=7, until_us=_UNTIL) for stream in traffic(faults)])
    world = World(demo_fleet(), start_us=start_us, faults=faults)
    seconds: list[list] = [[]]
    for record in world.run(arrivals, until_us=_UNTIL):
        second = (getattr(record, TABLE_OF[type(record)].time_column) - start_us) // S
        while len(seconds) <= second:
            under_way = world.unfinished(len(seconds) * S)
            seconds[-1] += [each for each in under_way if each.at_us - each.started_at_us > S]
            seconds.append([])
        seconds[-1].append(record)
    return seconds


def _feed(watched: Watched, start_us: int, seconds: list[list], stop: threading.Event) -> None:
    """Tell the service what happens as it happens."""
    for second, records in enumerate(seconds):
        while now_us() < start_us + (second + 1) * S:
            if stop.wait(0.05):
                return
        if records:
            watched.post(records)


def _shows_everything(watched: Watched) -> bool:
    told = watched.view("overview", range="5m")
    classes = {finding["class"] for finding in told["findings"]}
    burning = any(promise["state"] == "page" for promise in told["promises"])
    return {"A1", "capacity"} <= classes and len(told["money"]["classes"]) > 1 and burning


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """Return a service that watches a fleet with a wedged replica and an overloaded pool, live."""
    prices = {"PRICES": '{"H100" = "2.95"}'}
    watched = Watched(tmp_path_factory.mktemp("troubled"), **prices)
    start_us = now_us() // S * S - PAST_S * S
    seconds, stop = _story(start_us), threading.Event()
    told = (now_us() - start_us) // S
    for first in range(0, told, 50):
        watched.post([record for second in seconds[first : min(first + 50, told)] for record in second])
    rest = [[] for _ in range(told)] + seconds[told:]
    feeder = threading.Thread(target=_feed, args=(watched, start_us, rest, stop), daemon=True)
    feeder.start()
    try:
        watched.until(lambda: _shows_everything(watched), 60)
        yield watched
    finally:
        stop.set()
        feeder.join(5)
        watched.stop()
    assert "Traceback" not in watched.log


@pytest.fixture(scope="session")
def watched():
    """Return a way to start a service of one's own: `with watched(folder, SETTING="...") as running`."""

    @contextlib.contextmanager
    def start(home: Path, **settings: str):
        running = Watched(home, **settings)
        try:
            yield running
        finally:
            running.stop()
        assert "Traceback" not in running.log

    return start


@pytest.fixture
def closed(tmp_path):
    """Return a service that nobody has told anything, and that asks readers for a token."""
    watched = Watched(tmp_path, PAGES_OPEN="false")
    yield watched
    watched.stop()


class Browser:
    """Chromium, driven: what a person does, and what they would see."""

    def __init__(self, profile: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(_CHROMIUM)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        self.driver = webdriver.Chrome(options=options, service=Service(str(_DRIVER)))
        self.driver.set_page_load_timeout(30)
        self.driver.set_script_timeout(20)

    def size(self, width: int, height: int) -> None:
        """Show pages in a window of this size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def dark(self, *, on: bool) -> None:
        """Prefer dark pages, or light ones."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def open(self, url: str) -> None:
        """Open a page and wait until it is drawn."""
        self.driver.get(url)
        self.until("return Number(document.body.dataset.drawn) > 0")

    def run(self, script: str, *given):
        """Return what a script returns."""
        return self.driver.execute_script(script, *given)

    def until(self, script: str, *given, seconds: float = 20):
        """Return the first true thing that a script returns."""
        deadline = time.monotonic() + seconds
        while not (found := self.run(script, *given)):
            assert time.monotonic() < deadline, f"{script}\n{self.text('body')[:1500]}\n{self.complaints()}"
            time.sleep(0.1)
        return found

    def text(self, selector: str) -> str:
        """Return the text that an element shows."""
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def click(self, selector: str) -> None:
        """Click an element by a selector; the page that it leads to is drawn when this returns."""
        self.run("document.body.dataset.left = 'yes'; document.querySelector(arguments[0]).click()", selector)
        self.until("return !document.body.dataset.left && Number(document.body.dataset.drawn) > 0")

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """Return what the browser's console complained of since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """Return a browser; skip where there is none."""
    pytest.importorskip("selenium", reason="selenium is not installed (pip install '.[dev]')")
    if not (_CHROMIUM.exists() and _DRIVER.exists()):
        pytest.skip("Debian's Chromium is not installed (make browser)")
    profile = tmp_path_factory.mktemp("profile")
    browser = Browser(profile)
    yield browser
    browser.driver.quit()
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def browser(chromium):
    """Return the browser with a light window of 1366 x 900 and a quiet console."""
    chromium.size(1366, 900)
    chromium.dark(on=False)
    chromium.driver.get("about:blank")
    chromium.complaints()
    return chromium
