"""Where everything about the hardware's health comes together: reports in, events and standing out.

Guarantees: an Xid that both routes report counts once; what stands against a GPU ends by evidence
(a reset seen in its energy counter, another boot of the host, the driver that no longer asks for
recovery, each with a good sample; or the driver's own later word), never by a restart of the agent
and never by time; a storm costs at most ten events a minute for a GPU and code, and every error is
counted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from collector.growing_file import Position
from collector.hardware.changes import changes
from collector.hardware.kernel_lines import bus_key
from collector.hardware.memory import MAX_KEYS, KnownGpu, Trouble, load, save
from collector.hardware.policies import Policy, Verdict
from collector.hardware.reports import Report, Twins
from collector.hardware.sentences import xid_sentence
from collector.hardware.xids import TAKES_BACK
from telemetry.columns import Record
from telemetry.events import Event, EventKind
from telemetry.identity import is_real_uuid
from telemetry.samples import GpuSample
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND

log = logging.getLogger(__name__)

EVENTS_A_MINUTE: Final = 10
REMARK_US: Final = 10 * MICROS_PER_SECOND
"""How long after an Xid a line without one is a remark on it."""
TOLD_US: Final = 12 * MICROS_PER_HOUR
"""Older events are not told: the service takes none of more than a day."""

_MESSAGE_LENGTH: Final = 200


@dataclass(slots=True)
class _Pace:
    """How many events of one kind were told in the running minute, and how many were held back."""

    since_us: int
    told: int = 0
    held: int = 0


class HardwareDesk:
    """The health of one host's GPUs. Thread-safe. `path` is where it is kept between two starts."""

    def __init__(self, path: Path, *, host: str, policy: Policy, boot: str) -> None:
        self.host = host
        self.policy = policy
        self.boot = boot
        """The boot of the host that is running, by the kernel's own id."""
        self.held_back = 0
        """Events of storms that were counted and not told."""
        self._path = path
        self._lock = threading.Lock()
        self._memory = load(path)
        self._twins = Twins(self._memory.alone)
        self._paces: dict[tuple[str, EventKind, int], _Pace] = {}
        self._newest: dict[str, GpuSample] = {}
        self._dirty = False
        self._kept_us = 0

    def position(self) -> Position | None:
        """Return how far the kernel log was read; None = never."""
        return self._memory.position

    def uuid_at(self, bus: str) -> str:
        """Return the UUID of the GPU at a PCI address (`bus_key`); the address where it is not known."""
        with self._lock:
            return next((uuid for uuid, gpu in self._memory.gpus.items() if gpu.bus == bus), bus)

    def known_gpus(self) -> list[str]:
        """Return the UUIDs of every GPU ever read on this host, as far as remembered."""
        with self._lock:
            return list(self._memory.gpus)

    def forget(self, uuids: Sequence[str]) -> None:
        """Forget GPUs that are no longer of this host."""
        with self._lock:
            for uuid in uuids:
                self._memory.gpus.pop(uuid, None)
            self._dirty = True

    def counts(self) -> dict[tuple[str, int], int]:
        """Return the Xids of each GPU and code since the memory was begun."""
        with self._lock:
            return dict(self._memory.counts)

    def last_seen_us(self) -> dict[tuple[str, int], int]:
        """Return when each GPU last had each code, UTC microseconds."""
        with self._lock:
            return dict(self._memory.last_us)

    def troubles(self) -> list[Trouble]:
        """Return what stands against GPUs now."""
        with self._lock:
            return list(self._memory.troubles.values())

    def take(self, reports: Sequence[Report], now_us: int, position: Position | None = None) -> list[Event]:
        """Count reports and tell them; `position` is how far the kernel log is read now.

        A report too old for an event (`TOLD_US`) is counted and stands all the same.
        """
        with self._lock:
            events = [event for report in reports for event in self._taken(report)]
            if position is not None and position != self._memory.position:
                self._memory.position = position
                self._changed(now_us, at_once=False)  # read again, lines without an Xid do no harm
            if reports:
                self._changed(now_us)
            return [event for event in events if now_us - event.at_us < TOLD_US]

    def observe(self, records: Sequence[Record]) -> list[Event]:
        """Look at a reading's GPU samples: what began, and what no longer stands."""
        told = {
            record.gpu_uuid
            for record in records
            if isinstance(record, Event) and record.kind is EventKind.GPU_RESET
        }
        with self._lock:
            return [
                event
                for record in records
                if isinstance(record, GpuSample) and _is_whole(record)
                for event in self._observed(record, reset_is_told=record.gpu_uuid in told)
            ]

    def keep(self) -> None:
        """Write what changed to the file. Called by one thread, which alone waits for the disk.

        Raises `OSError`; what could not be written is written the next time.
        """
        with self._lock:
            if not self._dirty:
                return
            self._memory.alone = self._twins.alone()
            text, self._dirty = self._memory.text(), False
        try:
            save(self._path, text)
        except OSError:
            self._dirty = True
            raise

    def _taken(self, report: Report) -> Iterator[Event]:
        key = (report.gpu, report.code)
        if report.implied and report.at_us - self._memory.last_us.get(key, -REMARK_US) < REMARK_US:
            return
        verdict = self.policy.verdict(report.code, fatal=report.fatal)
        repeated, stood = self._twins.is_repeat(report), key in self._memory.troubles
        if repeated and report.fatal is None:
            return
        self._stand(report, verdict)
        if repeated and stood == verdict.stands:  # the kernel's word came second, and changes nothing
            return
        if not repeated:
            self._count(report)
        yield from self._event(
            EventKind.XID, report.gpu, report.code, report.at_us, xid_sentence(report, verdict)
        )

    def _count(self, report: Report) -> None:
        key = (report.gpu, report.code)
        if key in self._memory.counts or len(self._memory.counts) < MAX_KEYS:
            self._memory.counts[key] = self._memory.counts.get(key, 0) + 1
            self._memory.last_us[key] = report.at_us

    def _stand(self, report: Report, verdict: Verdict) -> None:
        key = (report.gpu, report.code)
        before = self._memory.troubles.get(key)
        self._memory.troubles.pop((report.gpu, TAKES_BACK.get(report.code, 0)), None)
        if not verdict.stands:
            self._memory.troubles.pop(key, None)
        elif before is not None:
            before.last_us, before.verdict = report.at_us, verdict
        elif len(self._memory.troubles) < MAX_KEYS:
            self._memory.troubles[key] = Trouble(
                gpu=report.gpu,
                code=report.code,
                verdict=verdict,
                since_us=report.at_us,
                last_us=report.at_us,
                boot=self.boot,
            )

    def _observed(self, sample: GpuSample, *, reset_is_told: bool) -> Iterator[Event]:
        uuid, at_us = sample.gpu_uuid, sample.at_us
        known = self._memory.gpus.get(uuid)
        if known is None and len(self._memory.gpus) >= MAX_KEYS:
            return
        evidence = self._over(uuid, known, sample)
        for change in changes(self._newest.get(uuid), sample):
            yield from self._event(change.kind, uuid, change.code, at_us, change.sentence)
        for code, why in evidence:
            del self._memory.troubles[uuid, code]
            log.info("Xid %d of %s is over: %s", code, uuid, why)
        if evidence and not reset_is_told:
            codes = ", ".join(str(code) for code, _ in evidence)
            yield from self._event(
                EventKind.GPU_RESET, uuid, 0, at_us, f"{evidence[0][1]}; Xid {codes} is over"
            )
        self._newest[uuid] = sample
        self._memory.gpus[uuid] = updated = _updated(known or KnownGpu(), sample)
        if known is None and updated.bus:
            self._adopt(updated.bus, uuid)
        if known is None or evidence:
            self._changed(at_us)
        elif self._memory.troubles:
            self._changed(at_us, at_once=False)

    def _changed(self, now_us: int, *, at_once: bool = True) -> None:
        """Have the memory written: at the keeper's next turn, or once a minute for what can wait."""
        if at_once or now_us - self._kept_us > MICROS_PER_MINUTE:
            self._dirty, self._kept_us = True, now_us

    def _adopt(self, bus: str, uuid: str) -> None:
        """Give a GPU what was reported of its PCI address before its UUID was known."""
        kept = self._memory
        for code in [code for gpu, code in kept.counts if gpu == bus]:
            kept.counts[uuid, code] = kept.counts.pop((bus, code)) + kept.counts.get((uuid, code), 0)
            kept.last_us[uuid, code] = kept.last_us.pop((bus, code))
        for code in [code for gpu, code in kept.troubles if gpu == bus]:
            kept.troubles[uuid, code] = replace(kept.troubles.pop((bus, code)), gpu=uuid)

    def _over(self, uuid: str, known: KnownGpu | None, sample: GpuSample) -> list[tuple[int, str]]:
        """Return the codes that no longer stand against a GPU, each with the evidence."""
        over = []
        for (gpu, code), trouble in self._memory.troubles.items():
            if gpu != uuid:
                continue
            why = _evidence(trouble, known, sample, self.boot)
            if why:
                over.append((code, why))
        return over

    def _event(self, kind: EventKind, gpu: str, code: int, at_us: int, sentence: str) -> Iterator[Event]:
        pace = self._paces.get((gpu, kind, code))
        if pace is None:
            if len(self._paces) >= MAX_KEYS:
                self._paces.clear()
            pace = self._paces[gpu, kind, code] = _Pace(at_us)
        if at_us - pace.since_us > MICROS_PER_MINUTE:
            pace.since_us, pace.told = at_us, 0
        if pace.told >= EVENTS_A_MINUTE:
            pace.held += 1
            self.held_back += 1
            return
        more = f" (and {pace.held} more before)" if pace.held else ""
        pace.told, pace.held = pace.told + 1, 0
        yield Event(
            at_us=at_us,
            kind=kind,
            host=self.host,
            gpu_uuid=gpu if is_real_uuid(gpu) else None,
            code=code,
            message=(sentence + more)[:_MESSAGE_LENGTH],
        )


def _is_whole(sample: GpuSample) -> bool:
    """Tell whether a sample is a good one of a GPU, not of a part of it."""
    return sample.up and sample.mig_parent_uuid is None and is_real_uuid(sample.gpu_uuid)


def _updated(known: KnownGpu, sample: GpuSample) -> KnownGpu:
    """Return what is known of a GPU after a good sample; what it does not tell stays as it was."""
    energy, action = sample.energy_millijoules_total, sample.recovery_action
    return KnownGpu(
        bus=bus_key(sample.pci_bus_id) if sample.pci_bus_id else known.bus,
        energy_millijoules=known.energy_millijoules if energy is None else energy,
        recovery=known.recovery if action is None else action > 0,
    )


def _evidence(trouble: Trouble, known: KnownGpu | None, sample: GpuSample, boot: str) -> str | None:
    """Return why a trouble is over, given a good sample of its GPU; None = it stands."""
    if trouble.boot != boot:
        return "the host was booted anew"
    if known is None:
        return None
    before, after = known.energy_millijoules, sample.energy_millijoules_total
    if before is not None and after is not None and after < before:
        return "the GPU was reset"
    if known.recovery and sample.recovery_action == 0:
        return "the driver no longer asks for recovery"
    return None
