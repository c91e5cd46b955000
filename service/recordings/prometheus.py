"""Prometheus `query_range` answers to engine and GPU samples.

An engine's series of one instant are put back together as the page they were scraped from, and
read by the very map the agent reads live pages with (`collector.engines`). A series that a
router tells about a server carries another vantage, so it is never taken for the replica's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, Final
from urllib.parse import urlsplit

from collector.engines import engine_of, engines
from collector.scraping.engine_mapping import read_ranks
from collector.scraping.exposition import Page, Series
from service.recordings.answers import RecordedSeries
from service.recordings.gpu_columns import FIELDS, NO_UUID, PREFIX, RecordedGpu, column_value, gpu_samples
from service.recordings.reading import Reading
from telemetry.identity import Replica, Vantage
from telemetry.samples import EngineSample, GpuSample

_SERVER: Final = "server"
"""The label by which a router says which of its servers a series is about."""
_ROUTER_WORDS: Final = ("router", "gateway", "ingress")


@dataclass(frozen=True, slots=True)
class _Observer:
    """Who told a series, about whom: the scrape job, the vantage, the serving address."""

    job: str
    vantage: Vantage
    address: str


def _observer(labels: Mapping[str, str]) -> _Observer:
    job = labels.get("job", "")
    server = labels.get(_SERVER)
    if server is not None:
        return _Observer(job, Vantage.EDGE, urlsplit(server).netloc or server)
    routes = any(word in job.casefold() for word in _ROUTER_WORDS)
    vantage = Vantage.EDGE if routes else Vantage.ENGINE
    return _Observer(job, vantage, labels.get("instance") or labels.get("pod") or "unknown-instance")


@cache
def _wire_names() -> Mapping[str, str]:
    """Return the engines' own series names by how a dump may spell them (`:` written `_`)."""
    signals = chain.from_iterable(
        (*each.signals, *((each.awake,) if each.awake else ())) for each in engines()
    )
    return {name.replace(":", "_"): name for signal in signals for name in signal.series()}


def read_engines(series: Sequence[RecordedSeries], reading: Reading) -> list[EngineSample]:
    """Return the samples of every engine in the series, by time, replica, vantage."""
    observed: dict[_Observer, list[tuple[str, RecordedSeries]]] = defaultdict(list)
    unused: set[str] = set()
    for each in series:
        name = _wire_names().get(each.name.replace(":", "_"))
        if name is not None:
            observed[_observer(each.labels)].append((name, each))
        elif not each.name.startswith(PREFIX) and not each.name.endswith("_bucket"):
            unused.add(each.name)
    if unused:
        reading.note(f"no column of ours for series {', '.join(sorted(unused)[:8])}")
    samples = [sample for seen in _once(observed, reading) for sample in _samples(seen, observed[seen])]
    return sorted(samples, key=lambda sample: (sample.at_us, sample.replica, sample.vantage))


def _once(observed: Mapping[_Observer, Sequence[Any]], reading: Reading) -> Iterator[_Observer]:
    """Yield one observer for each address and vantage: a server scraped by two jobs counts once."""
    taken: set[tuple[Vantage, str]] = set()
    for seen in sorted(observed, key=lambda seen: (-len(observed[seen]), seen.job, seen.address)):
        key = (seen.vantage, seen.address)
        if key in taken:
            reading.note(f"{seen.address} was scraped by more than one job; {seen.job!r} is left out")
            continue
        taken.add(key)
        yield seen


def _samples(seen: _Observer, series: Sequence[tuple[str, RecordedSeries]]) -> Iterator[EngineSample]:
    engine = engine_of({name for name, _ in series})
    if engine is None:
        return
    host, _, port = seen.address.rpartition(":")
    host, port = (host, port) if host else (seen.address, "")
    vantage = seen.vantage if seen.vantage is Vantage.EDGE else engine.vantage
    told = engine.name if seen.vantage is Vantage.ENGINE else "router"
    for at_us, page in sorted(_pages(series).items()):
        for rank in read_ranks(engine, page):
            replica = str(Replica(host, port, rank.rank)) if port else host
            yield EngineSample(
                at_us=at_us,
                replica=replica,
                host=host,
                engine=told,
                model=rank.model,
                vantage=vantage,
                state=rank.state,
                **rank.columns,
            )


def _pages(series: Sequence[tuple[str, RecordedSeries]]) -> dict[int, Page]:
    pages: dict[int, Page] = defaultdict(Page)
    for name, recorded in series:
        for at_us, value in recorded.points:
            pages[at_us].series.setdefault(name, []).append(Series(recorded.labels, value))
    return pages


def read_gpus(series: Sequence[RecordedSeries], reading: Reading) -> list[GpuSample]:
    """Return the samples of every GPU whose DCGM series were scraped."""
    cells: dict[tuple[int, RecordedGpu], dict[str, Any]] = defaultdict(dict)
    for recorded in series:
        if recorded.name not in FIELDS:
            continue
        labels = recorded.labels
        host = labels.get("Hostname") or labels.get("hostname") or labels.get("instance") or "unknown-host"
        gpu = RecordedGpu(host, labels.get("gpu", "0"), labels.get("UUID"), labels.get("modelName"))
        for at_us, number in recorded.points:
            column, value = column_value(recorded.name, number)
            cells[at_us, gpu][column] = value
    if any(gpu.uuid is None for _, gpu in cells):
        reading.note(NO_UUID)
    return gpu_samples(cells)
