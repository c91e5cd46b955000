"""The service's own metrics, in Prometheus text: whether it can be believed right now."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from journal import Stats

PREFIX: Final = "inferometer_service_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Tally:
    """Counts of what happened, by name and label. Thread-safe; names are the table `HELP`."""

    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, label: str = "", amount: int = 1) -> None:
        """Count `amount` more of `name` (a key of `HELP`)."""
        with self._lock:
            self._counts[name, label] += amount

    def read(self) -> dict[tuple[str, str], int]:
        """Return a copy of all counts."""
        with self._lock:
            return dict(self._counts)


HELP: Final[Mapping[str, tuple[str, str]]] = {
    "batches": ("outcome", "Batches offered by agents, by what became of them."),
    "rows": ("table", "Rows accepted, by table."),
    "unknown_columns": ("", "Columns of newer agents that this service does not know and left out."),
    "job_failures": ("job", "Rounds of a background job that failed and were tried again."),
    "evaluations": ("", "Evaluations of all objectives and detectors."),
    "transitions": ("after", "Alert transitions, by the state they lead to."),
    "early_bad": ("", "Requests counted bad while still in flight."),
    "folded_groups": ("objective", "Groups past the cap, folded into __other__."),
}
"""Counter name -> (label, help)."""

Gauges = Callable[[], Mapping[str, float | None]]
GAUGE_HELP: Final[Mapping[str, str]] = {
    "journal_batches": "Batches in the journal.",
    "journal_used_bytes": "Bytes the journal takes.",
    "journal_bound_bytes": "Bytes the journal may take.",
    "journal_lag_seconds": "How long the oldest batch has waited for a reader.",
    "journal_quarantined_batches": "Batches that a reader could not process, kept for a person.",
    "journal_commit_p99_seconds": "99th percentile of the last commits, sync included.",
    "fold_behind_batches": "Batches not yet folded into counts.",
    "store_behind_batches": "Batches not yet stored as facts.",
    "evaluation_age_seconds": "Time since the last finished evaluation.",
    "evaluation_seconds": "How long the last evaluation took.",
    "newest_fact_age_seconds": "Age of the newest fact of any kind.",
    "live_dropped_rows": "Rows dropped from the live window for want of room.",
}


def journal_gauges(stats: Stats) -> dict[str, float | None]:
    """Return the journal's gauges in base units."""
    behind = {reader.name: float(reader.behind) for reader in stats.readers}
    commit = stats.commit_p99_us
    return {
        "journal_batches": stats.batches,
        "journal_used_bytes": stats.used_bytes,
        "journal_bound_bytes": stats.bound_bytes,
        "journal_lag_seconds": stats.lag_seconds,
        "journal_quarantined_batches": stats.quarantined,
        "journal_commit_p99_seconds": None if commit is None else commit / 1e6,
        "fold_behind_batches": behind.get("fold"),
        "store_behind_batches": behind.get("store"),
    }


class OwnMetrics(Collector):
    """Exposes a `Tally` and gauges that are read when asked."""

    def __init__(self, tally: Tally, gauges: Gauges) -> None:
        self._tally, self._gauges = tally, gauges
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield every family; an unknown gauge is absent."""
        counts = self._tally.read()
        for name, (label, text) in HELP.items():
            family = CounterMetricFamily(PREFIX + name, text, labels=[label] if label else [])
            for (counted, labelled), amount in counts.items():
                if counted == name:
                    family.add_metric([labelled] if label else [], amount)
            yield family
        values = self._gauges()
        for name, text in GAUGE_HELP.items():
            value = values.get(name)
            if value is not None:
                yield GaugeMetricFamily(PREFIX + name, text, value=value)

    def page(self) -> bytes:
        """Return the page of text."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing is read at registration."""
        return []
