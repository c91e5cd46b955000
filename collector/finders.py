"""What an agent looks for and watches of its own accord, from its settings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collector.discovery import EngineFinder, Finder
from collector.gpus.discovery import GpuDiscovery
from collector.gpus.nvml import Session
from collector.hardware.desk import HardwareDesk
from collector.hardware.inventory import Inventory
from collector.hardware.memory import FILE_NAME
from collector.hardware.policies import POLICIES
from collector.hardware.sources import GpusAndXids, KernelLogFinder, MemoryKeeper
from collector.placement.placements import Serving
from collector.placement.proven import ProcessPlacements
from collector.scraping.engine_source import EngineSource
from collector.settings import Settings
from telemetry.source import Source

if TYPE_CHECKING:
    from collector.agent import Agent

log = logging.getLogger(__name__)

_GPU: Final = "gpu:"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def finders_of(settings: Settings, session: Session, desk: HardwareDesk) -> list[Finder]:
    """Return who looks for sources: engines always, GPUs and their Xids unless switched off."""
    finders: list[Finder] = [EngineFinder(settings)]
    if settings.gpus:
        finders.append(GpusAndXids(GpuDiscovery(session, host=settings.host), session, desk))
        if settings.kernel_log:
            finders.append(KernelLogFinder(settings.kernel_log, desk))
    return finders


def hardware_desk(settings: Settings) -> HardwareDesk:
    """Return the desk for the hardware's health, with what it kept in the data directory."""
    path = settings.data_dir / FILE_NAME
    return HardwareDesk(path, host=settings.host, policy=POLICIES[settings.xid_policy], boot=_boot())


def own_sources(agent: Agent) -> Sequence[Source]:
    """Return the sources that need no finding."""
    settings, sources = agent.settings, list[Source]()
    if settings.expected_gpus is not None:
        sources.append(Inventory(settings.expected_gpus, agent.hardware, lambda: _watched_gpus(agent)))
    if settings.gpus:
        sources.append(MemoryKeeper(agent.hardware))
        sources.append(ProcessPlacements(agent.session, agent.placements, lambda: _serving(agent)))
    return sources


def _serving(agent: Agent) -> list[Serving]:
    """Return the engines that are read, each with the newest samples of its replicas by rank."""
    fresh, host = agent.fresh_records(), agent.settings.host
    sources = [watcher.source for watcher in agent.watchers]
    engines = [Serving.of(each.target, fresh, host) for each in sources if isinstance(each, EngineSource)]
    return [engine for engine in engines if engine.samples]


def _watched_gpus(agent: Agent) -> list[str]:
    names = (watcher.source.name for watcher in agent.watchers)
    return [name.removeprefix(_GPU) for name in names if name.startswith(_GPU)]


def _boot() -> str:
    """Return the kernel's id of this boot; where it is not told, every start counts as the same boot."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError as error:
        log.warning("read %s: %s; a reboot of the host is not noticed", _BOOT_ID, error.strerror)
        return ""
