"""What single driver calls cost and tell on this machine: for `make gpu-check`.

python benchmarks/parts/gpu_calls.py nonroot     # in a process that has given up root
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable

import pynvml

REPEATS = 50
NOBODY = 65_534
IDS = {
    "graphics": 1,
    "sm": 2,
    "occupancy": 3,
    "any_tensor": 5,
    "dram": 10,
    "pcie_tx_mib": 20,
    "pcie_rx_mib": 21,
}
NAMES = {248: "sm_cycles_elapsed", 249: "sm_cycles_active", 250: "mma", 251: "dmma", 252: "hmma", 253: "imma", 254: "dfma",
         255: "pcie_tx", 256: "pcie_rx", 257: "integer", 258: "fp64", 259: "fp32", 260: "fp16"}  # fmt: skip
APART_SECONDS = 0.5
FIELDS = (74, 82, 83, 94, 138, 142, 161, 185, 186, 197, 198, 202, 230, 270)
BY_LINK, ALL_LINKS = {138, 161, 202}, 0xFFFFFFFF


def outcome(function: Callable[..., object], *arguments: object) -> str:
    """Return `ok`, or the sentence of the error a call ends in."""
    try:
        function(*arguments)
    except pynvml.NVMLError as error:
        return str(error)
    return "ok"


def calls(handle: object) -> dict[str, Callable[[], object]]:
    """Return the calls of a tick, each by its name."""
    sample = pynvml.nvmlGpmSampleAlloc() if gpm_offered(handle) else None
    named = {
        "utilization": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle),
        "sm clock": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "temperature": lambda: pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU),
        "event reasons": lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
        "memory": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2),
        "power": lambda: pynvml.nvmlDeviceGetPowerUsage(handle),
        "energy": lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle),
        "power limit": lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle),
        "PCIe width": lambda: pynvml.nvmlDeviceGetCurrPcieLinkWidth(handle),
        "MIG mode": lambda: pynvml.nvmlDeviceGetMigMode(handle),
        "compute processes": lambda: pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle),
    }
    if sample is not None:
        named["GPM sample"] = lambda: pynvml.nvmlGpmSampleGet(handle, sample)
    for field in FIELDS:
        scoped = (field, ALL_LINKS if field in BY_LINK else 0)
        named[f"field {field}"] = lambda scoped=scoped: pynvml.nvmlDeviceGetFieldValues(handle, [scoped])
    return named


def gpm_offered(handle: object) -> bool:
    """Tell whether the driver offers GPM for a GPU."""
    try:
        return bool(pynvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice)
    except pynvml.NVMLError:
        return False


def microseconds(handle: object) -> dict[str, object]:
    """Return the median and the longest time of each call of a tick, or why it is refused."""
    told: dict[str, object] = {}
    for name, call in calls(handle).items():
        if (refused := outcome(call)) != "ok":
            told[name] = refused
            continue
        times = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            call()
            times.append(1e6 * (time.perf_counter() - begun))
        told[name] = {"median": round(statistics.median(times), 1), "most": round(max(times), 1)}
    return told


def gpm(handle: object) -> dict[str, object]:
    """Return what GPM tells by id over half a second: a value, or the code it is refused with."""
    if not gpm_offered(handle):
        return {"offered": False}
    samples = [pynvml.nvmlGpmSampleAlloc() for _ in range(2)]
    try:
        pynvml.nvmlGpmSampleGet(handle, samples[0])
        time.sleep(APART_SECONDS)
        pynvml.nvmlGpmSampleGet(handle, samples[1])
        request = pynvml.c_nvmlGpmMetricsGet_t()
        wanted = {**IDS, **{name: number for number, name in NAMES.items()}}
        request.version, request.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(wanted)
        request.sample1, request.sample2 = samples
        for slot, number in zip(request.metrics, wanted.values(), strict=False):
            slot.metricId = number
        pynvml.nvmlGpmMetricsGet(request)
        told = {
            f"{number} {name}": slot.value if slot.nvmlReturn == 0 else f"NVML {slot.nvmlReturn}"
            for (name, number), slot in zip(wanted.items(), request.metrics, strict=False)
        }
    except pynvml.NVMLError as error:
        return {"offered": True, "refused": str(error)}
    finally:
        for sample in samples:
            pynvml.nvmlGpmSampleFree(sample)
    return {"offered": True, "told": told}


def main() -> int:
    """Give up root where we have it, and tell what GPM answers then."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    print(json.dumps({"uid": os.geteuid(), **gpm(handle)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
