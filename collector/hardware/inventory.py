"""GPUs that should be here and are not: told as `up=False` with their identity, like one that was lost.

With a list of UUIDs the missing ones are known by name. With a number, those remembered from
earlier starts are; a GPU that was never seen has no identity, so that only its absence is told,
by an event of the host, and its end by another: also the first judgement after a start is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from collector.clock import elapsed_us
from collector.hardware.desk import HardwareDesk
from telemetry.columns import Record
from telemetry.events import Event, EventKind
from telemetry.samples import GpuSample
from telemetry.source import Health, Reading

GRACE_SECONDS: Final = 30.0
"""How long after the start a driver may still be finding its GPUs."""

Expected = int | tuple[str, ...]
"""How many GPUs this host has, or which."""


def number_of(expected: Expected) -> int:
    """Return how many GPUs are expected."""
    return expected if isinstance(expected, int) else len(expected)


class Inventory:
    """Compares who is expected with who is watched. A watched GPU that is lost tells of itself."""

    name = "inventory"

    def __init__(
        self,
        expected: Expected,
        desk: HardwareDesk,
        watched: Callable[[], Collection[str]],
        *,
        grace_seconds: float | None = None,
    ) -> None:
        self._expected = expected
        self._desk = desk
        self._watched = watched
        self._judged_from = time.monotonic() + (GRACE_SECONDS if grace_seconds is None else grace_seconds)
        self._told: tuple[int, tuple[str, ...]] | None = None

    def read(self, now_us: int) -> Reading:
        """Return a down sample for each missing GPU that has a name; an event when who is missing changes."""
        begun = time.monotonic()
        records: tuple[Record, ...] = ()
        seen = set(self._watched())
        complete = len(seen) >= number_of(self._expected)
        if complete or begun >= self._judged_from:
            records = tuple(self._missing(seen, now_us))
        health = Health(source=self.name, at_us=now_us, took_us=elapsed_us(begun), ok=True)
        return Reading(records=records, health=health)

    def _missing(self, seen: Collection[str], now_us: int) -> Iterator[Record]:
        named = self._named(seen)
        short = max(number_of(self._expected) - len(seen), len(named))
        for uuid in named:
            yield GpuSample(at_us=now_us, gpu_uuid=uuid, host=self._desk.host, up=False)
        told, self._told = self._told, (short, named)
        if told != self._told:
            yield self._event(short, named, now_us)

    def _named(self, seen: Collection[str]) -> tuple[str, ...]:
        """Return the missing GPUs that have a name; with a number, never more than are missing."""
        if not isinstance(self._expected, int):
            return tuple(uuid for uuid in self._expected if uuid not in seen)
        gone = [uuid for uuid in self._desk.known_gpus() if uuid not in seen]
        room = max(0, self._expected - len(seen))
        if len(gone) > room:  # replaced: the host has as many as it should, without them
            self._desk.forget(gone[: len(gone) - room])
        return tuple(gone[len(gone) - room :])

    def _event(self, short: int, named: Sequence[str], now_us: int) -> Event:
        expected = number_of(self._expected)
        nameless = short - len(named)
        message = f"{expected - short} of {expected} expected GPUs are here"
        if short:
            never = [f"{nameless} never seen"] if nameless else []
            message += f"; missing: {', '.join([*never, *named])}"
        return Event(
            at_us=now_us,
            kind=EventKind.GPU_LOST if short else EventKind.GPU_BACK,
            host=self._desk.host,
            code=nameless,
            message=message[:200],
        )

    def close(self) -> None:
        """Nothing is held."""
