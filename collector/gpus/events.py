"""What happened to a GPU, as the driver tells it once: Xid errors by the event set.

Past events are not replayed, so the kernel log is the other route. Reading never waits: what has
come since the last time is taken, and the session is free again for whoever must renew it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import pynvml

from collector.gpus.nvml import LOST, DriverBusy, DriverError, Session, call

MAX_EVENTS_A_READ: Final = 256
"""A storm is taken in portions; the driver keeps the rest for the next read."""

_XID: Final = pynvml.nvmlEventTypeXidCriticalError
_DECLINED: Final = LOST | {pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION}


class XidEvents:
    """The event set of all GPUs of a host. Not thread-safe; its source's thread owns it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._generation = 0
        self._set: Any = None
        self._uuids: Mapping[int, str] = {}

    def take(self) -> list[tuple[str, int]]:
        """Return (GPU UUID, Xid) of what came since the last time, oldest first.

        One driver call when nothing came. The first call begins to listen and returns nothing;
        so does the first after the driver was initialised anew. Raises `DriverError` when the
        driver refuses (it says nothing about any GPU), `DriverBusy` while it is initialised.
        """
        with self._session.use() as generation:
            if self._generation != generation:
                self._set, self._generation = None, generation  # the old one went with the driver
            try:
                if self._set is None:
                    self._set = call(pynvml.nvmlEventSetCreate)
                    self._uuids = _listening(self._set)
                return self._drained()
            except DriverError:
                self._drop()  # a set that failed is not waited on again
                raise

    def close(self) -> None:
        """Give back what the driver holds for it."""
        with suppress(DriverBusy, DriverError), self._session.use() as generation:
            if self._generation == generation:
                self._drop()

    def _drop(self) -> None:
        if self._set is not None:
            with suppress(pynvml.NVMLError):
                pynvml.nvmlEventSetFree(self._set)
        self._set = None

    def _drained(self) -> list[tuple[str, int]]:
        taken: list[tuple[str, int]] = []
        for _ in range(MAX_EVENTS_A_READ):
            try:
                event = pynvml.nvmlEventSetWait_v2(self._set, 0)
            except pynvml.NVMLError as error:
                if error.value == pynvml.NVML_ERROR_TIMEOUT:
                    break
                raise DriverError("nvmlEventSetWait_v2", error.value) from None
            uuid = self._uuids.get(_address(event.device))
            if event.eventType == _XID and uuid is not None:
                taken.append((uuid, int(event.eventData)))
        return taken


def _listening(events: Any) -> dict[int, str]:
    """Ask for the events of every GPU that tells any; returns their UUIDs by handle."""
    uuids: dict[int, str] = {}
    for index in range(call(pynvml.nvmlDeviceGetCount)):
        try:
            handle = call(pynvml.nvmlDeviceGetHandleByIndex, index)
            # The name is asked for now: a GPU that falls off the bus cannot be asked any more.
            uuids[_address(handle)] = call(pynvml.nvmlDeviceGetUUID, handle)
            call(pynvml.nvmlDeviceRegisterEvents, handle, _XID, events)
        except DriverError as error:
            if error.code not in _DECLINED:
                raise
    return uuids


def _address(handle: Any) -> int:
    """Return a handle as a number: the driver gives out the same one for the same GPU."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
