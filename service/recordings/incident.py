"""A recorded incident judged by the code that judges a live fleet, from the same stores.

A recording is sealed into batches and goes through the same checks, journal, block writer and
facts store as what agents send; what is said of it (`service.recordings.judging`) is asked of the store.

Guarantee: the same recording again changes nothing and is answered the same; every row of it
is in the store, or an error says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from journal import Journal, JournalFull, Limits, Sealed
from service.ingest.decode import decode
from service.recordings.judging import Case, Terms
from service.recordings.recording import Recording
from service.recordings.sealing import Shipment
from service.recordings.verdicts import Verdict
from service.settings import Settings
from service.store.facts import Facts
from service.store.migrate import upgrade_facts
from service.writer import READER, Writer

JOURNAL: Final = "imports.db"
"""A journal of its own: what is imported is no live fact, and no live count may meet it."""
_LIMITS: Final = Limits(max_lag_seconds=None, ballast_bytes=0, group_delay_seconds=0.0)


class IncidentError(Exception):
    """A recording that is not wholly in the store: what, why, and what to do."""


@contextmanager
def incidents(directory: Path) -> Iterator[Incidents]:
    """Open the stores of a directory, made or migrated when need be, and finish what a kill cut off.

    Raises `JournalLocked` when another import holds the directory, else `JournalError` and
    `StoreError`.
    """
    address = Settings(data_dir=directory).facts_address
    with closing(Journal.open(directory / JOURNAL, _LIMITS, readers=(READER,))) as journal:
        upgrade_facts(address)
        with closing(Facts.open(address)) as facts:
            yield Incidents(journal, facts)


class Incidents:
    """Judges recordings in open stores. For one thread."""

    def __init__(self, journal: Journal, facts: Facts) -> None:
        """Store what an import that was killed had left in the journal."""
        self._journal, self._facts = journal, facts
        self._writer = Writer(journal, facts)
        self._writer.recover()
        self._writer.drain()

    def judge(self, recording: Recording, terms: Terms, tell: Callable[[str], None]) -> Verdict:
        """Bring a recording into the stores and return what they say of it.

        `tell` is called with each step as it begins. Raises `IncidentError`, `WireError`,
        `JournalError`, `StoreError` and `PriceError`; what was stored until then stays, and the
        next import of the same goes on from there.
        """
        shipment = Shipment.of(recording)
        tell("storing")
        self._store(shipment)
        return Case(self._facts, recording, shipment.dataset, terms).verdict(tell)

    def _store(self, shipment: Shipment) -> None:
        if not self._lacking(shipment):
            return
        for batch in shipment.batches():
            decode(batch.body)  # what every live batch must pass before it enters the journal
            self._append(batch)
        self._writer.drain()
        if lacking := self._lacking(shipment):
            raise IncidentError(
                f"store {shipment.dataset}: {', '.join(lacking)}; "
                "the directory was changed by hand, or another disk's copy: import into a fresh one"
            )

    def _append(self, batch: Sealed) -> None:
        try:
            self._journal.append(batch).result()
        except JournalFull:
            self._writer.drain()
            self._journal.append(batch).result()

    def _lacking(self, shipment: Shipment) -> list[str]:
        """Say of which tables the store does not hold just the rows of the recording. One query."""
        if not shipment.tables:
            return []
        counts = " UNION ALL ".join(
            f"SELECT '{name}' AS name, count() AS rows FROM {name} WHERE dataset = {{dataset:String}}"  # noqa: S608 - our tables
            for name in shipment.tables
        )
        found = self._facts.query(counts, {"dataset": shipment.dataset})
        there = dict(zip(found["name"].to_pylist(), found["rows"].to_pylist(), strict=True))
        return [
            f"{there[name]:,} of {len(rows):,} rows of {name} are there"
            for name, rows in shipment.tables.items()
            if there[name] != len(rows)
        ]
