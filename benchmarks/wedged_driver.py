"""One GPU's driver calls hang: what the page, the other seven GPUs and the agent's end notice of it.

    python benchmarks/wedged_driver.py [--seconds 120] [--out FILE]

The agent is a process of its own over the fake driver with eight GPUs, at its defaults. Two ways
to hang, so long each: every call of the GPU, and inside its GPM call, which holds a lock that all
GPUs share. Meanwhile /metrics is scraped ten times a second, as it was before anything hung (a
quarter as long): where that is slow too, the machine is. Then the driver is released and must be
read again without a restart; last it hangs once more while SIGTERM comes. Targets: /metrics p99
<= 50 ms, the others <= 2 s old, told within 10 s, recovered <= 5 s, ended <= 5 s.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from parts.telling import tell
from parts.waiting import until

ROOT = Path(__file__).resolve().parents[1]
GPUS, WEDGED = 8, 3
EVERY_SECONDS = 0.1
PROGRAM = """
import sys
from pathlib import Path
from collector.agent import run
from collector.settings import Settings
sys.exit(run(Settings(data_dir=Path(sys.argv[1]), listen=("127.0.0.1", int(sys.argv[2])), find_engines=False)))
"""
SERIES = re.compile(r"^inferometer_(\w+)\{.*?(GPU-[-0-9a-f]+).*?\} (\S+)$", re.MULTILINE)


def fake_nvml():
    path = ROOT / "tests" / "fake_nvml" / "driver.py"
    spec = importlib.util.spec_from_file_location("fake_nvml_driver", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Host:
    """An agent over a fake driver, and its page."""

    def __init__(self, folder: Path, port: int) -> None:
        self.fake = fake_nvml()
        self.driver = self.fake.Driver.create(folder / "state", gpus=GPUS)
        library = self.fake.build(ROOT / "build" / "fake_nvml")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.driver.environment(library)}
        command = [sys.executable, "-c", PROGRAM, str(folder / "agent"), str(port)]
        self.agent = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}/metrics"
        self.uuid = self.driver.gpus[WEDGED].uuid.decode()

    def wedge(self, functions: list[str]) -> None:
        for function in functions:
            self.driver.wedge(WEDGED, function)

    def page(self) -> tuple[dict[tuple[str, str], float], float]:
        """The page's series of GPUs by name and UUID, and the seconds it took."""
        begun = time.monotonic()
        text = urllib.request.urlopen(self.url, timeout=10).read().decode()
        took = time.monotonic() - begun
        return {(name, uuid): float(value) for name, uuid, value in SERIES.findall(text)}, took

    def up(self) -> int:
        try:
            return sum(value for (name, _), value in self.page()[0].items() if name == "gpu_up")
        except OSError:
            return 0

    def watch(self, seconds: float) -> dict[str, object]:
        """Scrape while the driver hangs, and tell what was seen."""
        took, oldest, told_after, begun = [], 0.0, None, time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            page, spent = self.page()
            took.append(spent)
            ages = [v for (n, u), v in page.items() if n == "agent_source_age_seconds" and u != self.uuid]
            oldest = max(oldest, *ages)
            if told_after is None and page.get(("agent_source_unresponsive", self.uuid)) == 1:
                told_after = passed
            time.sleep(EVERY_SECONDS)
        others = sum(1 for (name, uuid) in page if name == "gpu_up" and uuid != self.uuid)
        return {
            "scrapes": len(took),
            "metrics_ms": {
                "median": round(1e3 * statistics.median(took), 1),
                "p99": round(1e3 * statistics.quantiles(took, n=100)[98], 1),
                "most": round(1e3 * max(took), 1),
            },
            "others_on_the_page": others,
            "others_oldest_seconds": round(oldest, 2),
            "told_after_seconds": told_after and round(told_after, 1),
        }

    def recovered(self) -> float:
        """Release the driver; the seconds until the GPU is read again."""
        self.driver.release()
        begun = time.monotonic()
        until(lambda: self.up() == GPUS, 60, "the GPU is read again")
        return round(time.monotonic() - begun, 2)

    def ended(self) -> tuple[float, int]:
        """SIGTERM while a call hangs; the seconds until the process is gone, and its status."""
        begun = time.monotonic()
        self.agent.send_signal(signal.SIGTERM)
        status = self.agent.wait(60)
        return round(time.monotonic() - begun, 2), status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--out", type=Path, help="also write the figures here, as JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        host = Host(Path(name), free_port())
        try:
            until(lambda: host.up() == GPUS, 60, "eight GPUs are read")
            figures: dict[str, object] = {"gpus": GPUS, "seconds": chosen.seconds}
            figures["nothing_hangs"] = {"metrics_ms": host.watch(chosen.seconds / 4)["metrics_ms"]}
            ways = {"every_call": host.fake.FUNCTIONS, "inside_gpm": ["nvmlGpmSampleGet"]}
            wrong = []
            for way, functions in ways.items():
                host.wedge(functions)
                seen = host.watch(chosen.seconds)
                seen["recovered_after_seconds"] = host.recovered()
                figures[way] = seen
                wrong += (
                    [way] if seen["others_on_the_page"] != GPUS - 1 or not seen["told_after_seconds"] else []
                )
            host.wedge(host.fake.FUNCTIONS)
            time.sleep(3)
            figures["ended_after_seconds"], figures["exit_status"] = host.ended()
        finally:
            host.driver.release()
            if host.agent.poll() is None:
                host.agent.kill()
    tell(figures, chosen.out)
    return 1 if wrong or figures["exit_status"] else 0


if __name__ == "__main__":
    sys.exit(main())
