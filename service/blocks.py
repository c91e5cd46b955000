"""A block: consecutive batches that the store inserts at once, and the note that outlives a kill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from journal import Entry
from service.ingest.decode import Decoded
from service.store.arrow import texts_of
from service.store.errors import StoreRefused
from telemetry.frame import Ints


@dataclass(frozen=True, slots=True)
class Batch:
    """One journal entry and what is in it; `decoded` None = set aside, nothing to store."""

    entry: Entry
    decoded: Decoded | None

    @property
    def rows(self) -> int:
        """Its facts, all tables together."""
        tables = () if self.decoded is None else self.decoded.tables.values()
        return sum(table.num_rows for table in tables)

    @property
    def size_bytes(self) -> int:
        """The memory its facts take."""
        return 0 if self.decoded is None else self.decoded.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the block in flight is: journal entries first..last, and its rows in each table.

    The number is the first entry's id: ids never come back, so neither do block numbers.
    """

    first: int
    last: int
    rows: dict[str, int]

    @property
    def block(self) -> int:
        """The number its facts carry."""
        return self.first

    def to_text(self) -> str:
        """Return the note that is committed before the block is inserted."""
        return json.dumps({"first": self.first, "last": self.last, "rows": self.rows})

    @classmethod
    def from_text(cls, text: str) -> Plan:
        """Return the plan of a note. Raises `ValueError` for anything that `to_text` did not write."""
        try:
            note: dict[str, Any] = json.loads(text)
            return cls(first=note["first"], last=note["last"], rows=note["rows"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"note of the block in flight: {error!r} is missing or wrong") from None


def assembled(batches: Sequence[Batch], block: int) -> dict[str, pa.Table]:
    """Return the rows of a block by table, envelope included; tables without rows are left out.

    So are columns without a value: the store reads what is not there as missing. Always the
    same for the same batches. Raises `StoreRefused` when they do not fit together.
    """
    kept = [batch for batch in batches if batch.decoded is not None]
    names = sorted({name for batch in kept for name in _tables(batch)})
    try:
        return {
            name: _joined([batch for batch in kept if name in _tables(batch)], name, block) for name in names
        }
    except pa.ArrowException as error:
        raise StoreRefused(f"assemble block {block}: its batches do not fit together ({error})") from error


def _tables(batch: Batch) -> dict[str, pa.Table]:
    decoded = batch.decoded
    return {} if decoded is None else {name: rows for name, rows in decoded.tables.items() if rows.num_rows}


def _joined(batches: Sequence[Batch], name: str, block: int) -> pa.Table:
    parts = [_tables(batch)[name] for batch in batches]
    joined = pa.concat_tables(parts, promote_options="default")
    joined = joined.select([column for column in joined.column_names if _known(joined[column])])
    sizes = np.array([part.num_rows for part in parts])
    for column, values in _envelope(batches, sizes, block).items():
        joined = joined.append_column(column, values)
    return joined


def _known(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count < len(column))


def _envelope(batches: Sequence[Batch], sizes: Ints, block: int) -> dict[str, pa.Array]:
    """Return the columns that every fact carries, each batch's value repeated for its rows."""
    entries = [batch.entry for batch in batches]
    headers = [batch.decoded.header for batch in batches if batch.decoded is not None]
    return {
        "agent": _texts([entry.agent for entry in entries], sizes),
        "boot": _texts([entry.boot for entry in entries], sizes),
        "seq": pa.array(np.repeat([entry.seq for entry in entries], sizes), pa.int64()),
        "block": pa.array(np.full(sizes.sum(), block), pa.int64()),
        "received_at_us": pa.array(np.repeat([entry.received_at_us for entry in entries], sizes), pa.int64()),
        "origin": _texts([header.origin.value for header in headers], sizes),
        "dataset": _texts([header.dataset for header in headers], sizes),
    }


def _texts(values: Sequence[str], sizes: Ints) -> pa.DictionaryArray:
    words = list(dict.fromkeys(values))
    place = {word: code for code, word in enumerate(words)}
    return texts_of(words, np.repeat([place[value] for value in values], sizes))
