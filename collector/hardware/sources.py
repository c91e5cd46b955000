"""The two routes by which an Xid becomes known, each a source of its own: a hung driver stops one only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from collector.clock import elapsed_us
from collector.discovery import Finder
from collector.gpus.events import MAX_EVENTS_A_READ, XidEvents
from collector.gpus.nvml import DriverBusy, DriverError, Session
from collector.hardware.desk import HardwareDesk
from collector.hardware.kernel_lines import kernel_xid
from collector.hardware.kernel_log import LogLine, LogReader, open_log
from collector.hardware.reports import Report, Route
from telemetry.events import Event
from telemetry.source import Health, Reading, Source

KMSG: Final = Path("/dev/kmsg")
_NO_HINT: Final = "name a file that a log daemon writes with kernel_log, or switch it off"


class DriverXids:
    """The driver's events. A wait that fails is a reading that failed: it says nothing of any GPU."""

    name = "xid:driver"

    def __init__(self, session: Session, desk: HardwareDesk) -> None:
        self._events = XidEvents(session)
        self._desk = desk
        self._read_us = 0

    def read(self, now_us: int) -> Reading:
        """Take what the driver tells since the last reading; one driver call when that is nothing."""
        begun, after_us = time.monotonic(), self._read_us or now_us
        try:
            taken = self._events.take()
        except (DriverError, DriverBusy) as error:
            return _failed(self.name, now_us, begun, f"read Xid events: {error}")
        if len(taken) < MAX_EVENTS_A_READ:  # what is left came before now as well
            self._read_us = now_us
        # The events came before now, and `now` was taken before the driver answered.
        at_us = now_us + elapsed_us(begun)
        reports = [
            Report(gpu=uuid, code=code, route=Route.DRIVER, after_us=after_us, at_us=at_us)
            for uuid, code in taken
        ]
        return _read(self.name, now_us, begun, self._desk.take(reports, now_us))

    def close(self) -> None:
        """Stop listening."""
        self._events.close()


class KernelLogXids:
    """The kernel log: also what happened before the agent started, and what a hung driver cannot tell."""

    name = "xid:kernel_log"

    def __init__(self, reader: LogReader, desk: HardwareDesk) -> None:
        self._reader = reader
        self._desk = desk

    def read(self, now_us: int) -> Reading:
        """Take the Xids of new lines; at most a bounded portion of the log a reading."""
        begun = time.monotonic()
        try:
            lines, position = self._reader.read(now_us, self._desk.position())
        except OSError as error:
            return _failed(self.name, now_us, begun, f"read the kernel log: {error.strerror}; {_NO_HINT}")
        reports = [report for line in lines if (report := self._report(line))]
        return _read(self.name, now_us, begun, self._desk.take(reports, now_us, position))

    def _report(self, line: LogLine) -> Report | None:
        found = kernel_xid(line.text)
        if found is None:
            return None
        return Report(
            gpu=self._desk.uuid_at(found.bus),
            code=found.code,
            route=Route.KERNEL_LOG,
            after_us=line.after_us,
            at_us=line.at_us,
            pid=found.pid,
            fatal=found.fatal,
            implied=found.implied,
        )

    def close(self) -> None:
        """Let go of the log."""
        self._reader.close()


class MemoryKeeper:
    """Writes what the desk must not forget: a disk that hangs holds up this thread and no other."""

    name = "hardware:memory"

    def __init__(self, desk: HardwareDesk) -> None:
        self._desk = desk

    def read(self, now_us: int) -> Reading:
        """Write what changed since the last time; mostly nothing."""
        begun = time.monotonic()
        try:
            self._desk.keep()
        except OSError as error:
            hint = "what stands against GPUs is forgotten when the agent restarts"
            sentence = f"keep the hardware's state: {error.strerror or error}; until it can be, {hint}"
            return _failed(self.name, now_us, begun, sentence)
        return _read(self.name, now_us, begun, ())

    def close(self) -> None:
        """Write what changed last."""
        with suppress(OSError):
            self._desk.keep()


class GpusAndXids:
    """Finds the GPUs, and with the first of them the source of their events.

    One finder for both: two would both initialise the driver, and one of them be turned away.
    """

    def __init__(self, gpus: Finder, session: Session, desk: HardwareDesk) -> None:
        self.name = gpus.name
        self._gpus, self._session, self._desk = gpus, session, desk
        self._listening = False

    def find(self) -> Sequence[Source]:
        """Return sources that were not returned before. Raises what the finder of GPUs raises."""
        found = self._gpus.find()
        if self._listening or not found:
            return found
        self._listening = True
        return [*found, DriverXids(self._session, self._desk)]


class KernelLogFinder:
    """Opens the kernel log. `/dev/kmsg`, which many containers may not read, is tried without complaint."""

    name = "xid:kernel_log"

    def __init__(self, path: Path, desk: HardwareDesk) -> None:
        self._path, self._desk = path, desk
        self._found = False

    def find(self) -> Sequence[KernelLogXids]:
        """Return the source once. Raises `OSError` when a file that was named cannot be read."""
        if self._found:
            return []
        try:
            reader = open_log(self._path, boot=self._desk.boot)
        except OSError as error:
            if self._path == KMSG:
                return []
            raise OSError(f"read {self._path}: {error.strerror}; {_NO_HINT}") from None
        self._found = True
        return [KernelLogXids(reader, self._desk)]


def _read(name: str, now_us: int, begun: float, events: Sequence[Event]) -> Reading:
    health = Health(source=name, at_us=now_us, took_us=elapsed_us(begun), ok=True)
    return Reading(records=tuple(events), health=health)


def _failed(name: str, now_us: int, begun: float, error: str) -> Reading:
    health = Health(source=name, at_us=now_us, took_us=elapsed_us(begun), ok=False, error=error)
    return Reading(records=(), health=health)
