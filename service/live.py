"""The last minutes of every kind of fact, in memory, for what is judged now.

The stores are some seconds behind by design (blocks of ten seconds); the fold puts each
batch here as it counts it, so detectors and pages see facts about four seconds old.

Bounds: `keep_us` of event time and `MAX_ROWS` rows a table, the oldest dropped first; drops
for want of room are counted in `dropped_rows`.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from telemetry.columns import TABLE, TABLES
from telemetry.frame import Frame, concat
from telemetry.units import MICROS_PER_MINUTE

MAX_ROWS: Final = 2_000_000
KEEP_US: Final = 20 * MICROS_PER_MINUTE


KEPT: Final = {"requests": ("replica", "ended_at_us", "gap_buckets"), "token_gaps": ("ended_at_us",)}
"""Columns kept of tables of which the detectors read few; all of the others."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    frame: Frame
    newest_us: int
    agent: str


class LiveWindow:
    """Recent frames of every table. Thread-safe: one writer (the fold), many readers."""

    def __init__(self, keep_us: int = KEEP_US) -> None:
        self._keep_us = keep_us
        self._chunks: dict[str, deque[_Chunk]] = {table.name: deque() for table in TABLES}
        self._rows = dict.fromkeys(self._chunks, 0)
        self._lock = threading.Lock()
        self.dropped_rows = 0

    def add(self, agent: str, frame: Frame) -> None:
        """Keep one batch's rows of one table and let go of what is too old or too much."""
        if frame.rows == 0:
            return
        times = frame.numbers(TABLE[frame.table].time_column).values
        frame = frame.select(KEPT[frame.table]) if frame.table in KEPT else frame
        with self._lock:
            chunks = self._chunks[frame.table]
            chunks.append(_Chunk(frame, int(times.max()), agent))
            self._rows[frame.table] += frame.rows
            self._trim(chunks, frame.table)

    def _trim(self, chunks: deque[_Chunk], table: str) -> None:
        newest = max(chunk.newest_us for chunk in chunks)
        while chunks and chunks[0].newest_us < newest - self._keep_us:
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
        """Return the event time of the newest kept row, UTC microseconds; None when empty."""
        with self._lock:
            return max((chunk.newest_us for chunk in self._chunks[table]), default=None)

    def watermarks(self) -> dict[str, int]:
        """Return, for each agent heard of, the newest event time it has sent (UTC microseconds)."""
        newest: dict[str, int] = {}
        with self._lock:
            for chunks in self._chunks.values():
                for chunk in chunks:
                    newest[chunk.agent] = max(newest.get(chunk.agent, 0), chunk.newest_us)
        return newest
