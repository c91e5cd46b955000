"""The agent: every part wired together, started, supervised and stopped.

    Agent(settings, sources=[...]).start()      # sources beside those found on this host
    run(settings)                               # until SIGTERM or SIGINT; the exit status

Threads: one for each source, one for each finder, one each for sealing, shipping, receiving and
supervising. None waits for another's driver call, page or disk.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from collector.alone import Alone
from collector.clock import HostClock
from collector.discovery import Finder, Search
from collector.efficiency.meter import EfficiencyMeter
from collector.export.dcgm import DcgmPage
from collector.export.exporter import Exporter
from collector.export.health import Vital
from collector.export.replica_vitals import memory_vitals, placement_vitals, start_up_vitals
from collector.export.vitals import vitals_of
from collector.finders import finders_of, hardware_desk, own_sources
from collector.gpus.nvml import Session
from collector.hardware.vitals import hardware_vitals
from collector.outbox import Buffer, Sealer
from collector.placement.placements import Placements
from collector.request_doors import RequestDoors
from collector.schedule import Watcher
from collector.settings import Settings
from collector.shipper import READER, Link, Shipper
from journal import Journal, JournalError, Limits
from telemetry.columns import Record
from telemetry.events import Event, EventKind
from telemetry.source import Source

log = logging.getLogger(__name__)

_SUPERVISE_SECONDS: Final = 0.25
_PLACEMENT_SECONDS: Final = 300.0
_JOIN_SECONDS: Final = 1.0
_STALE_INTERVALS: Final = 3
_XIDS: Final = "xid:"
"""How the names of sources of Xids begin."""


class Agent:
    """One agent of one host. `start` once; `stop` more than once does nothing."""

    def __init__(
        self, settings: Settings, *, sources: Sequence[Source] = (), finders: Sequence[Finder] | None = None
    ) -> None:
        self.settings = settings
        self.clock = HostClock()
        self.alone = Alone(settings.host)
        self.watchers: tuple[Watcher, ...] = ()
        self.buffer = Buffer(capacity_bytes=settings.buffer_bytes, ripe_bytes=settings.seal_bytes)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self.journal = _open_spool(settings) if settings.server else None
        self.sealer = self._sealer(self.journal) if self.journal else None
        self.shipper = self._shipper(self.journal) if self.journal else None
        self.session = Session()
        self.hardware = hardware_desk(settings)
        self.placements = Placements(settings, self.clock.now_us)
        self.efficiency = EfficiencyMeter(settings.models, self.placements.gpus_of)
        self.doors = RequestDoors(settings, clock=self.clock, deliver=self._deliver)
        self.searches = [
            Search(finder, found=self._watch)
            for finder in (finders_of(settings, self.session, self.hardware) if finders is None else finders)
        ]
        dcgm = DcgmPage(settings.hostname_label) if settings.dcgm_names else None
        self.exporter = Exporter(self, address=settings.listen[0], port=settings.listen[1], dcgm=dcgm)
        self._sources = sources
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._supervisor = threading.Thread(target=self._supervise, name="supervise", daemon=True)

    def _sealer(self, journal: Journal) -> Sealer:
        return Sealer(
            self.buffer,
            journal,
            clock=self.clock,
            host=self.settings.host,
            origin=self.settings.origin,
            every_seconds=self.settings.seal_seconds,
        )

    def _shipper(self, journal: Journal) -> Shipper:
        link = Link(self.settings.server or "", self.settings.token or "")
        return Shipper(journal, link, clock=self.clock, backlog_per_second=self.settings.backlog_per_second)

    def start(self) -> None:
        """Begin to measure, receive, seal, ship and export; returns at once."""
        self.alone.check()
        self._note(EventKind.AGENT_START)
        self.exporter.start()
        self.doors.start()
        if self.sealer and self.shipper:
            self.sealer.start()
            self.shipper.start()
        self._watch([*self._sources, *own_sources(self)])
        for search in self.searches:
            search.start()
        self._supervisor.start()

    def stop(self) -> None:
        """Stop in a few seconds even while sources hang; what was measured is sealed first."""
        if self._stop.is_set():
            return
        self._stop.set()
        for search in self.searches:
            search.stop()
        for watcher in self.watchers:
            watcher.stop()
        deadline = time.monotonic() + _JOIN_SECONDS
        for watcher in self.watchers:
            if not watcher.join(max(0.0, deadline - time.monotonic())):
                log.warning("%s hangs and is left behind", watcher.source.name)
        self.doors.stop(grace_seconds=_JOIN_SECONDS)
        self._note(EventKind.AGENT_STOP)
        if self.sealer and self.shipper and self.journal:
            self.sealer.stop(grace_seconds=_JOIN_SECONDS)
            self.doors.settled()
            self.shipper.stop(grace_seconds=_JOIN_SECONDS)
            self.journal.close()
        self.exporter.stop()
        self.alone.close()

    def fresh_records(self) -> list[Record]:
        """Return the rows of every source whose last reading is not stale."""
        limit = max(_STALE_INTERVALS * self.settings.interval_seconds, self.settings.deadline_seconds)
        return [
            record
            for watcher in self.watchers
            if watcher.latest is not None and watcher.age_seconds <= limit
            for record in watcher.latest.records
            if not isinstance(record, Event)
        ]

    def last_xids(self) -> dict[str, int] | None:
        """Return the last Xid of each GPU that had one; None = no source of Xids could be read."""
        if not any(one.source.name.startswith(_XIDS) and one.healthy for one in self.watchers):
            return None
        seen = sorted((at_us, gpu, code) for (gpu, code), at_us in self.hardware.last_seen_us().items())
        return {gpu: code for _, gpu, code in seen}

    def vitals(self) -> list[Vital]:
        """Return how the agent is doing, and what is derived from the readings."""
        fresh = self.fresh_records()
        return [
            *vitals_of(self),
            *hardware_vitals(self.hardware),
            *self.efficiency.vitals(),
            *memory_vitals(fresh, self.placements.gpus_of),
            *start_up_vitals(self.watchers),
            *placement_vitals(fresh, self.placements.now()),
        ]

    def _watch(self, sources: Sequence[Source]) -> None:
        """Give each new source its thread."""
        new = tuple(
            Watcher(
                source,
                clock=self.clock,
                interval_seconds=self.settings.interval_seconds,
                deadline_seconds=self.settings.deadline_seconds,
                deliver=lambda reading: self._measured(reading.records),
            )
            for source in sources
        )
        with self._lock:
            if self._stop.is_set():
                return
            self.watchers += new
            for watcher in new:
                log.info("watching %s", watcher.source.name)
                watcher.start()

    def _measured(self, records: Sequence[Record]) -> None:
        self._deliver([*records, *self.hardware.observe(records)])
        self.efficiency.observe(records)

    def _deliver(self, records: Sequence[Record]) -> None:
        if self.sealer is not None:
            self.buffer.offer(records)

    def _note(self, kind: EventKind, *, code: int | None = None, message: str = "") -> None:
        now_us = self.clock.now_us()
        self._deliver(
            [Event(at_us=now_us, kind=kind, host=self.settings.host, code=code, message=message[:200])]
        )

    def _supervise(self) -> None:
        placed_at = float("-inf")
        while not self._stop.wait(_SUPERVISE_SECONDS):
            self.alone.check()
            for watcher in self.watchers:
                if watcher.abandon_if_late():
                    log.error("%s does not answer; its reading is abandoned", watcher.source.name)
                    self._note(EventKind.SOURCE_FAULT, message=f"{watcher.source.name} does not answer")
            moved_us = self.clock.settle()
            if moved_us:
                self._note(EventKind.CLOCK_STEP, message=f"the clock was set by {moved_us / 1e6:+.3f} s")
            if time.monotonic() - placed_at > _PLACEMENT_SECONDS:
                placed_at = time.monotonic()
                self._deliver(self.placements.now())


def _open_spool(settings: Settings) -> Journal:
    limits = Limits(max_bytes=settings.spool_bytes, max_lag_seconds=None, drop_oldest=True)
    return Journal.open(Path(settings.data_dir) / "spool.db", limits, readers=(READER,))


def run(settings: Settings, *, sources: Sequence[Source] = ()) -> int:
    """Run an agent until SIGTERM or SIGINT; returns the exit status, 1 when it cannot start.

    Must be called from the main thread.
    """
    wanted = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wanted.set())
    try:
        agent = Agent(settings, sources=sources)
    except (JournalError, OSError) as error:
        cause = getattr(error, "strerror", None) or error
        log.error("the agent does not start: %s", cause)  # noqa: TRY400 - the message is whole
        return 1
    agent.start()
    log.info("measuring %s; metrics at %s", settings.host, agent.exporter.url)
    wanted.wait()
    agent.stop()
    return 0
