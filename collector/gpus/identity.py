"""Who the GPUs of a host are: their UUIDs for ever, their indexes and bus addresses for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pynvml

from collector.gpus.nvml import RENEW, DriverError, Session, ask, call


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuIdentity:
    """Who a GPU is: its UUID for ever, its index and bus address for people."""

    uuid: str
    index: int
    model: str
    pci_bus_id: str | None
    driver_version: str | None


def identity_of(handle: Any) -> GpuIdentity:
    """Return who the GPU behind a handle is. Raises `DriverError`."""
    pci = ask(pynvml.nvmlDeviceGetPciInfo_v3, handle)
    return GpuIdentity(
        uuid=call(pynvml.nvmlDeviceGetUUID, handle),
        index=call(pynvml.nvmlDeviceGetIndex, handle),
        model=call(pynvml.nvmlDeviceGetName, handle),
        pci_bus_id=None if pci is None else pci.busId,
        driver_version=ask(pynvml.nvmlSystemGetDriverVersion),
    )


def enumerate_gpus(session: Session) -> tuple[list[GpuIdentity], int]:
    """Return every GPU that answers, by index, and how many did not.

    One that is lost or broken hides none of its neighbours. Initialises the driver when nobody
    has. Raises `DriverError` when the driver itself is gone, or `DriverBusy`.
    """
    if not session.generation:
        session.renew(0)
    found: list[GpuIdentity] = []
    with session.use():
        count = call(pynvml.nvmlDeviceGetCount)
        for index in range(count):
            try:
                found.append(identity_of(call(pynvml.nvmlDeviceGetHandleByIndex, index)))
            except DriverError as error:
                if error.code in RENEW:
                    raise
    return found, count - len(found)
