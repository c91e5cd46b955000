"""Finds the host's GPUs, again and again: a driver, or a GPU, may come after the agent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from collector.gpus.identity import enumerate_gpus
from collector.gpus.nvml import Session
from collector.gpus.source import GpuSource

_KERNEL_LIST: Final = Path("/proc/driver/nvidia/gpus")
"""A folder for each GPU the kernel driver has bound, by bus address."""


class GpuDiscovery:
    """Finds GPUs and makes each a source once, by UUID.

    The driver lists what was there when it was initialised. So it is initialised anew when the
    kernel's own list changed, and when a GPU that nobody watches yet did not answer.
    """

    def __init__(self, session: Session, *, host: str, kernel_list: Path = _KERNEL_LIST) -> None:
        self.name = "gpus"
        self._session = session
        self._host = host
        self._kernel_list = kernel_list
        self._bound: frozenset[str] | None = None
        self._unknown_silent = False
        self._known: set[str] = set()

    def find(self) -> Sequence[GpuSource]:
        """Return sources of GPUs not returned before. Raises `DriverError` or `DriverBusy`."""
        bound = self._bound_now()
        changed = self._bound is not None and bound != self._bound
        if self._session.generation and (changed or self._unknown_silent):
            self._session.renew(self._session.generation)
        gpus, silent = enumerate_gpus(self._session)
        self._bound = bound
        found = {gpu.uuid: gpu for gpu in gpus}
        self._unknown_silent = silent > len(self._known - found.keys())
        new = [gpu for uuid, gpu in found.items() if uuid not in self._known]
        self._known.update(gpu.uuid for gpu in new)
        return [GpuSource(self._session, gpu, host=self._host) for gpu in new]

    def _bound_now(self) -> frozenset[str]:
        try:
            return frozenset(entry.name for entry in self._kernel_list.iterdir())
        except OSError:
            return frozenset()  # not mounted into this container, or no driver
