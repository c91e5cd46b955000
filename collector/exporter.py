"""The agent's own /metrics: what it measured (telemetry.catalog) and how it is doing.

On request the GPUs also stand there by dcgm-exporter's names (`collector.dcgm`).
Rendering reads the latest readings and counters and waits for nobody: a wedged source costs its
own series, never the page. A reading that is not fresh is left out; the health series stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from collector.dcgm import DcgmPage
from collector.health import Vital
from collector.local_server import LocalHandler, LocalServer
from telemetry import catalog
from telemetry.catalog import PREFIX, MetricKind
from telemetry.columns import TABLE_OF, Record
from telemetry.samples import GpuSample

_LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "gpu_samples": catalog.GPU_LABELS,
    "engine_samples": catalog.ENGINE_LABELS,
}
_MAX_SCRAPES: Final = 8
_NOT_FOUND: Final = b"the agent serves /metrics and /health\n"

Family = GaugeMetricFamily | CounterMetricFamily


class View(Protocol):
    """What the page shows. Called from several threads; must not block."""

    def fresh_records(self) -> Sequence[Record]:
        """Return the rows of every reading that is not stale."""
        ...

    def vitals(self) -> Sequence[Vital]:
        """Return how the agent is doing."""
        ...


class Exposition(Collector):
    """The view as metric families, made anew for every scrape."""

    def __init__(self, view: View) -> None:
        self._view = view

    def describe(self) -> list[Family]:
        """Return nothing: the families depend on what there is to show."""
        return []

    def collect(self) -> Iterator[Family]:
        """Yield every family that has a series now."""
        rows: defaultdict[str, list[Record]] = defaultdict(list)
        for record in self._view.fresh_records():
            rows[TABLE_OF[type(record)].name].append(record)
        for metric in catalog.METRICS:
            family = _family(metric.kind, PREFIX + metric.name, metric.help, _LABELS[metric.table])
            for row in rows[metric.table]:
                value = getattr(row, metric.column)
                if value is not None:
                    family.add_metric(_label_values(row, _LABELS[metric.table]), value * metric.scale)
            if family.samples:
                yield family
        yield _activity_sources(rows["gpu_samples"])
        for vital in self._view.vitals():
            family = _family(vital.kind, vital.prefix + vital.name, vital.help, vital.labels)
            for labels, value in vital.values.items():
                family.add_metric(labels, value)
            yield family


def _family(kind: MetricKind, name: str, text: str, labels: Sequence[str]) -> Family:
    if kind is MetricKind.COUNTER:
        return CounterMetricFamily(name, text, labels=labels)
    return GaugeMetricFamily(name, text, labels=labels)


def _label_values(row: Record, labels: Sequence[str]) -> list[str]:
    values = (getattr(row, label) for label in labels)
    return ["" if value is None else str(value) for value in values]


def _activity_sources(rows: Sequence[Record]) -> Family:
    """Say of each GPU where its activity ratios come from, so that none travels without it."""
    family = GaugeMetricFamily(
        f"{PREFIX}gpu_activity_source",
        "1 for the source of this GPU's activity ratios.",
        labels=("gpu_uuid", "source"),
    )
    for row in rows:
        if isinstance(row, GpuSample) and row.activity_source is not None:
            family.add_metric((row.gpu_uuid, row.activity_source.value), 1)
    return family


class Exporter:
    """A small HTTP server of its own threads; at most eight scrapes at once."""

    def __init__(self, view: View, *, address: str, port: int, dcgm: DcgmPage | None = None) -> None:
        self._view = view
        self._dcgm = dcgm
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Exposition(view))
        self._server = _Server((address, port), self.page)

    @property
    def url(self) -> str:
        """Return the address of the page, with the port that was free."""
        return f"{self._server.url}/metrics"

    def page(self) -> bytes:
        """Return the page as it is now, in Prometheus' text format."""
        own = generate_latest(self._registry)
        return own if self._dcgm is None else own + self._dcgm.render(self._view.fresh_records())

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        self._server.stop()


class _Server(LocalServer):
    def __init__(self, address: tuple[str, int], page: Callable[[], bytes]) -> None:
        self.page = page
        super().__init__(address, _Handler, name="export", most=_MAX_SCRAPES)


class _Handler(LocalHandler):
    server: _Server

    def do_GET(self) -> None:  # noqa: N802 - the name is the base class's
        """Answer /metrics and /health."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self.answer(HTTPStatus.OK, self.server.page(), CONTENT_TYPE_PLAIN_0_0_4)
        elif path == "/health":
            self.answer(HTTPStatus.OK, b"ok\n", "text/plain")
        else:
            self.answer(HTTPStatus.NOT_FOUND, _NOT_FOUND, "text/plain")
