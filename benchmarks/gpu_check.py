"""The agent's GPU sources against the NVIDIA driver of this machine: what it tells and what it costs.

    python benchmarks/gpu_check.py [--seconds 20] [--out FILE]

For each GPU: every column's value, the driver's time a tick, microseconds for each driver call. For
the first one: what GPM answers without root, its ids 248-260, tensor activity against matrix
products of known FLOPs, and what polling at 1 Hz costs a decoding loop in tokens/s (both need
PyTorch with CUDA, else they are told as left out). Without an NVIDIA driver it says so and exits
0. Exit 1 = a GPU is there and a tick broke one of its bounds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pynvml
from parts import gpu_calls, gpu_load
from parts.telling import tell

from collector.clock import HostClock
from collector.gpus.discovery import GpuDiscovery
from collector.gpus.nvml import DriverBusy, DriverError, Session
from telemetry.samples import GpuSample

PARTS = Path(__file__).resolve().parent / "parts"
MAX_TICK_MS = 100.0
IDENTITY = {"at_us", "gpu_uuid", "host", "read_us"}
BF16_FLOPS_A_CYCLE = {(8, 0): 2_048, (8, 9): 1_024, (9, 0): 4_096, (10, 0): 8_192}
"""Dense BF16 FLOPs of an SM in a cycle, by compute capability: the published peak over SMs x clock."""
ROUNDS = 3
NO_TORCH = "left out: no PyTorch with CUDA here"


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def watch(sources, seconds: float) -> tuple[dict[str, list[GpuSample]], float]:
    """Read every GPU once a second; the samples by source and the CPU seconds they took."""
    clock, samples = HostClock(), {source.name: [] for source in sources}
    begun, used = time.monotonic(), cpu_seconds()
    for tick in range(max(3, round(seconds))):
        for source in sources:
            records = source.read(clock.now_us()).records
            samples[source.name] += [record for record in records if isinstance(record, GpuSample)]
        time.sleep(max(0.0, begun + tick + 1 - time.monotonic()))
    return samples, cpu_seconds() - used


def report(samples: list[GpuSample], uuid: str) -> dict[str, object]:
    own = [sample for sample in samples if sample.gpu_uuid == uuid]
    last = own[-1]
    columns = {field.name: getattr(last, field.name) for field in dataclasses.fields(last)}
    told = {name: value for name, value in columns.items() if value is not None and name not in IDENTITY}
    steady = [sample.read_us / 1e3 for sample in own[2:] if sample.read_us is not None]
    handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    return {
        "told": told,
        "not_told": sorted(name for name, value in columns.items() if value is None),
        "activity_sources": sorted({str(sample.activity_source) for sample in own}),
        "mig_instances": sorted({s.mig_profile for s in samples if s.mig_profile is not None}),
        "tick_ms_p50": round(statistics.median(steady), 3),
        "tick_ms_max": round(max(steady), 3),
        "energy_watts": energy_watts(own),
        "bandwidth_gb_s": bandwidth(handle),
        "call_us": gpu_calls.microseconds(handle),
    }


def energy_watts(samples: list[GpuSample]) -> float | None:
    """Mean power by the energy counter: what money is computed from, beside the display's power."""
    first, last = samples[0], samples[-1]
    if first.energy_millijoules_total is None or last.energy_millijoules_total is None:
        return None
    millijoules = last.energy_millijoules_total - first.energy_millijoules_total
    return round(millijoules * 1e3 / (last.at_us - first.at_us), 1)


def bandwidth(handle) -> float | None:
    """Memory bandwidth by arithmetic, to be held against the published one: clock x 2 x bus / 8."""
    try:
        megahertz = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM)
        return round(megahertz * 2 * pynvml.nvmlDeviceGetMemoryBusWidth(handle) / 8 / 1e3, 1)
    except pynvml.NVMLError:
        return None


def without_root() -> dict[str, object]:
    """What GPM answers in a process that is not root."""
    command = [sys.executable, str(PARTS / "gpu_calls.py"), "nonroot"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr[-300:]}


class Load:
    """A load of known size in a process of its own; None as its result where it cannot run."""

    def __init__(self, kind: str, seconds: float) -> None:
        command = [sys.executable, str(PARTS / "gpu_load.py"), kind, str(seconds)]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.running = bool(self._child.stdout.readline())

    def result(self) -> dict[str, float] | None:
        told = self._child.stdout.read()
        if self._child.wait() not in (0, gpu_load.NO_TORCH):
            raise RuntimeError("the load failed; its error is above")
        return json.loads(told) if told else None


def known_load(source, seconds: float) -> object:
    """Tensor activity while matrix products run, beside what their FLOPs make of the peak."""
    load = Load("gemm", seconds)
    if not load.running:
        return NO_TORCH
    samples = watch([source], seconds - 2)[0][source.name][1:]
    done = load.result()
    a_cycle = BF16_FLOPS_A_CYCLE.get(tuple(done["capability"]))
    told = [s.tensor_activity_ratio for s in samples if s.tensor_activity_ratio is not None]
    clocks = [s.sm_clock_mhz for s in samples if s.sm_clock_mhz is not None]
    rate = done["flops"] / done["seconds"]
    known = a_cycle and clocks and rate / (a_cycle * done["sms"] * 1e6 * statistics.mean(clocks))
    return {
        "tflops": round(rate / 1e12, 1),
        "tensor_activity_by_flops": known and round(known, 4),
        "tensor_activity_told": round(statistics.mean(told), 4) if told else None,
        "sm_activity_told": [s.sm_activity_ratio for s in samples][-1],
        "sources": sorted({str(s.activity_source) for s in samples}),
    }


def polling_cost(source, seconds: float) -> object:
    """Tokens/s of a decoding loop without and with a reading a second, in turns."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    for polled in (False, True) * ROUNDS:
        load = Load("decode", seconds)
        if not load.running:
            return NO_TORCH
        if polled:
            watch([source], seconds - 1)
        done = load.result()
        rates[polled].append(done["tokens"] / done["seconds"])
    alone, beside = (statistics.median(rates[polled]) for polled in (False, True))
    return {
        "tokens_a_second_alone": round(alone, 1),
        "tokens_a_second_polled": round(beside, 1),
        "loss_percent": round(100 * (1 - beside / alone), 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--out", type=Path, help="also write the figures here, as JSON")
    chosen = parser.parse_args()
    try:
        sources = GpuDiscovery(Session(), host="gpu-check").find()
    except (DriverError, DriverBusy) as error:
        print(f"gpu-check: no NVIDIA GPU can be read here, nothing was checked ({error})")
        return 0
    if not sources:
        print("gpu-check: the driver answers and has no GPU, nothing was checked")
        return 0
    samples, used = watch(sources, chosen.seconds)
    first = sources[0]
    figures = {
        "driver": first.identity.driver_version,
        "gpus": {source.name: report(samples[source.name], source.identity.uuid) for source in sources},
        "gpm": gpu_calls.gpm(pynvml.nvmlDeviceGetHandleByUUID(first.identity.uuid)),
        "gpm_without_root": without_root(),
        "known_load": known_load(first, chosen.seconds),
        "polling": polling_cost(first, chosen.seconds),
        "cpu_ms_a_gpu_tick": round(1e3 * used / (max(3, round(chosen.seconds)) * len(sources)), 3),
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    tell(figures, chosen.out)
    slow = [name for name, told in figures["gpus"].items() if told["tick_ms_max"] > MAX_TICK_MS]
    verdict = f"too slow: {', '.join(slow)}" if slow else "every tick within bounds"
    print(f"gpu-check: {len(sources)} GPUs, {verdict}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
