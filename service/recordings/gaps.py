"""Recorded gaps between tokens to bucket counts and the largest, a chunk of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.recordings.content import Row
from service.recordings.reading import Reading
from service.recordings.recording import Place, RecordingError
from service.recordings.request_columns import GAPS
from service.recordings.values import gap_texts, missing
from telemetry.frame import Floats, Ints
from telemetry.gaps import BOUNDS_US, BUCKETS

_LONGEST_US = 2**32 - 1

Told = dict[str, Any]
"""Fields of a record that its gaps fill."""


def read_gaps(path: Path, rows: Sequence[Row], column: str | None, reading: Reading) -> list[Told | None]:
    """Return the gap fields of each row; empty where no gap was recorded, None for a skipped row."""
    if column is None:
        return [{} for _ in rows]
    texts = [[] if missing(row.values.get(column)) else gap_texts(row.values[column]) for row in rows]
    told: list[Told | None]
    try:
        found = _gaps_us([text for each in texts for text in each], GAPS[column])
        told = list(_summed(found, np.array([len(each) for each in texts])))
    except ValueError:
        told = [_one(path, row, each, column, reading) for row, each in zip(rows, texts, strict=True)]
    return told


def _one(path: Path, row: Row, texts: list[str], column: str, reading: Reading) -> Told | None:
    try:
        return next(_summed(_gaps_us(texts, GAPS[column]), np.array([len(texts)])))
    except ValueError as error:
        reading.skip(
            RecordingError(Place(str(path), row.line, column), str(error), "gaps are durations joined by ;")
        )
        return None


def _gaps_us(texts: Sequence[str], micros_in_unit: float) -> Ints:
    gaps: Floats = np.rint(
        np.fromiter(map(float, texts), dtype=np.float64, count=len(texts)) * micros_in_unit
    )
    if not np.all((gaps >= 0) & (gaps <= _LONGEST_US)):  # false for NaN too
        raise ValueError("a gap is negative, longer than 71 minutes or not a number")
    return gaps.astype(np.int64)


def _summed(gaps_us: Ints, counts: Ints) -> Iterator[Told]:
    row = np.repeat(np.arange(len(counts)), counts)
    bucket = np.searchsorted(BOUNDS_US, gaps_us, side="left")
    table = np.bincount(row * BUCKETS + bucket, minlength=len(counts) * BUCKETS).reshape(-1, BUCKETS)
    longest = np.zeros(len(counts), dtype=np.int64)
    np.maximum.at(longest, row, gaps_us)
    for total, buckets, most in zip(counts.tolist(), table.tolist(), longest.tolist(), strict=True):
        if total:
            yield {"gap_buckets": tuple(buckets), "gap_max_us": most, "chunks": total + 1}
        else:
            yield {}
