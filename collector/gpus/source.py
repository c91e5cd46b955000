"""A GPU as a source: its samples while it answers, its identity with `up` false while it does not."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Final

from collector.backoff import Backoff
from collector.clock import elapsed_us
from collector.gpus.activity import Ladder
from collector.gpus.columns import identity_columns
from collector.gpus.device import GpuDevice
from collector.gpus.identity import GpuIdentity
from collector.gpus.nvml import GONE, DriverBusy, DriverError, Session
from telemetry.columns import Record
from telemetry.events import Event, EventKind
from telemetry.samples import ActivitySource, GpuSample
from telemetry.source import Health, Reading

_FAILURES_TO_LOSE: Final = 3
"""Attempts in a row after which a GPU is lost, whatever the error: one that stays is no slip."""

_LONGEST_PAUSE_SECONDS: Final = 120.0
"""Between two attempts to find a lost GPU: each initialises the driver anew for all of them."""


class GpuSource:
    """One GPU by UUID, with its MIG instances. `read` is called from one thread of its own.

    A GPU that is lost stays in the data as `up=False`; it is back when the driver, asked anew
    with growing pauses, reads it again: by evidence, never by time. The plain attributes may be
    read by any thread.
    """

    def __init__(
        self, session: Session, identity: GpuIdentity, *, host: str, backoff: Backoff | None = None
    ) -> None:
        self.name = f"gpu:{identity.uuid}"
        self.identity = identity
        self.answered_at: float | None = None
        """When the driver last answered for this GPU, monotonic seconds; None = never yet."""
        self.withdrawn: frozenset[ActivitySource] = frozenset()
        """Rungs of the activity ladder that read zero while the GPU works, and are not used."""
        self._session = session
        self._host = host
        self._backoff = backoff or Backoff(1.0, _LONGEST_PAUSE_SECONDS, jitter=False)
        self._ladder = Ladder()
        self._device: GpuDevice | None = None
        self._instances_down: tuple[GpuSample, ...] = ()
        self._trouble: str | None = None
        self._failures = 0
        self._lost = False
        self._next_attempt = 0.0
        self._energy_millijoules: int | None = None

    def read(self, now_us: int) -> Reading:
        """Read the GPU once; at most ten driver calls while it is well, and for each instance."""
        begun = time.monotonic()
        records: list[Record] = []
        if self._trouble is None or begun >= self._next_attempt:
            records = self._attempt(now_us)
        elif self._lost:
            records = self._down(now_us)
        health = Health(
            source=self.name,
            at_us=now_us,
            took_us=elapsed_us(begun),
            ok=self._trouble is None,
            error=self._trouble,
        )
        return Reading(records=tuple(records), health=health)

    def _attempt(self, now_us: int) -> list[Record]:
        try:
            samples = self._sample(now_us)
        except (DriverError, DriverBusy) as error:
            return self._failed(now_us, error)
        events = self._events(now_us, samples[0])
        self.answered_at = time.monotonic()
        self._trouble, self._lost, self._failures = None, False, 0
        self._backoff.reset()
        return [*samples, *events]

    def _sample(self, now_us: int) -> list[GpuSample]:
        """Read by the handle at hand, else by a new one, else by a new initialisation."""
        seen = self._session.generation
        try:
            return self._sample_once(now_us)
        except DriverError as error:
            if not self._trouble or not (self._lost or error.code in GONE):
                raise
        self._session.renew(seen)
        return self._sample_once(now_us)

    def _sample_once(self, now_us: int) -> list[GpuSample]:
        with self._session.use() as generation:
            if self._device is None or self._device.generation != generation:
                self._forget_device()
                self._device = self._open(generation)
            return self._device.samples(now_us)

    def _open(self, generation: int) -> GpuDevice:
        """Open the GPU anew; its index and driver may have changed, its UUID and what we learnt not."""
        device = GpuDevice(self.identity.uuid, host=self._host, generation=generation, ladder=self._ladder)
        self.identity = device.identity
        return device

    def _failed(self, now_us: int, error: DriverError | DriverBusy) -> list[Record]:
        if self._device is not None and not self._lost:
            self._instances_down = tuple(self._device.mig.down(now_us))
        with suppress(DriverBusy, DriverError), self._session.use():
            self._forget_device()
        self._trouble = f"read {self.identity.model} {self.identity.uuid}: {error}"
        if isinstance(error, DriverBusy):  # nothing is known against this GPU: no pause for it
            return self._down(now_us) if self._lost else []
        self._next_attempt = time.monotonic() + self._backoff.next()
        self._failures += 1
        if error.code not in GONE and self._failures < _FAILURES_TO_LOSE and not self._lost:
            return []
        newly, self._lost = not self._lost, True
        events = [self._event(now_us, EventKind.GPU_LOST, code=error.code)] if newly else []
        return [*self._down(now_us), *events]

    def _events(self, now_us: int, sample: GpuSample) -> list[Event]:
        """Tell what changed since the last sample: it came back, its counters began anew, or they lie."""
        events = [self._event(now_us, EventKind.GPU_BACK)] if self._lost else []
        before, after = self._energy_millijoules, sample.energy_millijoules_total
        if before is not None and after is not None and after < before:
            events.append(self._event(now_us, EventKind.GPU_RESET))
        self._energy_millijoules = after
        known, self.withdrawn = self.withdrawn, self._ladder.withdrawn
        events += [
            self._event(now_us, EventKind.SOURCE_FAULT, message=_LIE.format(source=source))
            for source in sorted(self.withdrawn - known)
        ]
        return events

    def _event(
        self, now_us: int, kind: EventKind, *, code: int | None = None, message: str | None = None
    ) -> Event:
        return Event(
            at_us=now_us,
            kind=kind,
            host=self._host,
            gpu_uuid=self.identity.uuid,
            code=code,
            message=(message or self._trouble or "")[:200],
        )

    def _down(self, now_us: int) -> list[Record]:
        """Return the GPU and the instances it had, as lost."""
        whole = GpuSample(**identity_columns(self.identity, self._host, now_us), up=False)
        return [whole, *(replace(one, at_us=now_us) for one in self._instances_down)]

    def _forget_device(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def close(self) -> None:
        """Give back what the driver holds for this GPU."""
        with suppress(DriverBusy, DriverError), self._session.use():
            self._forget_device()


_LIE: Final = (
    "activity by {source} reads zero while kernels run and the energy counter climbs; the next rung is used: "
    "an Xid or another profiler may have stopped the counters"
)
