"""A recorded incident judged: through the same journal, fold, store and judges as a live fleet.

A recording is sealed into batches whose identity follows from its content, so a second import
into the same directory changes nothing. Percentiles are of the stored rows (nearest rank),
goodput is the sum of the stored count cells, the ledger is what the live biller makes of the
stored facts. What nothing measured is None.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from anomalies.detect import detect
from anomalies.finding import Finding
from anomalies.frame import build
from cost.attribution import Window
from cost.ledger import Ledger, by_class, total
from cost.prices import PriceBook
from journal import Journal, JournalFull, Limits, Sealed
from service.cell_store import CellStore
from service.costing import Facts as BilledFacts
from service.costing import bill
from service.counts import ObjectiveCounts
from service.fold import READER as FOLD
from service.fold import Fold
from service.live import LiveWindow
from service.own_metrics import Tally
from service.recordings.recording import Recording
from service.store.facts import Facts
from service.writer import READER as STORE
from service.writer import Writer
from slo.objective import Objective
from telemetry.columns import TABLE_OF, Record
from telemetry.frame import Frame
from telemetry.identity import Origin
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND
from telemetry.wire import BatchHeader, encode

AGENT: Final = "import"
BATCH_ROWS: Final = 5_000
MIB: Final = 1024 * 1024
LONGEST_SILENCE_STEPS: Final = 3
_PERCENTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_TPOT: Final = "(e2e_us - ttft_us) / (output_tokens - 1)"
_SPREAD: Final = {
    "ttft_seconds": ("ttft_us", "isNotNull(ttft_us)"),
    "tpot_seconds": (_TPOT, "isNotNull(ttft_us) AND output_tokens > 1 AND status = 'ok'"),
    "e2e_seconds": ("e2e_us", "status = 'ok'"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said of one recording. None = not measured; money in nano-currency."""

    name: str
    window_us: tuple[int, int] | None
    requests: int
    errors: int
    spreads: Mapping[str, Mapping[str, float] | None]
    good: int | None
    counted: int | None
    findings: tuple[Finding, ...]
    bill_nano: int | None
    ledger_nano: Mapping[str, int] | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a recording is judged by."""

    objective: Objective | None
    prices: PriceBook
    progress: Callable[[str], None] = field(default=lambda _line: None)


class Incidents:
    """Judges recordings in one directory. One process at a time holds the directory."""

    def __init__(self, directory: Path, facts: Facts) -> None:
        """Use an opened facts store; the journal of imports lies beside it."""
        self._directory, self._facts = directory, facts

    def judge(self, recording: Recording, asked: Asked) -> Verdict:
        """Bring one recording into the stores, and return what they say of it."""
        dataset = dataset_name(recording)
        end_us = recording.window_us[1] if recording.window_us else 0
        counts = self._counts(asked.objective, end_us, dataset)
        with Journal.open(self._directory / "imports.db", _LIMITS, readers=(STORE, FOLD)) as journal:
            self._take_in(journal, recording, counts, asked, dataset=dataset, end_us=end_us)
        return self._verdict(recording, asked, dataset)

    def _counts(self, objective: Objective | None, now_us: int, dataset: str) -> list[ObjectiveCounts]:
        if objective is None:
            return []
        counts = ObjectiveCounts(objective, now_us=now_us, group_cap=10_000)
        counts.load(self._cells(dataset, now_us).read(objective.version, MICROS_PER_MINUTE, 0), {})
        return [counts]

    def _cells(self, dataset: str, now_us: int) -> CellStore:
        return CellStore(self._facts.cells, clock=lambda: now_us, dataset=dataset)

    def _take_in(
        self,
        journal: Journal,
        recording: Recording,
        counts: Sequence[ObjectiveCounts],
        asked: Asked,
        *,
        dataset: str,
        end_us: int,
    ) -> None:
        """Seal, journal, fold and store a recording; waits while the journal is full."""
        cells = self._cells(dataset, end_us)
        fold = Fold(
            journal, LiveWindow(), counts, cells=cells, tally=Tally(), clock=lambda: end_us, vantages={}
        )
        writer = Writer(journal, self._facts, block_rows=300_000, block_seconds=0.0)
        sealed = list(sealed_batches(recording, dataset))
        for at, batch in enumerate(sealed, start=1):
            try:
                journal.append(batch).result()
            except JournalFull:
                _drain(fold, writer)
                journal.append(batch).result()
            asked.progress(f"{recording.name}: {at} of {len(sealed)} batches taken in")
        _drain(fold, writer)
        fold.flush()

    def _verdict(self, recording: Recording, asked: Asked, dataset: str) -> Verdict:
        counted = self._goodput(asked.objective, dataset)
        ledger = self._ledger(recording, asked, dataset)
        requests, errors = self._totals(dataset)
        return Verdict(
            name=recording.name,
            window_us=recording.window_us,
            requests=requests,
            errors=errors,
            spreads={name: self._spread(dataset, *what) for name, what in _SPREAD.items()},
            good=counted[0] if counted else None,
            counted=counted[1] if counted else None,
            findings=self._findings(recording, dataset),
            bill_nano=total(ledger.rows) if ledger else None,
            ledger_nano={str(k): v for k, v in by_class(ledger.rows).items()} if ledger else None,
            notes=(*recording.notes, *(ledger.assumptions if ledger else ())),
        )

    def _totals(self, dataset: str) -> tuple[int, int]:
        sql = (
            "SELECT count() AS requests, countIf(status = 'error') AS errors FROM requests "
            "WHERE dataset = {dataset:String}"
        )
        row = self._facts.query(sql, {"dataset": dataset}).to_pylist()[0]
        return int(row["requests"]), int(row["errors"])

    def _spread(self, dataset: str, what: str, where: str) -> dict[str, float] | None:
        marks = ", ".join(
            f"quantileExactHigh({level})({what}) AS {name}" for name, level in _PERCENTILES.items()
        )
        sql = f"SELECT count() AS n, {marks} FROM requests WHERE dataset = {{dataset:String}} AND {where}"  # noqa: S608 - our words
        row = self._facts.query(sql, {"dataset": dataset}).to_pylist()[0]
        return {name: row[name] / 1e6 for name in _PERCENTILES} if row["n"] else None

    def _goodput(self, objective: Objective | None, dataset: str) -> tuple[int, int] | None:
        """Return (good, total) over all stored cells; None without a limit or a counted request."""
        if objective is None:
            return None
        loaded = self._cells(dataset, 0).read(objective.version, MICROS_PER_MINUTE, 0)
        good, counted = loaded.cells.sums()
        return (good, counted) if counted else None

    def _frame(self, table: str, dataset: str, **columns: Any) -> Frame:
        return self._facts.frame(table, from_us=0, to_us=2**62, dataset=dataset, **columns)

    def _findings(self, recording: Recording, dataset: str) -> tuple[Finding, ...]:
        if recording.window_us is None or not recording.timed:
            return ()
        engine = self._frame("engine_samples", dataset)
        if not engine.rows:
            return ()
        frame = build(
            engine,
            self._frame("gpu_samples", dataset),
            self._frame("placements", dataset),
            requests=self._frame("requests", dataset),
            from_us=recording.window_us[0],
            to_us=recording.window_us[1],
            step_us=step_of(engine),
        )
        return detect(frame).findings

    def _ledger(self, recording: Recording, asked: Asked, dataset: str) -> Ledger | None:
        gpus = self._frame("gpu_samples", dataset)
        if recording.window_us is None or not gpus.rows or not asked.prices.prices:
            return None
        return bill(
            BilledFacts(
                requests=self._frame("requests", dataset),
                engine_samples=self._frame("engine_samples", dataset),
                gpu_samples=gpus,
                placements=self._frame("placements", dataset),
            ),
            prices=asked.prices,
            objectives=[asked.objective] if asked.objective else [],
            window=Window(*recording.window_us),
            gap_us=LONGEST_SILENCE_STEPS * step_of(gpus),
        )


_LIMITS: Final = Limits(max_lag_seconds=None, ballast_bytes=MIB)


def _drain(fold: Fold, writer: Writer) -> None:
    while fold.step():
        pass
    writer.drain()


def dataset_name(recording: Recording) -> str:
    """Return the name under which a recording's facts are kept."""
    return f"import:{recording.name}"[:200]


def sealed_batches(recording: Recording, dataset: str) -> Iterator[Sealed]:
    """Yield a recording as batches; the same recording always gives the same identities."""
    tables: tuple[Sequence[Record], ...] = (
        recording.placements,
        recording.events,
        recording.gpu_samples,
        recording.engine_samples,
        recording.requests,
    )
    chunks = [
        rows[start : start + BATCH_ROWS] for rows in tables for start in range(0, len(rows), BATCH_ROWS)
    ]
    boot = hashlib.sha256(repr([hash_of(chunk) for chunk in chunks]).encode()).hexdigest()[:32]
    at_us = recording.window_us[1] if recording.window_us else 0
    for seq, chunk in enumerate(chunks):
        header = BatchHeader(
            boot=boot, seq=seq, sealed_at_us=at_us, host=AGENT, origin=Origin.IMPORTED, dataset=dataset
        )
        body = encode(header, {TABLE_OF[type(chunk[0])].name: chunk})
        yield Sealed(agent=AGENT, boot=boot, seq=seq, received_at_us=at_us, body=body)


def hash_of(rows: Sequence[Record]) -> str:
    """Return a digest of records that is the same in every process."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr(row).encode())
    return digest.hexdigest()


def step_of(samples: Frame) -> int:
    """Return the usual time between two readings of a frame, in microseconds; at least a second."""
    times = np.unique(samples.numbers("at_us").values // MICROS_PER_SECOND)
    gaps = np.diff(times)
    usual = int(np.median(gaps[gaps > 0])) if len(gaps) else 1
    return max(1, usual) * MICROS_PER_SECOND
