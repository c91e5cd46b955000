"""A recording as batches: what an agent would have shipped, had one been there.

A batch's identity follows from what the recording is called and holds: the same recording read
anywhere, at any time, gives the same batches, and a different one gives others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from journal import Sealed
from service.recordings.recording import Recording
from telemetry.columns import TABLE_OF, Record
from telemetry.identity import MAX_NAME_LENGTH, Origin
from telemetry.wire import BatchHeader, encode

AGENT: Final = "import"
BATCH_ROWS: Final = 5_000
_DIGEST: Final = 32


@dataclass(frozen=True, slots=True)
class Shipment:
    """The rows of a recording by table, and the name of the dataset they make."""

    digest: str
    dataset: str
    sealed_at_us: int
    tables: Mapping[str, Sequence[Record]]

    @classmethod
    def of(cls, recording: Recording) -> Shipment:
        """Return a recording ready to be sealed; tables without rows are left out. O(rows)."""
        rows: tuple[Sequence[Record], ...] = (
            recording.placements,
            recording.events,
            recording.gpu_samples,
            recording.engine_samples,
            recording.requests,
        )
        tables = {TABLE_OF[type(each[0])].name: each for each in rows if each}
        digest = _digest(recording.name, tables)
        name = f"import:{digest[:12]}:{recording.name}"[:MAX_NAME_LENGTH]
        return cls(digest, name, recording.window_us[1] if recording.window_us else 0, tables)

    def batches(self) -> Iterator[Sealed]:
        """Yield the sealed batches, in order."""
        chunks = [
            (name, rows[start : start + BATCH_ROWS])
            for name, rows in self.tables.items()
            for start in range(0, len(rows), BATCH_ROWS)
        ]
        for seq, (name, rows) in enumerate(chunks):
            header = BatchHeader(
                boot=self.digest,
                seq=seq,
                sealed_at_us=self.sealed_at_us,
                host=AGENT,
                origin=Origin.IMPORTED,
                dataset=self.dataset,
            )
            yield Sealed(
                agent=AGENT,
                boot=self.digest,
                seq=seq,
                received_at_us=self.sealed_at_us,
                body=encode(header, {name: rows}),
            )


def _digest(name: str, tables: Mapping[str, Sequence[Record]]) -> str:
    digest = hashlib.sha256(name.encode())
    for rows in tables.values():
        for row in rows:
            digest.update(repr(row).encode())
    return digest.hexdigest()[:_DIGEST]
