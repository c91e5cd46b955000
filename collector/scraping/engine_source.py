"""An inference engine as a source: its metrics page once a tick, a sample for each replica on it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from collector.clock import elapsed_us
from collector.efficiency.ratios import ModelShape
from collector.engines import Engine, recognise
from collector.scraping.engine_mapping import RankReading, read_ranks
from collector.scraping.engine_memory import EngineMemory
from collector.scraping.exposition import Page, PageError, parse
from collector.scraping.start_up import StartUp
from collector.settings import EngineTarget
from collector.web import WebError, fetch, shown
from telemetry.columns import Record
from telemetry.events import Event, EventKind
from telemetry.identity import MAX_NAME_LENGTH, Replica, Vantage
from telemetry.samples import EngineSample, ReplicaState
from telemetry.source import Health, Reading

_HEAVY_PAGE_US: Final = 250_000
_REST_FACTOR: Final = 4
_MAX_VERSION_BYTES: Final = 4096


class EngineSource:
    """One engine's page. `read` is called from one thread of its own.

    A page that costs its server or us more than 250 ms is left in peace for four times as long.
    When it cannot be read, the replicas last seen on it are sent with `up` false and nothing else.
    """

    def __init__(
        self,
        target: EngineTarget,
        *,
        host: str,
        timeout_seconds: float,
        models: Mapping[str, ModelShape] | None = None,
    ) -> None:
        self.name = f"engine:{target.place(host)}"
        self.target = target
        self.start_ups: Mapping[str, StartUp] = {}
        """What the start-up log tells of each replica; may be read by any thread."""
        self._memory = EngineMemory(target.log, models or {})
        self._host = host
        self._timeout = timeout_seconds
        self._rest_until = 0.0
        self._engine: Engine | None = None
        self._version: str | None = None
        self._ranks: tuple[int, ...] = (0,)
        self._models: dict[int, str | None] = {}
        self._epochs: dict[int, int] = {}

    def read(self, now_us: int) -> Reading:
        """Read the page once; its faults, family by family, are in the health's sentence."""
        begun = time.monotonic()
        records: Sequence[Record] = ()
        error: str | None = None
        if begun >= self._rest_until:
            try:
                records, faults = self._read_page(now_us)
                self._rest_after(elapsed_us(begun))
                error = f"read {self.name}: " + "; ".join(faults) if faults else None
            except (WebError, PageError) as trouble:
                error = str(trouble)
                records = [self._down(rank, now_us) for rank in self._ranks]
        health = Health(
            source=self.name, at_us=now_us, took_us=elapsed_us(begun), ok=error is None, error=error
        )
        return Reading(records=tuple(records), health=health)

    def _rest_after(self, took_us: int) -> None:
        if took_us > _HEAVY_PAGE_US:
            self._rest_until = time.monotonic() + _REST_FACTOR * took_us / 1e6

    def _read_page(self, now_us: int) -> tuple[list[Record], list[str]]:
        answer = fetch(self.target.url, timeout_seconds=self._timeout)
        engine, page = self._read_as(answer.body)
        readings = read_ranks(engine, page)
        events = [event for reading in readings if (event := self._restart(reading, now_us))]
        if self._version is None or events:
            self._version = self._asked_version(engine)
        self._ranks = tuple(reading.rank for reading in readings)
        unread = self._memory.read()
        self.start_ups = {str(self._replica(rank)): self._memory.start_up(rank) for rank in self._ranks}
        samples = [self._sample(engine, reading, now_us, answer.took_us) for reading in readings]
        return [*samples, *events], [*page.faults, *([unread] if unread else [])]

    def _read_as(self, body: bytes) -> tuple[Engine, Page]:
        """Return whose page it is and what it says: the engine's that was there, while it has its series."""
        if self._engine is not None:
            page = self._engine.page(body)
            if any(map(self._engine.owns, page.series)):
                return self._engine, page
        engine = self._recognised(body)
        return engine, engine.page(body)

    def _recognised(self, body: bytes) -> Engine:
        engine = recognise(body)
        if engine is None:
            parse(body, ())  # tells an HTML or binary page apart
            advice = self._engine.advice if self._engine else "is this an inference engine's port?"
            raise PageError(
                f"read {shown(urlsplit(self.target.url))}: no engine's series on the page; {advice}"
            )
        self._engine = engine
        return engine

    def _sample(self, engine: Engine, reading: RankReading, now_us: int, took_us: int) -> EngineSample:
        model = self._models[reading.rank] = self.target.model or _name(reading.model)
        memory = self._memory.columns(reading.rank, model, reading.columns)
        return EngineSample(
            **self._identity(reading.rank, now_us),
            engine=engine.name,
            engine_version=self._version,
            vantage=engine.vantage,
            state=reading.state,
            scrape_us=took_us,
            **reading.columns,
            **memory,
        )

    def _down(self, rank: int, now_us: int) -> EngineSample:
        return EngineSample(
            **self._identity(rank, now_us),
            engine=self._engine.name if self._engine else self.target.kind,
            vantage=self._engine.vantage if self._engine else Vantage.ENGINE,
            up=False,
            state=ReplicaState.UNKNOWN,
        )

    def _identity(self, rank: int, now_us: int) -> dict[str, Any]:
        return {
            "at_us": now_us,
            "replica": str(self._replica(rank)),
            "host": self._host,
            "model": self._models.get(rank, self.target.model),
            "pool": self.target.pool,
        }

    def _replica(self, rank: int) -> Replica:
        return self.target.replica(self._host, rank)

    def _restart(self, reading: RankReading, now_us: int) -> Event | None:
        """Tell when a replica's process is another than at the last reading."""
        epoch = reading.columns.get("epoch_us")
        before = self._epochs.get(reading.rank)
        if epoch is None or epoch == before:
            return None
        self._epochs[reading.rank] = epoch
        return Event(
            at_us=now_us,
            kind=EventKind.ENGINE_START if before is None else EventKind.ENGINE_RESTART,
            host=self._host,
            replica=str(self._replica(reading.rank)),
        )

    def _asked_version(self, engine: Engine) -> str | None:
        if engine.version_path is None:
            return None
        url = urlunsplit(urlsplit(self.target.url)._replace(path=engine.version_path, query=""))
        try:
            answer = fetch(url, timeout_seconds=self._timeout, max_bytes=_MAX_VERSION_BYTES)
            told = json.loads(answer.body)
        except (WebError, ValueError, RecursionError):
            return None
        version = told.get("version") if isinstance(told, dict) else None
        return _name(version) if isinstance(version, str) else None

    def close(self) -> None:
        """Let go of the engine's log; nothing else is held between two readings."""
        self._memory.close()


def _name(text: str | None) -> str | None:
    """Return a text as an identity; one that is too long or not printable is none."""
    fits = text is not None and 0 < len(text) <= MAX_NAME_LENGTH and text.isprintable()
    return text if fits else None
