"""Finds what to read, again and again: a driver or an engine may come after the agent."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

from collector.backoff import Backoff
from collector.engines import engines, recognise
from collector.scraping.engine_source import EngineSource
from collector.settings import EngineTarget, Settings
from collector.web import WebError, fetch
from telemetry.source import Source

log = logging.getLogger(__name__)

_PROBE_SECONDS: Final = 0.5
_AGAIN_SECONDS: Final = 30.0


class Finder(Protocol):
    """Finds sources of one kind."""

    name: str

    def find(self) -> Sequence[Source]:
        """Return sources that were not returned before; may block; raises when it cannot look."""
        ...


class EngineFinder:
    """The engines the settings name, or else those on their usual ports of this host."""

    name = "engines"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: set[str] = set()

    def find(self) -> Sequence[EngineSource]:
        """Return sources of engines not returned before; empty when none are there (yet)."""
        targets = self._settings.engines
        if not targets and self._settings.find_engines:
            targets = tuple(local_engines())
        new = [target for target in targets if target.url not in self._known]
        self._known.update(target.url for target in new)
        # The page must be given up before the reading is, so that the replica is told down.
        timeout = 0.9 * self._settings.deadline_seconds
        return [
            EngineSource(
                target, host=self._settings.host, timeout_seconds=timeout, models=self._settings.models
            )
            for target in new
        ]


def local_engines(*, timeout_seconds: float = _PROBE_SECONDS) -> list[EngineTarget]:
    """Return the engines that answer on their usual ports of this host; at most one a port."""
    pages = {f"http://127.0.0.1:{port}{engine.metrics_path}" for engine in engines() for port in engine.ports}
    found: dict[int | None, EngineTarget] = {}
    for url in sorted(pages, key=lambda page: (urlsplit(page).port or 0, page)):
        port = urlsplit(url).port
        if port in found:
            continue
        try:
            engine = recognise(fetch(url, timeout_seconds=timeout_seconds).body)
        except WebError:
            continue
        if engine is not None:
            found[port] = EngineTarget(url=url, kind=engine.name)
    return list(found.values())


class Search:
    """The thread of one finder: with pauses that grow while it fails, steady once it does not."""

    def __init__(self, finder: Finder, *, found: Callable[[Sequence[Source]], None]) -> None:
        self.name = finder.name
        self.trouble: str | None = None
        """Why the last search failed; None = it went well, or has not ended yet."""
        self._finder = finder
        self._found = found
        self._backoff = Backoff(1.0, 60.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"find-{finder.name}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; one that hangs in a driver is left behind."""
        self._stop.set()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = self._look()

    def _look(self) -> float:
        try:
            self._found(self._finder.find())
        except Exception as error:  # noqa: BLE001 - a finder must not end the agent; it is told and tried again
            trouble = str(error) or type(error).__name__
            if trouble != self.trouble:
                log.warning("looking for %s: %s", self.name, trouble)
            self.trouble = trouble
            return self._backoff.next()
        self.trouble = None
        self._backoff.reset()
        return _AGAIN_SECONDS
