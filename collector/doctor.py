"""What an agent would find on this host, and what will not work and why. Reads, changes nothing.

Works with no driver, no engine and no service: each of these is a finding, not an error.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from collector.clock import HostClock
from collector.diagnosis import DRIVER_SECONDS, Check, Status, ended, within
from collector.discovery import local_engines
from collector.engines import Engine, engines, recognise
from collector.gpu_diagnosis import gpu_checks
from collector.gpus.nvml import DriverBusy, DriverError, Session
from collector.gpus.processes import compute_processes
from collector.placement.placements import Serving, seen
from collector.placement.processes import Processes
from collector.requests.socket import MAX_PATH_BYTES
from collector.scraping.engine_mapping import RankReading, read_ranks
from collector.scraping.engine_source import EngineSource
from collector.scraping.exposition import PageError, names, parse
from collector.scraping.saved_page import near_name
from collector.scraping.start_up import GIB
from collector.settings import MIB, EngineTarget, Settings
from collector.web import WebError, connection_to, exchange, fetch
from telemetry.columns import Record
from telemetry.samples import EngineSample

_PAGE_SECONDS: Final = 2.0
_OFFSET_WARN, _OFFSET_FAIL = 1.0, 300.0
_DISK_WARN: Final = 1_024 * MIB


def examine(settings: Settings) -> list[Check]:
    """Return the findings for a host, in the order an operator would look.

    Takes a few seconds; a driver that hangs is told after ten. Raises nothing.
    """
    return [*gpu_checks(settings), *_engines(settings), *_service(settings), *_disk(settings)]


def _engines(settings: Settings) -> Iterator[Check]:
    targets = settings.engines or (tuple(local_engines()) if settings.find_engines else ())
    if not targets:
        ports = ", ".join(map(str, sorted({port for engine in engines() for port in engine.ports})))
        where = (
            f"answers on local ports {ports}" if settings.find_engines else "is named, and none is looked for"
        )
        hint = "name it with --engine URL"
        yield Check("engines", Status.WARN, f"No inference engine {where}.", hint)
    found = [Serving.of(target, _engine_records(settings, target), settings.host) for target in targets]
    for each in found:
        sample = next(iter(each.samples.values()), None)
        yield _engine(settings, each.target, sample)
        if sample is not None:
            yield _memory(settings, each.target, sample)
    if settings.gpus and any(each.samples for each in found):
        yield _placements(found)


def _placements(engines: Sequence[Serving]) -> Check:
    """Say which GPUs would be placed without being named in the settings, and what keeps them from it."""
    name, session, processes = "placements", Session(), Processes()
    if not processes.host_ids():
        hint = "give the agent the host's process ids (hostPID), or name the engines' gpus in the settings"
        return Check(name, Status.WARN, "Processes here have ids of their own: no GPU can be placed.", hint)

    def look() -> list[str]:
        session.renew(0)
        placed = seen(compute_processes(session), engines, processes, HostClock().now_us())
        return [f"{place.gpu_uuid} serves {place.replica}" for place in placed]

    try:
        told = within(DRIVER_SECONDS, look)
    except (TimeoutError, DriverError, DriverBusy) as error:
        return Check(name, Status.WARN, f"The processes on the GPUs cannot be listed: {error or 'it hangs'}.")
    hint = "" if told else "run it as the engines' user or root, or name the engines' gpus in the settings"
    named = sum(len(engine.target.gpus) for engine in engines)
    sentence = "; ".join(told) or "By its processes no GPU is known to serve an engine"
    return Check(name, Status.OK if told or named else Status.WARN, f"{sentence}.", "" if named else hint)


def _memory(settings: Settings, target: EngineTarget, sample: EngineSample) -> Check:
    name = f"memory of {target.place(settings.host)}"
    parts = {"weights": sample.weights_bytes, "KV pool": sample.kv_pool_bytes}
    told = ", ".join(
        f"{part} {'unknown' if value is None else f'{value / GIB:,.1f} GiB'}" for part, value in parts.items()
    )
    hint = "name its log with --engine-log, or its model's size in the settings ([models.NAME])"
    known = None not in parts.values()
    return Check(name, Status.OK, f"First replica: {told}.", "" if known else hint)


def _engine(settings: Settings, target: EngineTarget, sample: EngineSample | None) -> Check:
    name = f"engine {target.place(settings.host)}"
    try:
        body = fetch(target.url, timeout_seconds=_PAGE_SECONDS).body
        engine = recognise(body)
        page = engine.page(body) if engine else parse(body, ())
    except (WebError, PageError) as error:
        return Check(name, Status.FAIL, ended(error), "is it running, and is its address right?")
    if engine is None:
        hint = "is it an inference engine's port, and are its metrics switched on?"
        return Check(name, Status.FAIL, "Its page has no series of a known engine.", hint)
    readings = read_ranks(engine, page)
    version = sample.engine_version if sample else None
    title = f"{engine.title} {version or 'of unknown version'}, replicas: {len(readings)}"
    if not engine.captured:
        title += f" ({engine.provenance})"
    lacking = _lacking(engine, readings[0], names(body, ""))
    if lacking or page.faults:
        hint = "; ".join((*lacking, *page.faults))
        return Check(name, Status.WARN, f"{title}; not everything can be read.", hint)
    return Check(name, Status.OK, f"{title}; every needed series is there.")


def _lacking(engine: Engine, reading: RankReading, shown: set[str]) -> list[str]:
    """Name each needed column that could not be filled, and what on the page looks like it."""
    sentences = []
    for signal in engine.signals:
        if signal.column not in engine.expected or signal.column in reading.columns:
            continue
        near = near_name(engine, signal, shown)
        renamed = f", renamed to {near}?" if near else ""
        sentences.append(f"{signal.column} is missing ({signal.names[0]}{renamed})")
    return sentences


def _engine_records(settings: Settings, target: EngineTarget) -> Sequence[Record]:
    source = EngineSource(target, host=settings.host, timeout_seconds=_PAGE_SECONDS, models=settings.models)
    records = source.read(HostClock().now_us()).records
    source.close()
    return records


def _service(settings: Settings) -> Iterator[Check]:
    if settings.server is None:
        yield Check(
            "service", Status.WARN, "No service is named: nothing leaves this host.", "give --server URL"
        )
        return
    url = urlsplit(settings.server + "/health")
    try:
        connection = connection_to(url, timeout_seconds=_PAGE_SECONDS)
        begun_us = HostClock().now_us()
        answer = exchange(connection, url, timeout_seconds=_PAGE_SECONDS, max_bytes=MIB)
        connection.close()
    except WebError as error:
        yield Check("service", Status.FAIL, ended(error), "batches stay in the spool until it answers")
        return
    yield Check("service", Status.OK, f"It answers ({answer.status}) in {answer.took_us / 1e3:.0f} ms.")
    try:
        there = parsedate_to_datetime(answer.headers["date"]).timestamp() + 0.5
    except (KeyError, ValueError):
        return
    yield _offset(there - (begun_us + HostClock().now_us()) / 2e6)


def _offset(seconds: float) -> Check:
    sentence = f"The service's clock is {seconds:+.1f} s ahead (read to half a second)."
    if abs(seconds) > _OFFSET_FAIL:
        return Check("clock", Status.FAIL, sentence, "rows from the future are refused: set the clock (NTP)")
    if abs(seconds) > _OFFSET_WARN:
        return Check("clock", Status.WARN, sentence, "set the clock (NTP)")
    return Check("clock", Status.OK, sentence)


def _disk(settings: Settings) -> Iterator[Check]:
    wanted = settings.data_dir.absolute()
    folder = next(path for path in (wanted, *wanted.parents) if path.exists())
    free, limit = shutil.disk_usage(folder).free, settings.spool_bytes
    sentence = f"{free / MIB:,.0f} MiB free at {folder} for a spool of at most {limit / MIB:,.0f} MiB."
    if free < min(_DISK_WARN, limit):
        yield Check("disk", Status.WARN, sentence, "an outage of the service may fill it: give it room")
    else:
        yield Check("disk", Status.OK, sentence)
    yield _socket(settings.records_socket)


def _socket(path: Path) -> Check:
    if len(bytes(path)) > MAX_PATH_BYTES:
        sentence = f"{path} is longer than {MAX_PATH_BYTES} bytes."
        return Check("records socket", Status.FAIL, sentence, "choose a shorter one with socket = ...")
    return Check("records socket", Status.OK, f"Proxies hand in records at {path}.")
