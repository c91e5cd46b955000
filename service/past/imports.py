"""Imported recordings on the pages: which there are, their time, and the objectives in force judged on them.

What an import holds never changes, so its counts are written once for each objective version and
read from then on, under the import's own name: they never meet a live count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from service.counting.cell_store import CellStore
from service.past.backtesting import History
from service.past.trying import Trying
from service.store.facts import Facts
from service.views.asking import Asked, ViewError, width_of
from slo.evaluate import Judgement, judge
from slo.objective import Objective
from slo.ring import Ring
from telemetry.identity import Vantage
from telemetry.units import MICROS_PER_MINUTE

MOST_KEPT: Final = 64
"""Most judgements kept in memory."""
_NAMES: Final = "SELECT DISTINCT dataset FROM requests WHERE dataset != '' ORDER BY dataset"
_TIMED: Final = (
    "SELECT DISTINCT ifNull(pool, '') AS pool, vantage FROM requests WHERE dataset = {dataset:String}"
)
_FAR_US: Final = 2**62


class Imports:
    """The imports of one facts store. Thread-safe."""

    def __init__(self, facts: Facts, *, group_cap: int, clock: Callable[[], int]) -> None:
        self.trying = Trying()
        self._facts, self._group_cap, self._clock = facts, group_cap, clock
        self._judged: dict[tuple[str, str], Judgement] = {}
        self._lock = threading.Lock()

    def names(self) -> dict[str, str]:
        """Return what every import is called, and the recording's own name. One query."""
        return {str(name): short_name(name) for name in self._facts.query(_NAMES)["dataset"].to_pylist()}

    def named(self, name: str) -> str:
        """Return the import of a name, whole or short. Raises `ViewError` for none, or several. One query."""
        known = self.names()
        found = [name] if name in known else [each for each, short in known.items() if short == name]
        if len(found) == 1:
            return found[0]
        cause = "several imports are called so" if found else "there is no such import"
        there_are = ", ".join(found or known) or "none: see docs/import.md"
        raise ViewError(f"dataset {name!r}: {cause}; there are {there_are}")

    def question(self, question: Asked, dataset: str) -> Asked:
        """Return a question about all the time of an import. Raises `ViewError` for one that is not there."""
        dataset = self.named(dataset)
        span = self._facts.span("requests", dataset)
        if span is None:
            raise ViewError(f"dataset {dataset!r}: it holds no request")
        from_us = span[0] // MICROS_PER_MINUTE * MICROS_PER_MINUTE
        to_us = (span[1] // MICROS_PER_MINUTE + 1) * MICROS_PER_MINUTE
        return replace(
            question,
            from_us=from_us,
            to_us=to_us,
            width_us=width_of(to_us - from_us),
            pinned=True,
            dataset=dataset,
            vantages=self._vantages(dataset),
        )

    def history(self, dataset: str) -> History:
        """Return the facts of an import, each request once. One query."""
        return History.imported(self._facts, dataset)

    def judged(self, dataset: str, objectives: Sequence[Objective], to_us: int) -> tuple[Judgement, ...]:
        """Return the objectives judged at the end of an import. Two queries for each that is asked anew."""
        return tuple(self._judgement(dataset, each, to_us) for each in objectives)

    def _judgement(self, dataset: str, objective: Objective, to_us: int) -> Judgement:
        key = (dataset, objective.version)
        with self._lock:
            known = self._judged.get(key)
        if known is not None and known.objective == objective:
            return known
        store = CellStore(self._facts.cells, clock=self._clock, dataset=dataset)
        cells = store.read(objective.version, MICROS_PER_MINUTE, 0).cells
        if not len(cells.bucket):
            cells = self.trying.cells(self.history(dataset), objective, 0, _FAR_US)
            store.write(objective.version, MICROS_PER_MINUTE, cells, upto=self._clock())
        ring = Ring.of(objective, now_us=to_us - 1, group_cap=self._group_cap)
        ring.add(cells)
        made = judge(objective, ring.counts())
        with self._lock:
            if len(self._judged) >= MOST_KEPT:
                self._judged.clear()
            self._judged[key] = made
        return made

    def _vantages(self, dataset: str) -> dict[str, Vantage]:
        """Return from where each pool's requests count: the edge where any was timed there."""
        found = self._facts.query(_TIMED, {"dataset": dataset})
        seen = set(found["vantage"].to_pylist())
        chosen = next((vantage for vantage in Vantage if vantage in seen), Vantage.EDGE)
        return dict.fromkeys(found["pool"].to_pylist(), chosen)


def short_name(dataset: str) -> str:
    """Return what a recording was called when it was imported: `run-7` of `import:0ae2da6b68bc:run-7`."""
    return dataset.split(":", 2)[-1]
