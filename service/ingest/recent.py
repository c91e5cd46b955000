"""The batches decoded last, so that what follows the door need not decode them again."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from journal import Entry
from service.ingest.decode import Decoded, decode

Identity = tuple[str, str, int]
"""(agent, boot, seq)."""

_MAX_BYTES: Final = 64 * 1024 * 1024


class Recent:
    """Decoded batches by identity, the oldest out first beyond `max_bytes` of columns. Thread-safe.

    Remember only what the journal answered `STORED`: a repeat may carry another body.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._held: OrderedDict[Identity, Decoded] = OrderedDict()
        self._bytes = 0

    def remember(self, agent: str, decoded: Decoded) -> None:
        """Keep a batch that was just journalled, if it fits."""
        identity = (agent, decoded.header.boot, decoded.header.seq)
        with self._lock:
            if identity in self._held:
                return
            self._held[identity] = decoded
            self._bytes += decoded.size_bytes
            while self._bytes > self._max_bytes:
                _, oldest = self._held.popitem(last=False)
                self._bytes -= oldest.size_bytes

    def decoded(self, entry: Entry) -> Decoded:
        """Return an entry's batch, from memory or from its body. Raises `WireError` as `decode` does."""
        with self._lock:
            held = self._held.get((entry.agent, entry.boot, entry.seq))
        return held or decode(entry.body)
