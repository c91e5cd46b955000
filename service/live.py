"""The last minutes of every kind of fact, in memory, for what is judged now.

The stores are some seconds behind by design (blocks of ten seconds); the fold puts each
batch here as it counts it, so detectors and pages see facts about four seconds old. After a
start the window is restored from the store, so that a restart forgets no stall and no placement.

Bounds: `keep_us` of event time (placements: `PLACED_US`, since they are told seldom) and
`MAX_ROWS` rows a table, the oldest dropped first; drops for want of room are counted in
`dropped_rows`. Adding costs O(1), whatever is kept.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from service.store.facts import Facts
from telemetry.columns import TABLE, TABLES
from telemetry.frame import Frame, concat
from telemetry.units import MICROS_PER_MINUTE

MAX_ROWS: Final = 2_000_000
KEEP_US: Final = 5 * MICROS_PER_MINUTE
"""Beyond the three minutes that detectors look back, what is late may still find its place."""
PLACED_US: Final = 20 * MICROS_PER_MINUTE
"""Agents tell placements every five minutes."""

KEPT: Final = {"requests": ("replica", "ended_at_us", "gap_buckets"), "token_gaps": ("ended_at_us",)}
"""Columns kept of tables of which the detectors read few; all of the others."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    frame: Frame
    newest_us: int


class LiveWindow:
    """Recent frames of every table. Thread-safe: one writer (the fold), many readers."""

    def __init__(self, keep_us: int = KEEP_US) -> None:
        self._keep_us = dict.fromkeys((table.name for table in TABLES), keep_us) | {"placements": PLACED_US}
        self._chunks: dict[str, deque[_Chunk]] = {table.name: deque() for table in TABLES}
        self._rows = dict.fromkeys(self._chunks, 0)
        self._newest: dict[str, int] = {}
        self._lock = threading.Lock()
        self.dropped_rows = 0

    def add(self, frame: Frame) -> None:
        """Keep one batch's rows of one table and let go of what is too old or too much."""
        if frame.rows == 0:
            return
        newest = int(frame.numbers(TABLE[frame.table].time_column).values.max())
        table = frame.table
        frame = frame.select(KEPT[table]) if table in KEPT else frame
        with self._lock:
            self._newest[table] = max(self._newest.get(table, 0), newest)
            self._chunks[table].append(_Chunk(frame, newest))
            self._rows[table] += frame.rows
            self._trim(table)

    def restore(self, facts: Facts, now_us: int) -> None:
        """Take up what is stored of the last minutes. One query a table. Raises `StoreError`."""
        for table, keep_us in self._keep_us.items():
            columns = {*KEPT[table], TABLE[table].time_column} if table in KEPT else None
            self.add(facts.frame(table, from_us=now_us - keep_us, to_us=now_us + keep_us, columns=columns))

    def _trim(self, table: str) -> None:
        chunks, oldest = self._chunks[table], self._newest[table] - self._keep_us[table]
        while chunks and chunks[0].newest_us < oldest:
            self._rows[table] -= chunks.popleft().frame.rows
        while self._rows[table] > MAX_ROWS and len(chunks) > 1:
            rows = chunks.popleft().frame.rows
            self._rows[table] -= rows
            self.dropped_rows += rows

    def frame(self, table: str, from_us: int, to_us: int) -> Frame:
        """Return the kept rows with event time in [from_us, to_us), in order of arrival."""
        with self._lock:
            frames = [chunk.frame for chunk in self._chunks[table] if chunk.newest_us >= from_us]
        if not frames:
            return Frame.empty(table)
        joined = concat(frames)
        times = joined.numbers(TABLE[table].time_column).values
        inside = (times >= from_us) & (times < to_us)
        return joined if bool(np.all(inside)) else joined.take(inside)

    def newest_us(self, table: str) -> int | None:
        """Return the event time of the newest row ever added, UTC microseconds; None = none was."""
        with self._lock:
            return self._newest.get(table)
