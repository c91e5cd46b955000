"""Finds the host's GPUs, again and again."""

from __future__ import annotations

from collections.abc import Sequence

from collector.gpus.identity import enumerate_gpus
from collector.gpus.nvml import Session
from collector.gpus.source import GpuSource


class GpuDiscovery:
    """Finds the host's GPUs, again and again: a driver may be loaded after the agent starts."""

    def __init__(self, session: Session, *, host: str) -> None:
        self.name = "gpus"
        self._session = session
        self._host = host
        self._known: set[str] = set()

    def find(self) -> Sequence[GpuSource]:
        """Return sources of GPUs not returned before. Raises `DriverError` or `DriverBusy`.

        A GPU that came later is seen after the session's next renewal.
        """
        new = [gpu for gpu in enumerate_gpus(self._session) if gpu.uuid not in self._known]
        self._known.update(gpu.uuid for gpu in new)
        return [GpuSource(self._session, gpu, host=self._host) for gpu in new]
