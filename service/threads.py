"""The service's own plain threads: each repeats one step; a failed step is counted and tried again.

What a store or a receiver refuses is said in one line, once for each cause; only what nobody
foresaw is logged with its traceback. `trouble` says why a worker is not getting anywhere.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from alerts.errors import AlertsError
from cost.prices import PriceError
from journal import JournalError
from service.own_metrics import Tally
from service.store.errors import StoreError

_LOG = logging.getLogger(__name__)
_AFTER_FAILURE_SECONDS: Final = 1.0
_TROUBLE_AFTER: Final = 2
"""Rounds that must fail one after the other before a worker is said to be in trouble."""
FORESEEN: Final = (StoreError, JournalError, AlertsError, PriceError)
"""Errors whose message is whole: a traceback would add nothing."""


class Worker:
    """Repeats `step` until stopped. `step` returns true when there is more to do at once."""

    def __init__(self, name: str, step: Callable[[], bool], *, every_seconds: float, tally: Tally) -> None:
        self.name = name
        self._step, self._every, self._tally = step, every_seconds, tally
        self._failed, self._cause = 0, ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; called once."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the step under way be the last; returns at once."""
        self._stop.set()

    def stop(self, timeout_seconds: float = 10) -> bool:
        """Ask to stop and wait; false = a step still runs after the time."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def trouble(self) -> str | None:
        """Why the last rounds failed, one after the other; None when the last one went well."""
        return self._cause if self._failed >= _TROUBLE_AFTER else None

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            pause = self._every
            try:
                more = self._step()
            except Exception as error:  # noqa: BLE001 - the job runner's catch: counted, logged, tried again
                self._note_failure(error)
                pause = max(pause, _AFTER_FAILURE_SECONDS)
            else:
                self._note_success()
                if more:
                    continue
            self._stop.wait(max(0.0, pause - (time.monotonic() - began)))

    def _note_failure(self, error: Exception) -> None:
        self._tally.add("job_failures", self.name)
        cause = str(error) if isinstance(error, FORESEEN) else repr(error)
        self._failed += 1
        if cause == self._cause:
            return
        self._cause = cause
        if isinstance(error, FORESEEN):
            _LOG.warning("%s: a round failed and is tried again: %s", self.name, error)
        else:
            _LOG.error("%s: a round failed and is tried again", self.name, exc_info=error)

    def _note_success(self) -> None:
        if self._failed:
            _LOG.warning("%s: goes on after %d failed rounds", self.name, self._failed)
        self._failed, self._cause = 0, ""
