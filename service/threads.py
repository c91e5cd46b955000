"""The service's own plain threads: each repeats one step; a failed step is counted and tried again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from service.own_metrics import Tally

_LOG = logging.getLogger(__name__)
_AFTER_FAILURE_SECONDS = 1.0


class Worker:
    """Repeats `step` until stopped. `step` returns true when there is more to do at once."""

    def __init__(self, name: str, step: Callable[[], bool], *, every_seconds: float, tally: Tally) -> None:
        self.name = name
        self._step, self._every, self._tally = step, every_seconds, tally
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; called once."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 10) -> None:
        """Ask the step under way to be the last, and wait for it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            pause = self._every
            try:
                if self._step():
                    continue
            except Exception:  # noqa: BLE001 - the job runner's catch: counted, logged, tried again
                _LOG.exception("%s: a round failed and is tried again", self.name)
                self._tally.add("job_failures", self.name)
                pause = max(pause, _AFTER_FAILURE_SECONDS)
            self._stop.wait(max(0.0, pause - (time.monotonic() - began)))
