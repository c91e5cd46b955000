"""Keeps the requests under way and sends a record of each when it ends: what proxy and middleware share.

Every request that begins gives exactly one record, however it ended. Standard library and
`telemetry` only; everything here belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from itertools import islice
from typing import Final

from collector.requests.callers import LOOPBACK, Callers, LabelCap, is_within
from collector.requests.counts import Counts, Level, exposition
from collector.requests.exchange import MEASURED, Ending, Exchange
from collector.requests.settings import TimingSettings
from collector.requests.socket import RecordSender
from telemetry.identity import MAX_NAME_LENGTH, OTHER_TENANT, Vantage
from telemetry.units import MICROS_PER_SECOND, NANOS_PER_MICRO

OWN_PAGES: Final = "/-/inferometer/"
"""Paths that are never passed on; answered for loopback and trusted peers only."""
_NOT_LEARNT: Final = frozenset({400, 401, 403, 404, 422})
"""A request answered so may name any model; its name takes no place under the cap."""
_TELL_SECONDS: Final = 1.0


def now_us() -> int:
    """Return whole microseconds of the monotonic clock."""
    return time.monotonic_ns() // NANOS_PER_MICRO


class Recorder:
    """Begins and ends the records of one vantage."""

    def __init__(
        self, settings: TimingSettings, sender: RecordSender, counts: Counts, *, vantage: Vantage
    ) -> None:
        self.counts = counts
        self._settings = settings
        self._sender = sender
        self._vantage = vantage
        self._callers = Callers(settings)
        self._models = LabelCap(settings.model_cap)
        self._running: dict[int, Exchange] = {}
        self._telling: asyncio.Task[None] | None = None

    def begin(self, headers: Mapping[str, str], peer: str | None, *, path: str, method: str) -> Exchange:
        """Note a request from `peer` with these headers, their names in any case; it must be ended."""
        route = next((one for one in MEASURED if path.endswith(one)), None) if method == "POST" else None
        exchange = Exchange(
            caller=self._callers.identify(headers, peer),
            route=route,
            started_at_us=time.time_ns() // NANOS_PER_MICRO,
            started_us=now_us(),
            settings=self._settings,
            vantage=self._vantage,
            admit=self._admit_model,
        )
        if exchange.measured:
            self._running[id(exchange)] = exchange
            if self._telling is None or self._telling.done():
                self._telling = asyncio.get_running_loop().create_task(self._tell_of_running())
        return exchange

    def end(self, exchange: Exchange, ending: Ending) -> None:
        """Send the record of a request, and its gaps where they are kept. Never raises."""
        if not exchange.measured:
            self.forget(exchange)
            return
        del self._running[id(exchange)]
        self.counts.ended[ending.status] += 1
        record = exchange.record(ending, now_us())
        self._sender.send(record)
        if gaps := exchange.gaps(record):
            self._sender.send(gaps)

    def forget(self, exchange: Exchange) -> None:
        """Let go of a request without a record: it is not measured, or measuring it failed."""
        self._running.pop(id(exchange), None)
        self.counts.passed += not exchange.measured

    @property
    def running(self) -> list[Exchange]:
        """Measured requests under way, oldest first."""
        return list(self._running.values())

    async def _tell_of_running(self) -> None:
        """Send a snapshot of each request older than a second, every second, while there are any."""
        while self._running:
            await asyncio.sleep(_TELL_SECONDS)
            now = now_us()
            old = (one for one in self.running if now - one.started_us >= MICROS_PER_SECOND)
            for exchange in islice(old, self._settings.in_flight_most):
                self._sender.send(exchange.snapshot(now))

    def page(self, who: str) -> str:
        """Return counters and levels as Prometheus text, named `inferometer_` and `who` keeps them."""
        return exposition(who, self.counts, self.level())

    def level(self) -> Level:
        """Return what is so at this instant."""
        running = self.running
        return Level(
            in_flight=len(running),
            oldest_us=now_us() - running[0].started_us if running else 0,
            agent_reached=self._sender.connected,
            records_waiting=self._sender.waiting,
            records_sent=self._sender.sent,
            records_lost=dict(self._sender.lost),
            tenants_folded=self._callers.tenants.folded,
            models_folded=self._models.folded,
        )

    def sees(self, peer: str | None) -> bool:
        """Tell whether this address may see our own pages."""
        return is_within(peer, (*LOOPBACK, *self._settings.trusted))

    def _admit_model(self, name: str, status: int | None) -> str:
        if len(name) > MAX_NAME_LENGTH or not name.isprintable():
            return OTHER_TENANT
        return self._models.admit(name, learn=status not in _NOT_LEARNT)
