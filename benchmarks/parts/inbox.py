"""The agent's end of the records socket: keeps what comes, by request."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from parts.waiting import until

from collector.requests.socket import RecordReceiver
from telemetry.requests import RequestRecord, TokenGaps


class Inbox:
    """Listens at a path in a thread of its own, as a context."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, RequestRecord] = {}
        self.gaps: dict[str, TokenGaps] = {}
        self._receiver = RecordReceiver.open(path)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._receiver.close()

    def wait_for(self, names: Iterable[str], *, gaps: bool = False, seconds: float = 30.0) -> None:
        """Return once the records of these requests are here, and their gaps where they are wanted."""
        wanted, kept = set(names), self.gaps if gaps else self.records
        until(lambda: wanted <= kept.keys() and wanted <= self.records.keys(), seconds, "all records came")

    def settle(self) -> None:
        """Wait until nothing more comes: a record's gaps follow it at once."""
        time.sleep(0.2)

    def _run(self) -> None:
        while not self._done.is_set():
            for one in self._receiver.receive(timeout_seconds=0.1):
                if isinstance(one, RequestRecord):
                    self.records[one.request_id] = one
                elif isinstance(one, TokenGaps):
                    self.gaps[one.request_id] = one
