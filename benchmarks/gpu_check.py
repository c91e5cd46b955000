"""The agent's GPU sources against the NVIDIA driver of this machine: what it tells and what it costs.

    python benchmarks/gpu_check.py [--seconds 20] [--out FILE]

Prints each column's value, the driver's time a tick, this process' CPU and memory, and, for the
numbers the vendor publishes, a check by arithmetic (bandwidth = clock x bus width). Without an
NVIDIA driver it says so and exits 0. Exit 1 = a GPU is there and a tick broke one of its bounds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import statistics
import sys
import time
from pathlib import Path

from collector.clock import HostClock
from collector.gpus.discovery import GpuDiscovery
from collector.gpus.nvml import DriverBusy, DriverError, Session
from telemetry.samples import GpuSample

MAX_TICK_MS = 100.0
IDENTITY = {"at_us", "gpu_uuid", "host", "read_us"}


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


def report(samples: list[GpuSample]) -> dict[str, object]:
    last = samples[-1]
    columns = {field.name: getattr(last, field.name) for field in dataclasses.fields(last)}
    told = {name: value for name, value in columns.items() if value is not None and name not in IDENTITY}
    steady = [sample.read_us / 1e3 for sample in samples[2:]]
    return {
        "told": told,
        "not_told": sorted(name for name, value in columns.items() if value is None),
        "activity_sources": sorted({str(sample.activity_source) for sample in samples}),
        "tick_ms_p50": round(statistics.median(steady), 3),
        "tick_ms_max": round(max(steady), 3),
        "energy_watts": energy_watts(samples),
    }


def energy_watts(samples: list[GpuSample]) -> float | None:
    """Mean power by the energy counter: what money is computed from, beside the display's power."""
    first, last = samples[0], samples[-1]
    if first.energy_millijoules_total is None or last.energy_millijoules_total is None:
        return None
    millijoules = last.energy_millijoules_total - first.energy_millijoules_total
    return round(millijoules * 1e3 / (last.at_us - first.at_us), 1)


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
    ticks = len(next(iter(samples.values())))
    figures = {
        "gpus": {name: report(rows) for name, rows in samples.items()},
        "cpu_ms_a_gpu_tick": round(1e3 * used / (ticks * len(sources)), 3),
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    text = json.dumps(figures, indent=2, default=str)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    slow = [name for name, told in figures["gpus"].items() if told["tick_ms_max"] > MAX_TICK_MS]
    verdict = f"too slow: {', '.join(slow)}" if slow else "every tick within bounds"
    print(f"gpu-check: {len(sources)} GPUs, {verdict}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
