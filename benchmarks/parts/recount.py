"""Count cells recounted from raw rows, one by one: the proof that the kept counts are right.

Nothing of the fold is used, only the indicators' verdicts: every request counts once, where it
was first known to be good or bad, in the order in which its batches arrived.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from service.clock import now_us
from service.counting.cell_store import CellStore
from service.counting.fold import LATE_US
from service.store.facts import Facts
from slo.objective import Objective
from telemetry.units import MICROS_PER_MINUTE

FAR_US = 2**62
Counts = dict[tuple[tuple[str, ...], int], tuple[int, int]]
"""(group, minute) -> (good, total)."""


def kept(facts: Facts, objective: Objective) -> Counts:
    """Return the cells that the service keeps."""
    cells = CellStore(facts.cells, clock=now_us).read(objective.version, MICROS_PER_MINUTE, 0).cells
    rows = zip(cells.group, cells.bucket, cells.good, cells.total, strict=True)
    return {(cells.keys[group], int(bucket)): (int(good), int(total)) for group, bucket, good, total in rows}


def recounted(facts: Facts, objective: Objective) -> Counts:
    """Return the counts of an objective that groups by model and tenant, from the stored rows."""
    counts: dict[tuple[tuple[str, ...], int], list[int]] = defaultdict(lambda: [0, 0])
    early = overdue(facts, objective)
    for row in early.values():
        counts[(row["model"], row["tenant"]), row["at_us"] // MICROS_PER_MINUTE][1] += 1
    requests = facts.frame("requests", from_us=0, to_us=FAR_US)
    verdicts = objective.indicator.judge(requests)
    columns = [requests.texts(name).listed() for name in ("request_id", "model", "tenant")]
    ended = requests.numbers("ended_at_us").values.tolist()
    for name, model, tenant, at_us, good, total in zip(
        *columns, ended, verdicts.good.tolist(), verdicts.total.tolist(), strict=True
    ):
        if total and name not in early:
            cell = counts[(model, tenant), at_us // MICROS_PER_MINUTE]
            cell[0] += good
            cell[1] += total
    return {at: (good, total) for at, (good, total) in counts.items()}


def overdue(facts: Facts, objective: Objective) -> dict[str, dict[str, Any]]:
    """Return, by request, the first sighting past its limit that was news when it arrived."""
    frame = facts.frame("in_flight", from_us=0, to_us=FAR_US)
    late = zip(
        frame.texts("request_id").listed(),
        frame.numbers("at_us").values.tolist(),
        objective.indicator.overdue(frame).tolist(),
        strict=True,
    )
    certain = {(name, at_us) for name, at_us, bad in late if bad}
    found: dict[str, dict[str, Any]] = {}
    for row in _sightings(facts):
        if (row["request_id"], row["at_us"]) in certain:
            found.setdefault(row["request_id"], row)
    return found


def _sightings(facts: Facts) -> list[dict[str, Any]]:
    """Return the sightings that are news, in order of arrival, each batch's by their instants."""
    sealing = _order_of_sealing(facts)
    rows = facts.query(
        "SELECT request_id, at_us, model, tenant, agent, boot, seq, received_at_us FROM in_flight "
        "ORDER BY received_at_us, agent, boot, seq, at_us"
    ).to_pylist()
    return [
        row
        for row in rows
        if not sealing[row["agent"], row["boot"], row["seq"]]
        and row["at_us"] >= row["received_at_us"] - LATE_US
    ]


def _order_of_sealing(facts: Facts) -> dict[tuple[str, str, int], bool]:
    """Tell of every batch whether a newer one of its agent arrived before it.

    An agent's boots follow each other; within one, numbers do.
    """
    readings = ("engine_samples", "gpu_samples", "events")
    every = " UNION ALL ".join(
        f"SELECT agent, boot, seq, received_at_us, {'at_us' if table in readings else 'NULL'} AS at_us FROM {table}"
        for table in (*readings, "requests", "in_flight", "placements")
    )
    batches = facts.query(
        "SELECT agent, boot, seq, any(received_at_us) AS arrived, "
        "min(min(at_us)) OVER (PARTITION BY agent, boot) AS booted "
        f"FROM ({every}) GROUP BY agent, boot, seq ORDER BY arrived"
    ).to_pylist()
    newest: dict[str, tuple[int, int]] = {}
    history = {}
    for batch in batches:
        sealed = (batch["booted"], batch["seq"])
        before = newest.get(batch["agent"], (0, 0))
        history[batch["agent"], batch["boot"], batch["seq"]] = sealed < before
        newest[batch["agent"]] = max(before, sealed)
    return history
