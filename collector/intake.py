"""Takes request records from the proxies of this host and hands them to the buffer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from collector.requests.socket import RecordReceiver, TimedRecord

log = logging.getLogger(__name__)

Deliver = Callable[[Sequence[TimedRecord]], None]
"""Takes records; never blocks."""


class Intake:
    """The thread at the records socket. Its counters are those of `receiver`."""

    def __init__(self, path: Path, *, deliver: Deliver) -> None:
        self.receiver = RecordReceiver.open(path)
        self._deliver = deliver
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self, *, grace_seconds: float) -> None:
        """Take what is there, then stop listening."""
        self._stop.set()
        self._thread.join(grace_seconds)
        self.receiver.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._deliver(self.receiver.receive())
            except OSError:
                log.exception("receiving request records failed; the agent goes on")
                self._stop.wait(1.0)
