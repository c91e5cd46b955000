"""MIG instances: parts of a GPU that are GPUs of their own, with the reading of what each one has.

The driver tells of an instance its memory and (Hopper and newer) its GPM activity; kernel-busy,
power, energy, clocks and health belong to the whole GPU and stay None. Instances are made and
removed while we run: they are listed again in turn, and at once when one stops answering.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pynvml

from collector.fit import fitting
from collector.gpus.activity import Evidence, Ladder
from collector.gpus.columns import activity_columns, identity_columns, memory_columns
from collector.gpus.gpm import GpmReader
from collector.gpus.identity import GpuIdentity
from collector.gpus.nvml import GONE, DriverError, ask, call
from telemetry.samples import GpuSample

_GONE_WHOLE: Final = GONE - {pynvml.NVML_ERROR_NOT_FOUND}
"""Answers about the whole GPU; anything else an instance answers is about the instance alone."""


@dataclass(frozen=True, slots=True)
class _Found:
    """An instance as listed. Its handle may be given to another one later; its UUID is not."""

    uuid: str
    profile: str
    gpu_instance: int
    handle: Any


class MigInstances:
    """The instances of one GPU under one handle, none while MIG is off. Not thread-safe."""

    def __init__(self, parent: Any, identity: GpuIdentity, *, host: str) -> None:
        self._parent = parent
        self._identity = identity
        self._host = host
        self._instances: dict[tuple[str, int], _Instance] = {}
        self._stale = False
        self.supported = ask(pynvml.nvmlDeviceGetMigMode, parent) is not None
        self.refresh()

    def refresh(self) -> None:
        """List the instances anew; one driver call while MIG is off. Raises `DriverError`."""
        self._stale = False
        found = {(one.uuid, one.gpu_instance): one for one in self._list()}
        for key in self._instances.keys() - found.keys():
            self._instances.pop(key).close()
        for key, one in found.items():
            if key in self._instances:
                self._instances[key].handle = one.handle
            else:
                self._instances[key] = _Instance(self._parent, one)

    def _list(self) -> Iterator[_Found]:
        mode = ask(pynvml.nvmlDeviceGetMigMode, self._parent) if self.supported else None
        if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return
        for index in range(ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, self._parent) or 0):
            try:
                handle = call(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, self._parent, index)
                yield _Found(
                    uuid=call(pynvml.nvmlDeviceGetUUID, handle),
                    profile=_profile(handle),
                    gpu_instance=call(pynvml.nvmlDeviceGetGpuInstanceId, handle),
                    handle=handle,
                )
            except DriverError as error:
                if error.code in _GONE_WHOLE:
                    raise
                # A place without an instance, or one that was removed between two calls.

    def samples(self, now_us: int) -> list[GpuSample]:
        """Read every instance; three driver calls each. Raises `DriverError` when the GPU is gone."""
        if self._stale:
            self.refresh()
        rows = []
        for instance in self._instances.values():
            try:
                columns = instance.read()
            except DriverError as error:
                if error.code in _GONE_WHOLE:
                    raise
                self._stale = True  # removed or made anew: never a number of the one before
                continue
            rows.append(GpuSample(**self._identify(instance, now_us), **fitting(columns)))
        return rows

    def _identify(self, instance: _Instance, now_us: int) -> dict[str, Any]:
        return {
            **identity_columns(self._identity, self._host, now_us),
            "gpu_uuid": instance.uuid,
            "mig_parent_uuid": self._identity.uuid,
            "mig_profile": instance.profile,
            "mig_instance": instance.number,
        }

    def down(self, now_us: int) -> list[GpuSample]:
        """Return the instances known last as lost with their GPU: identity and `up` false."""
        return [GpuSample(**self._identify(one, now_us), up=False) for one in self._instances.values()]

    def close(self) -> None:
        """Give back what the driver holds for the instances."""
        for instance in self._instances.values():
            with suppress(DriverError):
                instance.close()


class _Instance:
    """One instance and its readers."""

    def __init__(self, parent: Any, found: _Found) -> None:
        self.uuid = found.uuid
        self.profile = found.profile
        self.number = found.gpu_instance
        self.handle = found.handle
        self._gpm = GpmReader(parent, gpu_instance=found.gpu_instance)
        self._ladder = Ladder()

    def read(self) -> dict[str, Any]:
        gpm = self._gpm.read()
        activity = self._ladder.climb(Evidence(counters=gpm.counters, ratios=gpm.ratios))
        return {**memory_columns(self.handle), **activity_columns(activity)}

    def close(self) -> None:
        self._gpm.close()


def _profile(handle: Any) -> str:
    """Return an instance's profile, as `1g.10gb`: from its name, else from its slices and memory."""
    name: str = call(pynvml.nvmlDeviceGetName, handle)
    _, found, profile = name.partition("MIG ")
    if found:
        return profile
    told = call(pynvml.nvmlDeviceGetAttributes_v2, handle)
    whole, compute = told.gpuInstanceSliceCount, told.computeInstanceSliceCount
    shared = "" if compute == whole else f"{compute}c."
    return f"{shared}{whole}g.{round(told.memorySizeMB / 1024)}gb"
