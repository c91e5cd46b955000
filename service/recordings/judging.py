"""What the stores say of one recording: each number from the rows, cells and ledger they hold.

Timings are of the stored rows; goodput is the sum of the stored count cells; findings are those
of the live detectors, over the whole window at once; cost is what the live biller makes of the
stored facts, kept as a ledger and summed there. None = nothing in the recording measured it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from anomalies.detect import detect
from anomalies.finding import Finding
from anomalies.frame import build
from cost.attribution import Window
from cost.classes import CostClass
from cost.ledger import Ledger
from cost.prices import PriceBook
from service.clock import now_us
from service.counting.cell_store import CellStore
from service.money.costing import Facts as BilledFacts
from service.money.costing import bill
from service.recordings.recording import Arrival, Recording
from service.recordings.verdicts import Cost, Goodput, Load, Spread, Verdict
from service.store.facts import Facts
from service.store.ledger import Interval
from slo.cells import Cells, fold
from slo.objective import Objective
from telemetry.frame import Frame
from telemetry.identity import Vantage
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

LONGEST_SILENCE_STEPS: Final = 3
"""A GPU or engine not heard of for this many of its usual steps is unobserved."""
MOST_CELLS: Final = 2_000_000
"""Most replicas times steps that anomalies are looked for in: some 400 MB."""
_FAR_US: Final = 2**62
_TIMINGS: Final = {
    "ttft": ("ttft_us", "isNotNull(ttft_us)"),
    "tpot": (
        "(e2e_us - ttft_us) / (output_tokens - 1)",
        "status = 'ok' AND isNotNull(ttft_us) AND output_tokens > 1",
    ),
    "e2e": ("e2e_us", "status = 'ok'"),
}
"""What is measured of a request, in microseconds, and of which requests."""
_OF_RECORD: Final = "vantage = {vantage:String} AND NOT synthetic"


@dataclass(frozen=True, slots=True)
class Terms:
    """What recordings are judged by. `objective` None = no limit, so no goodput; no prices = no bill."""

    objective: Objective | None
    prices: PriceBook


class Case:
    """One stored recording being judged."""

    def __init__(self, facts: Facts, recording: Recording, dataset: str, terms: Terms) -> None:
        """Read the recording's facts back from the store."""
        self._facts, self._recording, self._dataset, self._terms = facts, recording, dataset, terms
        self._notes = list(recording.notes)
        self._vantage = self._vantage_of_record()
        self._requests = self._frame("requests", where=_OF_RECORD, params={"vantage": self._vantage})
        self._engines = self._frame("engine_samples")
        self._gpus = self._frame("gpu_samples")
        self._placements = self._frame("placements")

    def verdict(self, tell: Callable[[str], None]) -> Verdict:
        """Return everything that can be said; `tell` is called with each step as it begins."""
        tell("counting")
        requests, errors = self._totals()
        spreads = self._spreads()
        goodput = self._goodput()
        tell("looking for anomalies")
        findings = self._findings()
        tell("billing")
        cost = self._cost()
        return Verdict(
            name=self._recording.name,
            window_us=self._recording.window_us,
            requests=requests or len(self._recording.arrivals) or None,
            errors=errors if requests else None,
            ttft=spreads["ttft"],
            tpot=spreads["tpot"],
            e2e=spreads["e2e"],
            goodput=goodput,
            findings=findings,
            cost=cost,
            load=load_of(self._recording.arrivals),
            notes=tuple(self._notes),
        )

    def _frame(self, table: str, **chosen: Any) -> Frame:
        return self._facts.frame(table, from_us=0, to_us=_FAR_US, dataset=self._dataset, **chosen)

    def _row(self, columns: str) -> dict[str, Any]:
        """Return one row of aggregates over the counted requests."""
        sql = f"SELECT {columns} FROM requests WHERE dataset = {{dataset:String}} AND {_OF_RECORD}"  # noqa: S608 - our words
        found = self._facts.query(sql, {"dataset": self._dataset, "vantage": self._vantage})
        row: dict[str, Any] = found.to_pylist()[0]
        return row

    def _vantage_of_record(self) -> Vantage:
        """Return the one vantage whose rows are counted: the edge's where there are any."""
        seen = {request.vantage for request in self._recording.requests}
        chosen = next((vantage for vantage in Vantage if vantage in seen), Vantage.EDGE)
        if len(seen) > 1:
            self._notes.append(f"requests timed at the {chosen} are counted; others are kept beside them")
        return chosen

    def _totals(self) -> tuple[int, int]:
        row = self._row("count() AS requests, countIf(status = 'error') AS errors")
        return row["requests"], row["errors"]

    def _spreads(self) -> dict[str, Spread | None]:
        row = self._row(
            ", ".join(
                f"countIf({where}) AS {name}_known, "
                f"quantilesExactIf(0.5, 0.95, 0.99)(assumeNotNull({what}), {where}) AS {name}"
                for name, (what, where) in _TIMINGS.items()
            )
        )
        return {name: _spread(row[name]) if row[f"{name}_known"] else None for name in _TIMINGS}

    def _goodput(self) -> Goodput | None:
        """Keep the count cells, and return their sum over all time.

        An import is counted whole, so the instant of counting says which count is the newest.
        """
        objective = self._terms.objective
        if objective is None:
            return None
        store = CellStore(self._facts.cells, clock=now_us, dataset=self._dataset)
        counted = fold(self._requests, objective)
        if not _equal(store.read(objective.version, MICROS_PER_MINUTE, 0).cells, counted):
            store.write(objective.version, MICROS_PER_MINUTE, counted, upto=now_us())
        good, total = store.read(objective.version, MICROS_PER_MINUTE, 0).cells.sums()
        return Goodput(good, total) if total else None

    def _findings(self) -> tuple[Finding, ...] | None:
        window = self._recording.window_us
        if window is None or not self._engines.rows:
            self._notes.append("no anomaly was looked for: the recording holds no samples of an engine")
            return None
        step_us = step_of(self._engines, "replica")
        cells = (window[1] - window[0]) // step_us * len(self._engines.texts("replica").words)
        if cells > MOST_CELLS:
            self._notes.append(
                f"no anomaly was looked for in {cells:,} steps of replicas, {MOST_CELLS:,} at most: "
                "import a shorter span"
            )
            return None
        frame = build(
            self._engines,
            self._gpus,
            self._placements,
            requests=self._requests if self._recording.timed else None,
            from_us=window[0],
            to_us=window[1],
            step_us=step_us,
        )
        return detect(frame).findings

    def _cost(self) -> Cost | None:
        """Keep the ledger, and return its sums by class."""
        window = self._recording.window_us
        if not self._terms.prices.prices:
            return None
        if window is None or not self._gpus.rows or not self._recording.timed:
            self._notes.append("no bill: that takes GPU samples, and requests that say when they ran")
            return None
        ledger = self._ledger(Window(*window))
        self._notes += ledger.assumptions
        unpriced = sorted({row.gpu_uuid for row in ledger.rows if row.klass is CostClass.UNPRICED})
        if unpriced:
            self._notes.append(f"not in the bill, for no price fits: {', '.join(unpriced)}; name their model")
        stored = self._kept(ledger, window)
        priced = {klass: nano for klass, nano in stored.items() if klass != CostClass.UNPRICED}
        return Cost(sum(priced.values()), priced) if priced else None

    def _ledger(self, window: Window) -> Ledger:
        return bill(
            BilledFacts(
                requests=self._requests,
                engine_samples=self._engines,
                gpu_samples=self._gpus,
                placements=self._placements,
            ),
            prices=self._terms.prices,
            objectives=[self._terms.objective] if self._terms.objective else [],
            window=window,
            gap_us=LONGEST_SILENCE_STEPS * step_of(self._gpus, "gpu_uuid"),
        )

    def _kept(self, ledger: Ledger, window: tuple[int, int]) -> dict[str, int]:
        """Write the ledger unless it is there already; return what the store holds, by class."""
        from_us, to_us = window
        version = _ledger_version(self._terms)

        def stored() -> dict[str, int]:
            sums = self._facts.ledger.sums(version, from_us=from_us, to_us=to_us, dataset=self._dataset)
            return {each.key[0]: each.amount_nano for each in sums}

        if stored() != _by_class(ledger):
            interval = Interval(version=version, start_us=from_us, end_us=to_us, dataset=self._dataset)
            self._facts.ledger.write(interval, ledger.rows, written_at_us=now_us())
        return stored()


def load_of(arrivals: tuple[Arrival, ...]) -> Load | None:
    """Return what a trace's arrivals ask for, and over which time; None without any."""
    if not arrivals:
        return None
    instants = [arrival.at_us for arrival in arrivals]
    return Load(
        arrivals=len(arrivals),
        prompt_tokens=sum(arrival.prompt_tokens for arrival in arrivals),
        output_tokens=sum(arrival.output_tokens for arrival in arrivals),
        span_seconds=(max(instants) - min(instants)) / MICROS_PER_SECOND,
    )


def step_of(samples: Frame, subject: str) -> int:
    """Return the usual time between two samples of one subject, whole seconds in microseconds.

    At least a second, which is also the answer when no subject has two.
    """
    who, at = samples.texts(subject).codes, samples.numbers("at_us").values
    order = np.lexsort((at, who))
    gaps = np.diff(at[order])[np.diff(who[order]) == 0]
    gaps = gaps[gaps > 0]
    usual = round(float(np.median(gaps)) / MICROS_PER_SECOND) if len(gaps) else 1
    return max(1, usual) * MICROS_PER_SECOND


def _spread(values_us: list[float]) -> Spread:
    p50, p95, p99 = (value / MICROS_PER_SECOND for value in values_us)
    return Spread(p50, p95, p99)


def _equal(one: Cells, other: Cells) -> bool:
    columns = ("group", "bucket", "good", "total")
    return one.keys == other.keys and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in columns
    )


def _by_class(ledger: Ledger) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in ledger.rows:
        found[row.klass.value] = found.get(row.klass.value, 0) + (row.nano or 0)
    return found


def _ledger_version(terms: Terms) -> str:
    """Return the name of the ledger that these terms make: other prices or limits are another one."""
    told = repr((terms.prices, terms.objective.version if terms.objective else None))
    return hashlib.sha256(told.encode()).hexdigest()[:16]
