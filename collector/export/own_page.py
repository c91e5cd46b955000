"""The agent's page by our own names: what it measured (`telemetry.catalog`) and how it is doing.

Reads the latest readings and counters and waits for nobody: a wedged source costs its own series,
never the page. A reading that is not fresh is left out; the health series stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from collector.export.health import Vital
from collector.export.text_format import family_text, labels_text
from telemetry import catalog
from telemetry.catalog import PREFIX, MetricKind
from telemetry.columns import TABLE_OF, Record
from telemetry.samples import GpuSample

_LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "gpu_samples": tuple(sorted(catalog.GPU_LABELS)),
    "engine_samples": tuple(sorted(catalog.ENGINE_LABELS)),
}
"""Labels stand in the order of their names."""


class View(Protocol):
    """What the page shows. Called from several threads; must not block."""

    def fresh_records(self) -> Sequence[Record]:
        """Return the rows of every reading that is not stale."""
        ...

    def last_xids(self) -> Mapping[str, int] | None:
        """Return the last Xid of each GPU that had one; None = nobody watches for them."""
        ...

    def vitals(self) -> Sequence[Vital]:
        """Return how the agent is doing."""
        ...


def render(view: View) -> bytes:
    """Return every family that has a series now, in Prometheus' text format."""
    rows: defaultdict[str, list[tuple[str, Record]]] = defaultdict(list)
    for record in view.fresh_records():
        table = TABLE_OF[type(record)].name
        if table in _LABELS:
            rows[table].append((_labels(record, _LABELS[table]), record))
    parts = [*_measured(rows), _activity_sources(rows["gpu_samples"]), *map(_vital, view.vitals())]
    return "".join(parts).encode()


def _labels(record: Record, names: Sequence[str]) -> str:
    values = ((name, getattr(record, name)) for name in names)
    return labels_text({name: "" if value is None else str(value) for name, value in values})


def _measured(rows: Mapping[str, Sequence[tuple[str, Record]]]) -> Iterator[str]:
    for metric in catalog.METRICS:
        series = [
            (labels, float(value * metric.scale))
            for labels, row in rows.get(metric.table, ())
            if (value := getattr(row, metric.column)) is not None
        ]
        if series:
            yield family_text(PREFIX + metric.name, metric.kind, metric.help, series)


def _activity_sources(rows: Sequence[tuple[str, Record]]) -> str:
    """Say of each GPU where its activity ratios come from, so that none travels without it."""
    series = [
        (labels_text({"gpu_uuid": row.gpu_uuid, "source": row.activity_source.value}), 1.0)
        for _, row in rows
        if isinstance(row, GpuSample) and row.activity_source is not None
    ]
    text = "1 for the source of this GPU's activity ratios."
    return family_text(f"{PREFIX}gpu_activity_source", MetricKind.GAUGE, text, series)


def _vital(vital: Vital) -> str:
    series = [
        (labels_text(dict(sorted(zip(vital.labels, labels, strict=True)))), float(value))
        for labels, value in vital.values.items()
    ]
    return family_text(vital.prefix + vital.name, vital.kind, vital.help, series)
