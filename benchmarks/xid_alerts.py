"""From an Xid in the driver to an alert that fires at the service, told by driver and kernel log at once.

    python benchmarks/xid_alerts.py [--xids 30] [--storm 672] [--every 5 1] [--out FILE]

A service and an agent as processes of their own (a tick of 1 s; judged every 5 s, its default, and
every second), the agent over the fake driver with eight GPUs and a kernel log it follows.
Fatal Xids on GPUs in turn, at random moments of the services' rounds; the time until the alert is
listed as firing. Then a storm of Xid 45 (one fleet had 672 in three hours), here at once: how many
events of it are told, and how many alerts it makes. Every Xid must count exactly once. Target: from
NVML to the central alert within 2 s at p99, which five seconds between two judgements cannot reach.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from parts.telling import tell
from parts.waiting import until

ROOT = Path(__file__).resolve().parents[1]
GPUS = 8
FATAL = (46, 62, 64, 79, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158)
COUNTED = re.compile(
    r'^inferometer_gpu_xid_errors_total\{code="(\d+)",gpu_uuid="([^"]+)"\} (\S+)$', re.MULTILINE
)
PROGRAM = """
import sys
from pathlib import Path
from collector.agent import run
from collector.settings import Settings
url, token, folder, port, log = sys.argv[1:]
sys.exit(run(Settings(server=url, token=token, data_dir=Path(folder), listen=("127.0.0.1", int(port)),
                      find_engines=False, kernel_log=Path(log), host="bench")))
"""


def fake_nvml():
    spec = importlib.util.spec_from_file_location(
        "fake_nvml_driver", ROOT / "tests" / "fake_nvml" / "driver.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Service:
    """The service, and what it lists."""

    def __init__(self, folder: Path, every: float) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "INFEROMETER_EVALUATION_SECONDS": str(every)}
        command = [sys.executable, "-m", "inferometer", "up", "--data-dir", str(folder), "--port", "0"]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.url = self.process.stdout.readline().split()[-1]
        made = [
            sys.executable,
            "-m",
            "inferometer",
            "token",
            "create",
            "bench",
            "--role",
            "agent",
            "--data-dir",
            str(folder),
        ]
        self.token = subprocess.run(
            made, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        self.web = httpx.Client(base_url=self.url, timeout=10)

    def firing(self) -> set[str]:
        alerts = self.web.get("/api/v1/alerts").json()
        return {each["labels"] for each in alerts if each["name"] == "gpu_xid" and each["state"] == "firing"}


class Host:
    """An agent over a fake driver, with a kernel log."""

    def __init__(self, folder: Path, service: Service, port: int) -> None:
        fake = fake_nvml()
        self.driver = fake.Driver.create(folder / "nvml", gpus=GPUS)
        self.log = folder / "kern.log"
        self.log.touch()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **self.driver.environment(fake.build(ROOT / "build" / "fake_nvml")),
        }
        arguments = [service.url, service.token, str(folder / "agent"), str(port), str(self.log)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments], env=environment, stderr=subprocess.DEVNULL
        )
        self.page_url = f"http://127.0.0.1:{port}/metrics"

    def page(self) -> str:
        try:
            return httpx.get(self.page_url, timeout=5).text
        except httpx.HTTPError:
            return ""

    def happen(self, gpu: int, code: int) -> None:
        """One error, by both routes."""
        self.driver.happen(gpu, code)
        with self.log.open("a") as file:
            file.write(f"kernel: NVRM: Xid (PCI:0000:{gpu + 1:02x}:00): {code}, pid=77, name=python3, told\n")

    def uuid(self, gpu: int) -> str:
        return self.driver.gpus[gpu].uuid.decode()

    def counts(self) -> dict[tuple[str, int], int]:
        return {(uuid, int(code)): int(float(count)) for code, uuid, count in COUNTED.findall(self.page())}


def latencies(host: Host, service: Service, xids: int) -> list[float]:
    found = []
    for number in range(xids):
        gpu, code = number % GPUS, FATAL[number // GPUS % len(FATAL)]
        time.sleep(random.random() * 5)
        begun = time.monotonic()
        host.happen(gpu, code)
        wanted = (host.uuid(gpu), f"code {code}")
        while not any(all(word in labels for word in wanted) for labels in service.firing()):
            if time.monotonic() - begun > 60:
                raise TimeoutError(f"Xid {code} of GPU {gpu} made no alert")
            time.sleep(0.02)
        found.append(time.monotonic() - begun)
    return found


def storm(host: Host, service: Service, errors: int) -> dict[str, object]:
    before = service.firing()
    for _ in range(errors):
        host.happen(0, 45)
    until(lambda: host.counts().get((host.uuid(0), 45), 0) >= errors, 60, "the storm is counted")
    time.sleep(7)
    held = re.search(r"^inferometer_agent_hardware_events_held_back_total (\S+)$", host.page(), re.MULTILINE)
    return {
        "errors": errors,
        "counted": host.counts()[host.uuid(0), 45],
        "events_told": errors - int(float(held[1])),
        "alerts_made": len(service.firing() - before),
    }


def run(folder: Path, every: float, options: argparse.Namespace) -> dict[str, object]:
    service = Service(folder / "service", every)
    host = Host(folder, service, options.port)
    try:
        until(lambda: host.page().count("inferometer_gpu_up{") == GPUS, 60, "all GPUs are read")
        until(lambda: 'source_up{source="xid:driver"} 1' in host.page(), 60, "the driver's events are read")
        took = latencies(host, service, options.xids)
        counts = host.counts()
        figures = {
            "judged_every_seconds": every,
            "xids": len(took),
            "counted_once": sum(counts.values()) == len(took) and set(counts.values()) == {1},
            "seconds_to_alert": {
                "median": round(statistics.median(took), 2),
                "p90": round(statistics.quantiles(took, n=10)[8], 2),
                "most": round(max(took), 2),
            },
        }
        return {**figures, "storm": storm(host, service, options.storm)}
    finally:
        for process in (host.process, service.process):
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xids", type=int, default=30)
    parser.add_argument("--storm", type=int, default=672)
    parser.add_argument("--every", type=float, nargs="+", default=[5.0, 1.0])
    parser.add_argument("--port", type=int, default=9487)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rounds = []
    for every in given.every:
        with tempfile.TemporaryDirectory() as home:
            rounds.append(run(Path(home), every, given))
    tell({"rounds": rounds}, given.out)
    if not all(each["counted_once"] and each["storm"]["counted"] == given.storm for each in rounds):
        sys.exit(1)
