"""Count cells in the facts store: how many requests were good, by objective, group and bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from service.store.arrow import texts_of
from service.store.clickhouse import Warehouse
from service.store.partitions import by_partitions
from telemetry.frame import Ints

_READ: Final = """
SELECT objective_version, group_key, bucket_us, newest.1 AS good, newest.2 AS total, newest.3 AS upto
  FROM (SELECT objective_version, group_key, bucket_us,
               argMax((good, total, upto), (upto, written_at_us)) AS newest
          FROM count_cells
         WHERE bucket_width_us = {width_us:Int64} AND bucket_us >= {from_us:Int64}
           AND bucket_us < {to_us:Int64} AND dataset = {dataset:String}
           AND ({version:String} = '' OR objective_version = {version:String})
           AND upto >= {since:Int64}
         GROUP BY objective_version, group_key, bucket_us)
 ORDER BY bucket_us, objective_version, group_key"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCells:
    """Cells as columns. Row i: `good[i]` of `total[i]` in the bucket that starts at `bucket_us[i]`.

    `version` and `group` number the words of `versions` (objective versions) and `group_keys`
    (the objective's group, as the fold spells it). `upto` is the last batch included.
    """

    width_us: int
    versions: tuple[str, ...]
    group_keys: tuple[str, ...]
    version: Ints
    group: Ints
    bucket_us: Ints
    good: Ints
    total: Ints
    upto: Ints

    def __len__(self) -> int:
        return len(self.bucket_us)


class CellRows:
    """The cells of one facts store. Thread-safe."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def write(self, cells: StoredCells, *, written_at_us: int, dataset: str = "") -> None:
        """Keep cells, synced when it returns; values are absolute and the greatest `upto` holds.

        Of equal ones the last written holds. Writing the same again changes nothing. One insert
        for at most 50 days of buckets.
        """
        count = len(cells)
        rows = pa.table(
            {
                "objective_version": texts_of(cells.versions, cells.version),
                "group_key": texts_of(cells.group_keys, cells.group).cast(pa.string()),
                "bucket_us": cells.bucket_us,
                "bucket_width_us": np.full(count, cells.width_us),
                "good": cells.good,
                "total": cells.total,
                "upto": cells.upto,
                "written_at_us": np.full(count, written_at_us),
                "dataset": texts_of((dataset,), np.zeros(count, dtype=np.int64)),
            }
        )
        for part in by_partitions(rows, rows["bucket_us"]):
            self._warehouse.insert("count_cells", part)

    def read(
        self,
        *,
        width_us: int,
        from_us: int,
        to_us: int,
        version: str = "",
        since: int = -1,
        dataset: str = "",
    ) -> StoredCells:
        """Return the cells of one width whose buckets start in [from_us, to_us), oldest first.

        `version` '' = every objective version; only cells that include journal entry `since` or a
        later one. No cells = arrays of length 0.
        """
        bound = {"width_us": width_us, "from_us": from_us, "to_us": to_us, "since": since}
        rows = self._warehouse.query(_READ, {**bound, "version": version, "dataset": dataset})
        versions, version_of = _numbered(rows["objective_version"])
        keys, key_of = _numbered(rows["group_key"])
        return StoredCells(
            width_us=width_us,
            versions=versions,
            group_keys=keys,
            version=version_of,
            group=key_of,
            bucket_us=rows["bucket_us"].to_numpy(),
            good=rows["good"].to_numpy(),
            total=rows["total"].to_numpy(),
            upto=rows["upto"].to_numpy(),
        )


def _numbered(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Ints]:
    plain = column.cast(pa.string()).combine_chunks().dictionary_encode()
    return tuple(plain.dictionary.to_pylist()), plain.indices.to_numpy().astype(np.int64)
