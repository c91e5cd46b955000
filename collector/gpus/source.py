"""A GPU as a source: its sample while it answers, its identity with `up` false while it does not."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Final

from collector.backoff import Backoff
from collector.clock import elapsed_us
from collector.gpus.device import GpuDevice
from collector.gpus.identity import GpuIdentity, identity_columns
from collector.gpus.nvml import LOST, RENEW, DriverBusy, DriverError, Session
from telemetry.columns import Record
from telemetry.events import Event, EventKind
from telemetry.samples import GpuSample
from telemetry.source import Health, Reading

_GONE: Final = LOST | RENEW


class GpuSource:
    """One GPU by UUID. `read` is called from one thread of its own.

    A GPU that is lost stays in the data as `up=False`; it is back when the driver, asked anew
    with growing pauses, reads it again: by evidence, never by time.
    """

    def __init__(
        self, session: Session, identity: GpuIdentity, *, host: str, backoff: Backoff | None = None
    ) -> None:
        self.name = f"gpu:{identity.uuid}"
        self._session = session
        self._identity = identity
        self._host = host
        self._backoff = backoff or Backoff(1.0, 30.0, jitter=False)
        self._device: GpuDevice | None = None
        self._trouble: str | None = None
        self._lost = False
        self._next_attempt = 0.0
        self._energy_millijoules: int | None = None

    def read(self, now_us: int) -> Reading:
        """Read the GPU once; at most ten driver calls while it is well."""
        begun = time.monotonic()
        records: list[Record] = []
        if self._trouble is None or begun >= self._next_attempt:
            records = self._attempt(now_us)
        elif self._lost:
            records = [self._down(now_us)]
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
            sample = self._sample(now_us)
        except (DriverError, DriverBusy) as error:
            return self._failed(now_us, error)
        events = self._events(now_us, sample)
        self._trouble, self._lost = None, False
        self._backoff.reset()
        return [sample, *events]

    def _sample(self, now_us: int) -> GpuSample:
        """Read by the handle at hand, else by a new one, else by a new initialisation."""
        seen = self._session.generation
        try:
            return self._sample_once(now_us)
        except DriverError as error:
            if error.code not in _GONE or not self._trouble:
                raise
        self._session.renew(seen)
        return self._sample_once(now_us)

    def _sample_once(self, now_us: int) -> GpuSample:
        with self._session.use() as generation:
            if self._device is None or self._device.generation != generation:
                self._forget_device()
                self._device = GpuDevice(self._identity, host=self._host, generation=generation)
            return self._device.sample(now_us)

    def _failed(self, now_us: int, error: DriverError | DriverBusy) -> list[Record]:
        with suppress(DriverBusy, DriverError), self._session.use():
            self._forget_device()
        self._trouble = f"read {self._identity.model} {self._identity.uuid}: {error}"
        self._next_attempt = time.monotonic() + self._backoff.next()
        if isinstance(error, DriverBusy) or error.code not in _GONE:
            return [self._down(now_us)] if self._lost else []
        newly, self._lost = not self._lost, True
        events = [self._event(now_us, EventKind.GPU_LOST, error.code)] if newly else []
        return [self._down(now_us), *events]

    def _events(self, now_us: int, sample: GpuSample) -> list[Event]:
        """Tell what changed since the last sample: the GPU came back, its counters began anew."""
        events = [self._event(now_us, EventKind.GPU_BACK)] if self._lost else []
        before, after = self._energy_millijoules, sample.energy_millijoules_total
        if before is not None and after is not None and after < before:
            events.append(self._event(now_us, EventKind.GPU_RESET))
        self._energy_millijoules = after
        return events

    def _event(self, now_us: int, kind: EventKind, code: int | None = None) -> Event:
        return Event(
            at_us=now_us,
            kind=kind,
            host=self._host,
            gpu_uuid=self._identity.uuid,
            code=code,
            message=(self._trouble or "")[:200],
        )

    def _down(self, now_us: int) -> GpuSample:
        return replace(GpuSample(**identity_columns(self._identity, self._host, now_us)), up=False)

    def _forget_device(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def close(self) -> None:
        """Give back what the driver holds for this GPU."""
        with suppress(DriverBusy, DriverError), self._session.use():
            self._forget_device()
