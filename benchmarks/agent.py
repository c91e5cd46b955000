"""What the agent costs a GPU host: CPU, memory and driver calls for 8 GPUs and two engines at 1 Hz.

    python benchmarks/agent.py [--seconds 30] [--repeats 3] [--ticks 10000] [--out FILE]

The agent is a process of its own with journal, shipping and /metrics, all at their defaults, over
the fake driver of tests/fake_nvml with the latencies of a real one (slept, as a driver waits); its
engines serve recorded vLLM pages, the service is a door that takes everything. Its /metrics is
scraped once a second, and so is Debian's prometheus-node-exporter beside it in the same run: the
ratio of their CPU is the figure. Then it runs accelerated, fifty ticks a second, to see whether
its memory grows. Exit status 1 when it makes more driver calls than allowed or its memory grows;
never for its time.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from parts.telling import tell

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT.parent / "shared" / "fixtures" / "engines" / "vllm-0.33.0-v1-codedriven.prom"
GPUS = 8
ENGINES = 2
LATENCIES_US = {  # measured by others on an RTX 4090; GPM as a guess on the safe side
    "nvmlDeviceGetMemoryInfo_v2": 12,
    "nvmlDeviceGetUtilizationRates": 3,
    "nvmlDeviceGetFieldValues": 50,
    "nvmlGpmSampleGet": 50,
    "nvmlGpmMetricsGet": 50,
    "nvmlDeviceGetComputeRunningProcesses_v3": 4_491,
}
PEER = "prometheus-node-exporter"
CPU_RATIO_TARGET, CPU_RATIO_STRETCH = 3.0, 1.5
RSS_TARGET_MIB = 50.0
CALLS_TARGET = 10.0
START_SECONDS = 5.0
ACCELERATED_SECONDS = 0.02
"""Length of a tick when memory is watched; sealed every two, as at 1 Hz."""
GROWTH_ALLOWED_MIB = 2.0
PROGRAM = """
import sys
from pathlib import Path
from collector.agent import run
from collector.settings import EngineTarget, Settings
server, folder, port, interval, *engines = sys.argv[1:]
sys.exit(run(Settings(
    server=server, token="t", data_dir=Path(folder), listen=("127.0.0.1", int(port)), find_engines=False,
    engines=tuple(EngineTarget(url=url) for url in engines),
    interval_seconds=float(interval), seal_seconds=2 * float(interval),
)))
"""


class Handler(BaseHTTPRequestHandler):
    """An engine's page and the service's door in one."""

    body = b""

    def do_GET(self) -> None:
        self.answer(self.body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b"")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def fake_driver(folder: Path):
    """Return a driver with eight GPUs and its latencies, and what a process needs to see it."""
    spec = importlib.util.spec_from_file_location(
        "fake_nvml_driver", ROOT / "tests" / "fake_nvml" / "driver.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    driver = module.Driver.create(folder / "state", gpus=GPUS)
    for function, latency in LATENCIES_US.items():
        for gpu in (None, *range(GPUS)):
            driver.knob(gpu, function).latency_us = latency
    return driver, driver.environment(module.build(ROOT / "build" / "fake_nvml"))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def process(command: list[str], environment: dict[str, str] | None = None) -> Iterator[int]:
    """Run a command for as long as the block lasts; gives its process id."""
    child = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}, stderr=subprocess.DEVNULL
    )
    try:
        yield child.pid
    finally:
        child.terminate()
        child.wait(20)


@contextlib.contextmanager
def agent(folder: Path, environment: dict[str, str], *, port: int, interval: float) -> Iterator[int]:
    """Run an agent with its engines and a service that takes everything."""
    engines = [f"{serve()}/metrics" for _ in range(ENGINES)]
    command = [sys.executable, "-c", PROGRAM, serve(), str(folder), str(port), str(interval), *engines]
    with process(command, environment) as pid:
        yield pid


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        return page.read().decode()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


def total_calls(driver) -> int:
    return sum(driver.calls(gpu) for gpu in (None, *range(GPUS)))


def measured(folder: Path, seconds: float) -> dict[str, float | None]:
    """Return what one run cost, the peer's beside it."""
    folder.mkdir()
    driver, environment = fake_driver(folder)
    ours, theirs = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        pids = [stack.enter_context(agent(folder / "agent", environment, port=ours, interval=1.0))]
        ports = [ours]
        if shutil.which(PEER):
            pids.append(stack.enter_context(process([PEER, f"--web.listen-address=127.0.0.1:{theirs}"])))
            ports.append(theirs)
        time.sleep(START_SECONDS)
        before, calls, begun = [cpu_seconds(pid) for pid in pids], total_calls(driver), time.monotonic()
        while time.monotonic() - begun < seconds:
            for port in ports:
                scraped(port)
            time.sleep(1.0 - (time.monotonic() - begun) % 1.0)
        took = time.monotonic() - begun
        used = [100 * (cpu_seconds(pid) - was) / took for pid, was in zip(pids, before, strict=True)]
        a_tick = (total_calls(driver) - calls) / (GPUS * took)
        return {
            "agent_cpu_percent": used[0],
            "node_exporter_cpu_percent": used[1] if used[1:] else None,
            "agent_rss_mib": rss_mib(pids[0]),
            "node_exporter_rss_mib": rss_mib(pids[1]) if pids[1:] else None,
            "driver_calls_a_gpu_and_tick": a_tick,
        }


def reads(port: int) -> int:
    """Return how often the least-read GPU was read."""
    lines = [line for line in scraped(port).splitlines() if line.startswith("inferometer_agent_reads_total{")]
    return min(int(float(line.rpartition(" ")[2])) for line in lines if 'source="gpu:' in line)


def memory_over(folder: Path, ticks: int) -> dict[str, float]:
    """Return the agent's memory at a fifth of so many ticks and at their end, in MiB."""
    folder.mkdir()
    _, environment = fake_driver(folder)
    port = free_port()
    with agent(folder / "agent", environment, port=port, interval=ACCELERATED_SECONDS) as pid:
        time.sleep(START_SECONDS)
        seen: list[float] = []
        for goal in (ticks // 5, ticks):
            while reads(port) < goal:
                time.sleep(1.0)
            seen.append(rss_mib(pid))
    return {"ticks": ticks, "rss_mib_at_a_fifth": seen[0], "rss_mib_at_the_end": seen[1]}


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ticks", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if not PAGE.exists():
        print(f"agent: the recorded page is not at {PAGE}")
        return 0
    Handler.body = PAGE.read_bytes()
    with tempfile.TemporaryDirectory() as name:
        runs = [measured(Path(name) / str(run), chosen.seconds) for run in range(chosen.repeats)]
        memory = memory_over(Path(name) / "memory", chosen.ticks) if chosen.ticks else {}
    medians = {
        key: rounded(statistics.median(run[key] for run in runs)) if runs[0][key] is not None else None
        for key in runs[0]
    }
    peer = medians["node_exporter_cpu_percent"]
    ratios = [run["agent_cpu_percent"] / run["node_exporter_cpu_percent"] for run in runs] if peer else []
    grown = memory.get("rss_mib_at_the_end", 0.0) - memory.get("rss_mib_at_a_fifth", 0.0)
    figures = {
        "gpus": GPUS,
        "engines": ENGINES,
        "seconds": chosen.seconds,
        "repeats": chosen.repeats,
        **medians,
        "cpu_ratio": rounded(statistics.median(ratios)) if ratios else f"{PEER} is not installed",
        "cpu_ratio_target": CPU_RATIO_TARGET,
        "cpu_ratio_stretch": CPU_RATIO_STRETCH,
        "rss_target_mib": RSS_TARGET_MIB,
        "driver_calls_target": CALLS_TARGET,
        "memory": {key: rounded(value) for key, value in memory.items()},
        "memory_grown_mib": rounded(grown),
    }
    tell(figures, chosen.out)
    return int(
        max(run["driver_calls_a_gpu_and_tick"] for run in runs) > CALLS_TARGET or grown > GROWTH_ALLOWED_MIB
    )


if __name__ == "__main__":
    sys.exit(main())
