"""Evidence in the facts store: the samples that prove a finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.store.arrow import table_of
from service.store.clickhouse import Warehouse
from telemetry.columns import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One piece of proof: what it shows (`name`) as JSON text, at one instant, for one finding."""

    finding_id: str
    at_us: int
    name: str
    body: str


class EvidenceRows:
    """The evidence of one facts store. Thread-safe."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def write(self, pieces: Sequence[Evidence], *, written_at_us: int, dataset: str = "") -> None:
        """Keep evidence, synced when it returns. The same piece twice is read once."""
        if not pieces:
            return
        rows = table_of(
            {
                "finding_id": (Kind.TEXT, [each.finding_id for each in pieces]),
                "at_us": (Kind.INT, [each.at_us for each in pieces]),
                "name": (Kind.TEXT, [each.name for each in pieces]),
                "body": (Kind.TEXT, [each.body for each in pieces]),
                "written_at_us": (Kind.INT, [written_at_us] * len(pieces)),
                "dataset": (Kind.TEXT, [dataset] * len(pieces)),
            }
        )
        self._warehouse.insert("evidence", rows)

    def read(self, finding_id: str) -> list[Evidence]:
        """Return a finding's evidence, oldest first; empty = none was kept. At most 10,000 pieces."""
        found = self._warehouse.query(
            "SELECT DISTINCT finding_id, at_us, name, body FROM evidence "
            "WHERE finding_id = {finding_id:String} ORDER BY at_us, name LIMIT 10000",
            {"finding_id": finding_id},
        )
        return [Evidence(**row) for row in found.to_pylist()]
