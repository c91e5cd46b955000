"""What the agent costs a GPU host: CPU, memory and driver calls for 8 GPUs and some engines at 1 Hz.

    python benchmarks/agent_cost.py [--seconds 20] [--engines 2]

The driver is the fake of tests/fake_nvml with the latencies of a real one (memory 11.6 us,
utilization 2.5 us, measured on an RTX 4090 by others); the engines serve a page of 400 series. The
agent is a process of its own, with journal, shipping and /metrics, all at their defaults. Beside
it: what is published of dcgm-exporter, 131 % of a core and 248 MiB on an idle host.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GPUS = 8
LATENCIES_US = {"nvmlDeviceGetMemoryInfo_v2": 12, "nvmlDeviceGetUtilizationRates": 3, "nvmlGpmMetricsGet": 50}
CPU_TARGET, RSS_TARGET_MIB, CALLS_TARGET = 0.5, 60, 10
GAUGES = [
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "prompt_tokens_total",
    "generation_tokens_total",
    "num_preemptions_total",
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
]
HISTOGRAMS = [
    "time_to_first_token_seconds",
    "inter_token_latency_seconds",
    "e2e_request_latency_seconds",
    "request_queue_time_seconds",
    "request_prefill_time_seconds",
    "request_decode_time_seconds",
    "request_inference_time_seconds",
    "request_prompt_tokens",
    "request_generation_tokens",
    "iteration_tokens_total",
    "request_params_n",
    "request_params_max_tokens",
    "request_max_num_generation_tokens",
]
PROGRAM = """
import sys
from pathlib import Path
from collector.agent import run
from collector.settings import load
given = {"server": sys.argv[1], "token": "t", "data_dir": Path(sys.argv[2]), "listen": "127.0.0.1:0",
         "engines": ",".join(sys.argv[3:]), "find_engines": False}
sys.exit(run(load(None, {}, given)))
"""


def page() -> bytes:
    labels = '{engine="0",model_name="Qwen/Qwen3-8B"'
    lines = []
    for name in GAUGES:
        lines += [f"# HELP vllm:{name} x", f"# TYPE vllm:{name} gauge", f"vllm:{name}{labels}}} 0.5"]
    for name in HISTOGRAMS:
        lines += [f"# HELP vllm:{name} x", f"# TYPE vllm:{name} histogram"]
        lines += [f'vllm:{name}_bucket{labels},le="{bound}"}} 7' for bound in [*range(1, 25), "+Inf"]]
        lines += [f"vllm:{name}_count{labels}}} 7", f"vllm:{name}_sum{labels}}} 7.5"]
    return ("\n".join(lines) + "\n").encode()


class Handler(BaseHTTPRequestHandler):
    body = page()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def serve() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def fake_driver(folder: Path):
    spec = importlib.util.spec_from_file_location(
        "fake_nvml_driver", ROOT / "tests" / "fake_nvml" / "driver.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    driver = module.Driver.create(folder / "state", gpus=GPUS)
    for function, latency in LATENCIES_US.items():
        for gpu in range(GPUS):
            driver.knob(gpu, function).latency_us = latency
        driver.knob(None, function).latency_us = latency
    return driver, driver.environment(module.build(folder))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--engines", type=int, default=2)
    chosen = parser.parse_args()
    seconds = chosen.seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        driver, environment = fake_driver(folder)
        engines = [f"{serve()}/metrics" for _ in range(chosen.engines)]
        command = [sys.executable, "-c", PROGRAM, serve(), str(folder / "agent"), *engines]
        agent = subprocess.Popen(command, env={**os.environ, **environment, "PYTHONPATH": str(ROOT)})
        time.sleep(5)  # start-up is over
        used, calls = cpu_seconds(agent.pid), [driver.calls(gpu) for gpu in range(GPUS)]
        shared = driver.calls()
        time.sleep(seconds)
        used = cpu_seconds(agent.pid) - used
        made = sum(driver.calls(gpu) - before for gpu, before in enumerate(calls)) + driver.calls() - shared
        memory = rss_mib(agent.pid)
        agent.terminate()
        agent.wait(10)
    cpu, a_tick = 100 * used / seconds, made / (GPUS * seconds)
    print(f"{GPUS} GPUs, {chosen.engines} engines, {seconds:g} s")
    print(f"cpu          {cpu:6.2f} % of a core   (target for the GPUs alone: {CPU_TARGET} %)")
    print(f"memory       {memory:6.1f} MiB          (target {RSS_TARGET_MIB} MiB)")
    print(f"driver calls {a_tick:6.2f} a GPU and tick (target {CALLS_TARGET})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
