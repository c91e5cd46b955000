"""Facts as columns: what the pure packages judge. Needs numpy; the agent never imports it.

A `Frame` holds one table: integers and doubles with a validity mask, texts as dictionary
codes, ragged uint32 lists as offsets and values. Arrays are never changed in place. A value
under a false mask is 0 and means nothing; NaN never enters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from telemetry.columns import TABLE, ColumnSpec, Kind, Record

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Unknown = TypeVar("Unknown", str, None)
_MOST_MIXED: Final = 1 << 62
"""How far distinct rows of texts are numbered by one integer."""
_MOST_MARKS: Final = 8
"""Marks for each row, up to which marking what is there is cheaper than sorting it."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A numeric or flag column. `values` is int64 or float64; `valid` false = not measured."""

    values: NDArray[Any]
    valid: Mask

    def take(self, rows: Ints | Mask) -> Numbers:
        """Return the chosen rows, by index or mask."""
        return Numbers(self.values[rows], self.valid[rows])


@dataclass(frozen=True, slots=True)
class Texts:
    """A text column: `codes` (int32) point into `words`; -1 = not known."""

    codes: NDArray[np.int32]
    words: tuple[str, ...]

    def take(self, rows: Ints | Mask) -> Texts:
        """Return the chosen rows, by index or mask; the dictionary is kept whole."""
        return Texts(self.codes[rows], self.words)

    def equals(self, word: str) -> Mask:
        """Return the rows that hold `word`."""
        matches: Mask = self.codes == self._code(word)
        return matches

    def _code(self, word: str) -> int:
        return self.words.index(word) if word in self.words else -2

    def listed(self) -> list[str | None]:
        """Return the column as Python texts, None where not known. O(rows), for edges only."""
        words = (*self.words, None)
        return [words[code] for code in self.codes]


@dataclass(frozen=True, slots=True)
class Lists:
    """A column of uint32 lists: row i is `values[offsets[i]:offsets[i + 1]]`."""

    offsets: Ints
    values: NDArray[np.uint32]

    def take(self, rows: Ints | Mask) -> Lists:
        """Return the chosen rows, by index or mask."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        sizes = (self.offsets[1:] - self.offsets[:-1])[index]
        offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
        return Lists(offsets, self.values[np.repeat(self.offsets[:-1][index], sizes) + within])


Column = Numbers | Texts | Lists


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows of one table as columns: every column of the table's spec, unless `select` left some out."""

    table: str
    rows: int
    columns: Mapping[str, Column]

    def numbers(self, name: str) -> Numbers:
        """Return a numeric or flag column; `KeyError` for an unknown name."""
        column = self.columns[name]
        if not isinstance(column, Numbers):
            raise KeyError(f"{self.table}.{name} is not a numeric column")
        return column

    def texts(self, name: str) -> Texts:
        """Return a text column; `KeyError` for an unknown name."""
        column = self.columns[name]
        if not isinstance(column, Texts):
            raise KeyError(f"{self.table}.{name} is not a text column")
        return column

    def lists(self, name: str) -> Lists:
        """Return a list column; `KeyError` for an unknown name."""
        column = self.columns[name]
        if not isinstance(column, Lists):
            raise KeyError(f"{self.table}.{name} is not a list column")
        return column

    def select(self, names: Collection[str]) -> Frame:
        """Return the same rows with only the named columns: for what reads a few of many."""
        return Frame(self.table, self.rows, {name: self.columns[name] for name in names})

    def take(self, rows: Ints | Mask) -> Frame:
        """Return the chosen rows, by index or mask, in that order."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        count = int(np.count_nonzero(rows)) if rows.dtype == np.bool_ else len(rows)
        return Frame(self.table, count, columns)

    @classmethod
    def empty(cls, table: str) -> Self:
        """Return a frame of no rows."""
        return cls.of(table, ())

    @classmethod
    def of(cls, table: str, records: Sequence[Record]) -> Self:
        """Return records as a frame. O(rows x columns) in Python: for edges, tests, imports."""
        columns = {
            spec.name: _column(spec, [getattr(record, spec.name) for record in records])
            for spec in TABLE[table].columns
        }
        return cls(table, len(records), columns)


def _column(spec: ColumnSpec, values: list[Any]) -> Column:
    match spec.kind:
        case Kind.TEXT:
            return _texts(values)
        case Kind.UINTS:
            sizes = [len(value) for value in values]
            offsets = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))).astype(np.int64)
            flat = [item for value in values for item in value]
            return Lists(offsets, np.array(flat, dtype=np.uint32))
        case _:
            dtype = np.float64 if spec.kind is Kind.FLOAT else np.int64
            valid = np.array([value is not None for value in values], dtype=np.bool_)
            filled = [0 if value is None else value for value in values]
            return Numbers(np.array(filled, dtype=dtype), valid)


def _texts(values: Sequence[str | None]) -> Texts:
    codes: dict[str, int] = {}
    numbered = [-1 if value is None else codes.setdefault(str(value), len(codes)) for value in values]
    return Texts(np.array(numbered, dtype=np.int32), tuple(codes))


def concat(frames: Sequence[Frame]) -> Frame:
    """Return frames of one table end to end. Raises `ValueError` for none or a mix of tables."""
    if not frames or len({frame.table for frame in frames}) != 1:
        raise ValueError("concat needs frames of exactly one table")
    if len(frames) == 1:
        return frames[0]
    names = frames[0].columns
    columns = {name: _joined([frame.columns[name] for frame in frames]) for name in names}
    return Frame(frames[0].table, sum(frame.rows for frame in frames), columns)


def _joined(parts: Sequence[Any]) -> Column:
    first = parts[0]
    if isinstance(first, Numbers):
        return Numbers(
            np.concatenate([part.values for part in parts]), np.concatenate([part.valid for part in parts])
        )
    if isinstance(first, Lists):
        sizes = np.concatenate([part.offsets[1:] - part.offsets[:-1] for part in parts])
        offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        return Lists(offsets, np.concatenate([part.values for part in parts]))
    words: dict[str, int] = {}
    codes = []
    for part in parts:
        mapped = [words.setdefault(word, len(words)) for word in part.words]
        codes.append(np.array([*mapped, -1], dtype=np.int32)[part.codes])
    return Texts(np.concatenate(codes), tuple(words))


def combined(columns: Sequence[Texts], unknown: Unknown) -> tuple[Ints, list[tuple[str | Unknown, ...]]]:
    """Number the distinct rows of several text columns; `unknown` stands for what is not known.

    Returns (`codes`, `keys`): row i has the texts `keys[codes[i]]`, in the order of their words.
    With no rows there are no keys. Raises `ValueError` for no columns.
    """
    if not columns:
        raise ValueError("combined needs at least one column")
    mixed, size = np.zeros(len(columns[0].codes), dtype=np.int64), 1
    for column in columns:
        words = len(column.words) + 1
        if size * words > _MOST_MIXED:
            known, mixed = numbered(mixed, size)
            size = len(known)
        mixed, size = mixed * words + column.codes + 1, size * words
    distinct, codes = numbered(mixed, size)
    row = np.empty(len(distinct), dtype=np.int64)
    row[codes] = np.arange(len(codes))  # any row of each will do: they are alike
    texts = [
        [unknown if code < 0 else column.words[code] for code in column.codes[row].tolist()]
        for column in columns
    ]
    return codes, list(zip(*texts, strict=True))


def numbered(values: Ints, size: int) -> tuple[Ints, Ints]:
    """Return the distinct values of [0, size), ascending, and the place of each row's among them."""
    if size > _MOST_MARKS * len(values):
        distinct, codes = np.unique(values, return_inverse=True)
        return distinct, codes.astype(np.int64)
    marked = np.zeros(size, dtype=np.bool_)  # O(rows + size), where sorting costs many times that
    marked[values] = True
    return np.flatnonzero(marked), (np.cumsum(marked) - 1)[values]


def increases(values: Floats, valid: Mask) -> tuple[Floats, Mask]:
    """Return the reset-aware growth from each point of a counter to the next known one.

    `values` and `valid` have shape (..., time). The result has the same shape; element t is
    the growth since the last known point before t, by the rule of `telemetry.counters`. It is
    unknown (mask false, value 0) where t or everything before it is unknown.
    """
    if values.shape[-1] == 0:
        return values, valid
    steps = np.arange(values.shape[-1])
    seen = np.where(valid, steps, -1)
    last = np.maximum.accumulate(seen, axis=-1)
    before = np.concatenate([np.full((*values.shape[:-1], 1), -1), last[..., :-1]], axis=-1)
    known = valid & (before >= 0)
    earlier = np.take_along_axis(values, np.maximum(before, 0), axis=-1)
    grown = np.where(values >= earlier, values - earlier, values)
    return np.where(known, grown, 0.0), known
