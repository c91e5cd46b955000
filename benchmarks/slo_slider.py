"""How soon the page of an objective shows what a moved threshold would have meant, and whether it is right.

    python benchmarks/slo_slider.py RUNS [--moves 40] [--out FILE]

RUNS is a folder of recorded runs, each with `requests.csv.gz`. Every run is imported, opened in
Debian's Chromium on a running service, and its threshold moved by the slider's own event. A move
is timed in the browser, from the event to the finished drawing of the chart; the number of good
requests that it shows is compared with a recount of the recorded file, one request at a time.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import httpx
from parts.telling import tell
from parts.waiting import until
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

OBJECTIVE = "ttft"
MOST_MS = 1_000
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--window-size=1366,900",
)
_MOVE = """
const [step, done] = arguments, slide = document.querySelector("#slide-limit"), before = document.body.dataset.tried;
const began = performance.now();
const look = () => (document.body.dataset.tried === before ? setTimeout(look, 1)
  : done([performance.now() - began, JSON.parse(document.body.dataset.tried)]));
slide.value = step;
slide.dispatchEvent(new Event("input"));
look();
"""


def first_tokens(run: Path) -> list[Decimal | None]:
    """Return the whole microseconds until the first token of every recorded request; None = it failed."""
    with gzip.open(run / "requests.csv.gz", "rt") as lines:
        return [
            (Decimal(row["ttft_s"]) * 1_000_000).quantize(Decimal(1)) if row["status"] == "ok" else None
            for row in csv.DictReader(lines)
        ]


def moves(
    browser: webdriver.Chrome, recorded: Sequence[Decimal | None], steps: Sequence[int]
) -> Iterator[float]:
    """Yield how long each move took, milliseconds. Raises `AssertionError` for a wrong count."""
    for step in steps:
        took_ms, told = browser.execute_async_script(_MOVE, step)
        limit = told["limits"]["limit"]
        good = sum(1 for each in recorded if each is not None and each <= limit)
        assert (told["good"], told["total"]) == (good, len(recorded)), (told, good)
        yield took_ms


def measured(url: str, runs: Sequence[Path], steps: Sequence[int]) -> dict[str, list[float]]:
    """Return the times of all moves of each run."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in _FLAGS:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    browser.set_script_timeout(30)
    datasets = httpx.get(f"{url}/api/v1/views/objectives", timeout=30).json()["datasets"]
    found = {}
    try:
        for run in runs:
            name = next(name for name, title in datasets.items() if title == run.name)
            browser.get(str(httpx.URL(f"{url}/objectives", params={"dataset": name, "name": OBJECTIVE})))
            until(
                lambda: bool(browser.execute_script("return document.body.dataset.tried")),
                60,
                f"{run.name} is drawn",
            )
            found[run.name] = list(moves(browser, first_tokens(run), steps))
    finally:
        browser.quit()
    return found


def main() -> None:
    """Import, serve, move, compare, tell."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("runs", type=Path)
    arguments.add_argument("--moves", type=int, default=40)
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    runs = sorted(path.parent for path in given.runs.glob("*/requests.csv.gz"))
    half = given.moves // 2
    steps = [160 + (-1) ** at * (at % half + 1) * 3 for at in range(given.moves)]
    with tempfile.TemporaryDirectory(prefix="inferometer-slider-") as folder:
        data, said = Path(folder) / "data", Path(folder) / "said"
        for run in runs:
            command = [sys.executable, "-m", "inferometer", "import", str(run), "--into", str(data)]
            subprocess.run(command, check=True, capture_output=True)
        with said.open("w") as output:
            command = [sys.executable, "-m", "inferometer", "up", "--port", "0", "--data-dir", str(data)]
            child = subprocess.Popen(command, stdout=output)
        try:
            until(lambda: "ready: " in said.read_text(), 60, "the service is ready")
            url = next(line[7:] for line in said.read_text().splitlines() if line.startswith("ready: "))
            found = measured(url, runs, steps)
        finally:
            child.terminate()
            child.wait(20)
    every = [each for times in found.values() for each in times]
    tell(
        {
            "moves": len(every),
            "median_ms": {name: round(statistics.median(times), 1) for name, times in found.items()},
            "slowest_ms": round(max(every), 1),
            "slower_than_a_second": sum(each > MOST_MS for each in every),
            "wrong_counts": 0,
        },
        given.out,
    )


if __name__ == "__main__":
    main()
