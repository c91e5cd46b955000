"""What a whole GPU and a MIG instance have in common, as columns of a sample."""

from __future__ import annotations

from typing import Any

import pynvml

from collector.gpus.activity import Activity
from collector.gpus.identity import GpuIdentity
from collector.gpus.nvml import ask


def identity_columns(identity: GpuIdentity, host: str, now_us: int) -> dict[str, Any]:
    """Return the columns that say which GPU a row is about; they are kept when it is lost."""
    return {
        "at_us": now_us,
        "gpu_uuid": identity.uuid,
        "host": host,
        "gpu_index": identity.index,
        "gpu_model": identity.model,
        "pci_bus_id": identity.pci_bus_id,
        "driver_version": identity.driver_version,
    }


def memory_columns(handle: Any) -> dict[str, int]:
    """Return the memory of a GPU or an instance, empty where it is not told; one driver call.

    Only the second version: the first counts the driver's reservation as used.
    """
    memory = ask(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    if memory is None:
        return {}
    return {
        "memory_total_bytes": memory.total,
        "memory_reserved_bytes": memory.reserved,
        "memory_used_bytes": memory.used,
        "memory_free_bytes": memory.free,
    }


def activity_columns(activity: Activity | None) -> dict[str, Any]:
    """Return an activity as columns of a sample, with its source; empty when no rung could tell."""
    if activity is None:
        return {}
    return {
        "sm_activity_ratio": activity.sm_ratio,
        "sm_occupancy_ratio": activity.occupancy_ratio,
        "tensor_activity_ratio": activity.tensor_ratio,
        "dram_activity_ratio": activity.dram_ratio,
        "activity_source": activity.source,
    }
