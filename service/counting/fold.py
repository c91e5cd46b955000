"""The fold: reads the journal as it grows and keeps what alerts are judged on, within a second.

Each batch enters the live window and the counts of every objective. Every few seconds the
touched cells are written and the cursor moves behind them. After a start nothing is judged
until the fold has reached the head seen at start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from journal import Entry, Journal
from service.counting.checkpoints import Checkpoints
from service.counting.columns import Columns, columns_of, with_ids
from service.counting.counts import CellRows, ObjectiveCounts
from service.counting.sightings import Sightings
from service.ingest.decode import Decoded, frame
from service.ingest.recent import Recent
from service.live import KEPT, LiveWindow
from service.own_metrics import Tally
from slo.cells import Key
from slo.durations import MICROS_PER_DAY
from slo.objective import Objective
from telemetry.frame import Frame, Mask, concat
from telemetry.identity import Vantage
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND
from telemetry.wire import WireError

_LOG = logging.getLogger(__name__)
READER: Final = "fold"
FLUSH_US: Final = 5 * MICROS_PER_SECOND
CHECKPOINT_US: Final = 15 * MICROS_PER_MINUTE
"""What was counted in this time is read back from cells by a restart, and no more."""
MAX_BATCHES: Final = 200
MAX_BYTES: Final = 16 * 1024 * 1024
WORTH_A_STEP: Final = 50
"""Batches that are counted at once; fewer wait for the next turn, for a step costs by its groups."""
_TIMED_SOMEWHERE: Final = frozenset({"requests", "in_flight"})
"""Tables in which one request may stand twice, as two vantages timed it."""
LATE_US: Final = MICROS_PER_MINUTE
"""In-flight sightings older than this at receipt are history: their requests have ended since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Which objectives are to be counted from now on, and what is known of those that are new."""

    objectives: tuple[Objective, ...]
    """All of them; one whose version is counted already goes on with its counts."""
    new: tuple[ObjectiveCounts, ...]
    """Those that are not counted yet, with every fact up to journal entry `upto` in them."""
    upto: int
    note: Callable[[Sequence[ObjectiveCounts]], None]
    """Called, before the cursor goes on, to remember what is counted from now on."""
    taken: Future[None] = field(default_factory=Future)
    """Done when it is in force; an error = it is not, and the new ones are to be counted again.

    Can be cancelled until the fold begins with it.
    """


@dataclass(frozen=True, slots=True)
class _Batch:
    entry: Entry
    frames: Mapping[str, Frame]
    history: bool
    """Whether a newer batch of the same agent came before it."""


class Fold:
    """Reader `fold` of the journal. `step` belongs to one thread; `lock` guards the counts."""

    def __init__(
        self,
        journal: Journal,
        live: LiveWindow,
        counts: Sequence[ObjectiveCounts],
        *,
        cells: CellRows,
        sightings: Sightings,
        tally: Tally,
        clock: Callable[[], int],
        vantages: Mapping[str, Vantage],
        recent: Recent | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Begin at the durable cursor; judge only when the present head has been reached.

        `recent` holds batches that were decoded at the door, so as not to decode them again.
        `checkpoints` None = none are kept.
        """
        self._recent, self._checkpoints = recent or Recent(), checkpoints
        self._journal, self._live, self._counts = journal, live, tuple(counts)
        self._cells, self._sightings = cells, sightings
        self._tally, self._clock, self._vantages = tally, clock, vantages
        self._read_columns()
        self._change: Change | None = None
        self._cursor_lock, self._held = threading.Lock(), False
        self._position = self._counted_upto = self._durable = journal.cursor(READER)
        self._live_upto = -1
        self._head_at_start = journal.head()
        self._flushed_us = self._kept_us = clock()
        self.lock = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether everything that was in the journal at start has been counted."""
        return self._position >= self._head_at_start

    @property
    def counts(self) -> tuple[ObjectiveCounts, ...]:
        """The objectives being counted; hold `lock` to read them."""
        return self._counts

    def grown(self) -> list[tuple[Objective, list[tuple[Key, int, int]]]]:
        """Return what each objective has counted since the start, for its counters."""
        with self.lock:
            return [(counts.objective, counts.grown.read()) for counts in self._counts]

    def count_missing(self, samples: Frame) -> None:
        """Count samples that nobody took, at what has been reached in the journal."""
        with self.lock:
            for counts in self._counts:
                if samples.rows and counts.objective.indicator.table == samples.table:
                    counts.fold_missing(samples, self._position)

    def ask(self, change: Change) -> None:
        """Let the next step count by other objectives; `change.taken` tells. One at a time, any thread.

        Nothing above `change.upto` may have left the journal: `hold` it first.
        """
        self._change = change

    def hold(self) -> int:
        """Leave in the journal what is above the returned entry, until `release`. Any thread.

        Counting goes on; only the durable cursor stands, which a restart may find at any time.
        """
        with self._cursor_lock:
            self._held = True
            return self._durable

    def release(self) -> None:
        """Let the cursor move again."""
        self._held = False

    def resume(self, live_upto: int) -> None:
        """Go on beside a live window that holds the batches up to an entry; before the first step.

        What is between it and the cursor is only added to the window: it has been counted.
        """
        self._live_upto = live_upto
        self._position = min(self._position, live_upto)

    def step(self) -> bool:
        """Count what is new in the journal, at most `MAX_BATCHES` batches.

        True = there is so much more that it is worth not to wait.
        A batch that cannot be read goes to quarantine and the fold goes on.
        """
        head = self._journal.head()
        entries = self._journal.read(self._position, MAX_BATCHES, MAX_BYTES)
        batches = self._batches(entries)
        with self.lock:
            for group in self._groups([one for one in batches if one.entry.entry_id > self._counted_upto]):
                self._count(group)
        for batch in batches:
            if batch.entry.entry_id > self._live_upto:
                for rows in batch.frames.values():
                    self._live.add(rows)
        # Nothing to read up to the head: what was there is damaged and set aside.
        self._position = entries[-1].entry_id if entries else max(self._position, head)
        if self._change is not None:
            self._take_in(self._change)
        if self._clock() - self._flushed_us >= FLUSH_US:
            self.flush()
        return self._journal.head() - self._position >= WORTH_A_STEP

    def flush(self) -> None:
        """Write the touched cells and move the cursor behind them.

        What was counted early is noted first: with the entry it came from, a replay after a
        crash in between repeats exactly what was lost. Raises `StoreError` when a store cannot
        take it now; then everything is still to be written.
        """
        upto = max(self._position, self._counted_upto)
        with self.lock:
            early = {counts.objective.version: dict(counts.early) for counts in self._counts if counts.early}
        self._sightings.keep(early, upto)
        for counts in self._counts:
            self._write_touched(counts, upto)
        self._flushed_us = self._clock()
        if not self._advanced(upto):
            return
        self._sightings.settle()
        with self.lock:
            for counts in self._counts:
                counts.forget_ended()
        if self._flushed_us - self._kept_us >= CHECKPOINT_US:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Keep what is counted and written as of the durable cursor, for the next start; after a `flush`."""
        if self._checkpoints is None or self._held:
            return
        self._kept_us = self._flushed_us
        for counts in self._counts:
            with self.lock:
                changed, oldest = counts.changed(), counts.ring.held_from_us // MICROS_PER_DAY
            if changed is None:
                continue  # what was counted since is not written yet
            keys, days = changed
            try:
                self._checkpoints.keep(
                    counts.objective.version,
                    keys,
                    days,
                    upto=self._durable,
                    at_us=self._kept_us,
                    oldest=oldest,
                )
            except OSError as error:
                counts.change_again(days)
                _LOG.warning("checkpoint of %s: %s; a restart will take longer", counts.objective.name, error)
        self._checkpoints.keep_only([counts.objective.version for counts in self._counts])

    def _take_in(self, change: Change) -> None:
        """Count by other objectives from here on.

        What leaves is written whole before. What comes is noted as counted up to `change.upto`,
        which the cursor has not passed: a restart would count the rest from the journal.
        """
        self.flush()
        self._change = None
        if not change.taken.set_running_or_notify_cancel():
            return
        held = {counts.objective.version: counts for counts in (*self._counts, *change.new)}
        counts = tuple(held[objective.version] for objective in change.objectives)
        try:
            self._catch_up(change)
            change.note(counts)
        except Exception as error:
            change.taken.set_exception(error)
            raise
        with self.lock:
            for objective in change.objectives:
                held[objective.version].objective = objective
            self._counts = counts
            self._read_columns()
        change.taken.set_result(None)
        self.release()
        self.flush()

    def _advanced(self, upto: int) -> bool:
        """Move the durable cursor, unless it is held; return whether it moved."""
        with self._cursor_lock:
            if not self._held:
                self._journal.advance(READER, upto)
                self._durable = upto
            return not self._held

    def _catch_up(self, change: Change) -> None:
        """Count into new counts the entries from `change.upto` on that were counted without them.

        What these entries tell of requests under way is left out: what is late will be told of again.
        """
        columns = columns_of(counts.objective for counts in change.new)
        after, upto = change.upto, max(self._position, self._counted_upto)
        while change.new and after < upto:
            entries = self._journal.read(after, MAX_BATCHES, MAX_BYTES)
            for entry in entries:
                if entry.entry_id <= upto:
                    self._count_late(entry, change.new, columns)
            after = entries[-1].entry_id if entries else upto

    def _count_late(self, entry: Entry, into: Sequence[ObjectiveCounts], columns: Columns) -> None:
        with suppress(WireError):  # it was set aside when it was counted first
            tables = self._recent.decoded(entry).tables
            frames = {name: frame(name, tables[name], columns[name]) for name in columns.keys() & tables}
            self._fold_facts(into, [frames], columns, entry.entry_id)

    def _write_touched(self, counts: ObjectiveCounts, upto: int) -> None:
        with self.lock:
            touched = counts.take_touched()
        if not len(touched.bucket):
            return
        try:
            self._cells.write(counts.objective.version, MICROS_PER_MINUTE, touched, upto)
        except BaseException:
            with self.lock:
                counts.put_back(touched)
            raise

    def _read_columns(self) -> None:
        """Learn which columns counting reads."""
        self._columns = columns_of(counts.objective for counts in self._counts)

    def _batches(self, entries: Sequence[Entry]) -> list[_Batch]:
        """Return what can be read of entries; the rest goes to quarantine."""
        decoded = [(entry, told) for entry in entries if (told := self._decoded(entry)) is not None]
        named = self._named or any("in_flight" in told.tables for _, told in decoded)
        read = (with_ids(self._columns) if named else self._columns)["requests"]
        wanted = {"requests": {*read, *KEPT["requests"]}}
        return [
            _Batch(
                entry,
                {name: frame(name, table, wanted.get(name)) for name, table in told.tables.items()},
                self._sightings.is_history(entry.agent, told.header.sealed_at_us),
            )
            for entry, told in decoded
        ]

    @property
    def _named(self) -> bool:
        """Whether requests must be told apart by their ids: some were counted while in flight."""
        return any(counts.early for counts in self._counts)

    def _decoded(self, entry: Entry) -> Decoded | None:
        try:
            return self._recent.decoded(entry)
        except WireError as error:
            self._journal.quarantine(entry.entry_id, READER, str(error))
            return None

    def _groups(self, batches: Sequence[_Batch]) -> list[list[_Batch]]:
        """Put batches together to count them at once, but for those that stored cells may hold."""
        groups: list[list[_Batch]] = []
        together = False
        for batch in batches:
            alone = any(counts.must_be_single(batch.entry.entry_id) for counts in self._counts)
            if together and not alone:
                groups[-1].append(batch)
            else:
                groups.append([batch])
            together = not alone
        return groups

    def _count(self, group: Sequence[_Batch]) -> None:
        now_us = self._clock()
        for counts in self._counts:
            counts.ring.advance(now_us)
            for batch in group:
                self._count_in_flight(counts, batch)
        frames = [batch.frames for batch in group]
        columns = with_ids(self._columns) if self._named else self._columns
        self._fold_facts(self._counts, frames, columns, group[-1].entry.entry_id)

    def _fold_facts(
        self,
        into: Iterable[ObjectiveCounts],
        batches: Sequence[Mapping[str, Frame]],
        columns: Columns,
        last: int,
    ) -> None:
        """Count the facts of batches up to entry `last`, each by the objectives of its table."""
        facts = {}
        for table, names in columns.items():
            told = [frames[table].select(names) for frames in batches if table in frames]
            facts[table] = self.of_record(concat(told) if told else Frame.empty(table))
        for counts in into:
            counts.fold_ended(facts[counts.objective.indicator.table], last)

    def _count_in_flight(self, counts: ObjectiveCounts, batch: _Batch) -> None:
        running = batch.frames.get("in_flight")
        if running is None or batch.history:
            return
        fresh = running.numbers("at_us").values >= batch.entry.received_at_us - LATE_US
        early = counts.fold_in_flight(self.of_record(running.take(fresh)), batch.entry.entry_id)
        self._tally.add("early_bad", amount=early)

    def of_record(self, rows: Frame) -> Frame:
        """Keep the requests of each pool's vantage of record; others are stored, never counted.

        Rows of other tables are kept as they are.
        """
        if rows.table not in _TIMED_SOMEWHERE:
            return rows
        vantage = rows.texts("vantage")
        kept: Mask = vantage.equals(Vantage.EDGE)
        for pool, of_record in self._vantages.items():
            here = rows.texts("pool").equals(pool)
            kept = (kept & ~here) | (here & vantage.equals(of_record))
        return rows if bool(kept.all()) else rows.take(kept)
