"""The service's own metrics, in Prometheus text: whether it can be believed right now.

`SERIES` is all there is: what happens is counted in a `Tally`, what stands is read when asked.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX: Final = "inferometer_service_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Series:
    """One family: its name without prefix, what it says, its label (empty = none)."""

    name: str
    help: str
    label: str = ""
    counts: bool = True
    """Whether it only grows: a counter, exported with `_total`."""

    @property
    def exported(self) -> str:
        """Its full name on the page."""
        return f"{PREFIX}{self.name}{'_total' if self.counts else ''}"


def _gauge(name: str, text: str) -> Series:
    return Series(name, text, counts=False)


SERIES: Final[tuple[Series, ...]] = (
    Series("batches", "Batches offered by agents, by what became of them.", "outcome"),
    Series("rows", "Rows accepted, by table.", "table"),
    Series("unknown_columns", "Columns of newer agents that this service does not know and left out."),
    Series("unknown_tables", "Tables of newer agents that this service does not know and left out."),
    Series("unauthorized", "Calls without a valid token, or with one that may not do it."),
    Series("evaluations", "Evaluations of all objectives and detectors."),
    Series("transitions", "Alert transitions, by the state they lead to.", "after"),
    Series("deliveries", "Attempts to deliver a notification, by how they ended.", "outcome"),
    Series("early_bad", "Requests counted bad while still in flight."),
    Series(
        "outside_requests", "Requests too old or too far ahead for any window of an objective.", "objective"
    ),
    Series("folded_requests", "Requests of groups past the cap, counted as __other__.", "objective"),
    Series("job_failures", "Rounds of a background job that failed and were tried again.", "job"),
    Series("stored_blocks", "Blocks written to the facts store."),
    Series("stored_rows", "Rows written to the facts store."),
    Series("repaired_tables", "Tables of which a partial block was deleted and inserted again."),
    Series("live_dropped_rows", "Rows dropped from the live window for want of room."),
    Series("journal_events", "What happened to the journal's batches and its file, by kind.", "kind"),
    _gauge("journal_batches", "Batches in the journal."),
    _gauge("journal_used_bytes", "Bytes the journal takes."),
    _gauge("journal_bound_bytes", "Bytes the journal may take; half of it makes agents wait."),
    _gauge("journal_lag_seconds", "How long the oldest batch has waited for a reader."),
    _gauge("journal_quarantined_batches", "Batches that a reader could not process, kept for a person."),
    _gauge("journal_commit_p99_seconds", "99th percentile of the last commits, sync included."),
    _gauge("fold_behind_batches", "Batches not yet folded into counts."),
    _gauge("store_behind_batches", "Batches not yet stored as facts."),
    _gauge("evaluation_age_seconds", "Time since the last finished evaluation."),
    _gauge("evaluation_seconds", "How long the last evaluation took."),
    _gauge("newest_fact_age_seconds", "Age of the newest fact of any kind."),
    _gauge("objective_mistakes", "Mistakes in files of objectives; what the files said before is in force."),
    _gauge("recount_hours", "Hours of stored facts to count for objectives that are new or changed."),
    _gauge("recount_hours_done", "Hours of them that are counted."),
    _gauge("listeners", "Pages that listen for new data."),
)
_NAMES: Final = frozenset(series.name for series in SERIES)


@dataclass(slots=True)
class Tally:
    """Counts of what happened, by name and label. Thread-safe; names are those of `SERIES`."""

    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, label: str = "", amount: int = 1) -> None:
        """Count `amount` more of `name`. Raises `KeyError` for a name that is no series."""
        if name not in _NAMES:
            raise KeyError(f"count {name!r}: no series has this name")
        with self._lock:
            self._counts[name, label] += amount

    def read(self) -> list[Reading]:
        """Return all counts."""
        with self._lock:
            return [Reading(name, value, label) for (name, label), value in self._counts.items()]


@dataclass(frozen=True, slots=True)
class Reading:
    """A value of one series; what is not known has no reading and is absent from the page."""

    name: str
    value: float
    label: str = ""


class OwnMetrics(Collector):
    """Exposes a `Tally` and what is read when asked."""

    def __init__(self, tally: Tally, readings: Callable[[], Iterable[Reading]]) -> None:
        self._tally, self._readings = tally, readings
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield every family; a counter without a label begins at 0."""
        values: dict[str, dict[str, float]] = defaultdict(dict)
        for reading in (*self._tally.read(), *self._readings()):
            values[reading.name][reading.label] = reading.value
        for series in SERIES:
            known = values[series.name]
            if series.counts and not series.label:
                known.setdefault("", 0.0)
            labels = [series.label] if series.label else []
            kind = CounterMetricFamily if series.counts else GaugeMetricFamily
            family = kind(PREFIX + series.name, series.help, labels=labels)
            for label, value in sorted(known.items()):
                family.add_metric([label] if series.label else [], value)
            if known:
                yield family

    def page(self) -> bytes:
        """Return the page of text."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing is read at registration."""
        return []
