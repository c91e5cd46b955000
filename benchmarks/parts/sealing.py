"""What a simulation brings, sealed into batches as an agent seals it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from journal import Sealed
from telemetry.columns import TABLE_OF, Record
from telemetry.identity import Origin
from telemetry.units import MICROS_PER_SECOND
from telemetry.wire import BatchHeader, encode

SEAL_US = 2 * MICROS_PER_SECOND


def sealed(records: Iterable[Record], *, agent: str) -> Iterator[Sealed]:
    """Yield batches of two seconds of records, which come in order of time."""
    seq, due_us = 0, 0
    tables: dict[str, list[Record]] = {}
    for record in records:
        table = TABLE_OF[type(record)]
        at_us = getattr(record, table.time_column)
        if tables and at_us >= due_us:
            seq += 1
            yield _batch(agent, seq, due_us, tables)
            tables = {}
        due_us = due_us if tables else at_us + SEAL_US
        tables.setdefault(table.name, []).append(record)
    if tables:
        yield _batch(agent, seq + 1, due_us, tables)


def _batch(agent: str, seq: int, sealed_at_us: int, tables: dict[str, list[Record]]) -> Sealed:
    header = BatchHeader(
        boot="simulated", seq=seq, sealed_at_us=sealed_at_us, host=agent, origin=Origin.SIMULATED
    )
    return Sealed(
        agent=agent,
        boot=header.boot,
        seq=seq,
        received_at_us=sealed_at_us + MICROS_PER_SECOND // 2,
        body=encode(header, tables),
    )
