"""What an agent would find on this host, and what will not work and why. Reads, changes nothing.

Works with no driver, no engine and no service: each of these is a finding, not an error.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from collector.clock import HostClock
from collector.discovery import local_engines
from collector.efficiency.peaks import peak_of
from collector.engines import Engine, engines, recognise
from collector.gpus.card import concerns, described, read_card
from collector.gpus.discovery import GpuDiscovery
from collector.gpus.nvml import DriverBusy, DriverError, Session
from collector.gpus.processes import compute_processes
from collector.gpus.source import GpuSource
from collector.hardware import concerns as ailing
from collector.hardware.inventory import number_of
from collector.hardware.kernel_log import open_log
from collector.hardware.memory import FILE_NAME, Trouble, UnreadableError, look
from collector.hardware.policies import Verdict
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
from telemetry.samples import ActivitySource, EngineSample, GpuSample

T = TypeVar("T")

_DRIVER_SECONDS: Final = 10.0
_PAGE_SECONDS: Final = 2.0
_GPM_PAUSE_SECONDS: Final = 0.15
"""GPM refreshes every 100 ms: two samples must lie further apart."""
_READINGS: Final = 4
_OFFSET_WARN, _OFFSET_FAIL = 1.0, 300.0
_DISK_WARN: Final = 1_024 * MIB
_NEEDED: Final = ("energy_millijoules_total", "memory_used_bytes", "power_watts", "event_reasons")
_REAL: Final = frozenset({ActivitySource.GPM, ActivitySource.GPM_COUNTERS})


class Status(StrEnum):
    """How a check came out: as it should be, works in part, does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, how it came out, a sentence, what to do (empty = nothing)."""

    name: str
    status: Status
    sentence: str
    hint: str = ""


def examine(settings: Settings) -> list[Check]:
    """Return the findings for a host, in the order an operator would look.

    Takes a few seconds; a driver that hangs is told after ten. Raises nothing.
    """
    return [*_gpus(settings), *_engines(settings), *_service(settings), *_disk(settings)]


def _ended(error: Exception) -> str:
    """Return what an error says as a sentence; some end with a question of their own."""
    return str(error) if str(error).endswith("?") else f"{error}."


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns; raises `TimeoutError` and leaves it behind when it hangs."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - carried over to the caller
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(seconds)


def _gpus(settings: Settings) -> Iterator[Check]:
    if not settings.gpus:
        yield Check("driver", Status.OK, "GPUs are switched off in the settings; none are read.")
        return
    session = Session()
    try:
        found = _within(_DRIVER_SECONDS, GpuDiscovery(session, host=settings.host).find)
    except TimeoutError:
        hint = "look for stuck processes in state D and for Xid messages in the kernel log"
        yield Check("driver", Status.FAIL, "The NVIDIA driver hangs: it does not answer.", hint)
        return
    except (DriverError, DriverBusy) as error:
        status = Status.FAIL if settings.expected_gpus else Status.WARN
        yield Check(
            "driver", status, f"No GPU can be read: {_ended(error)}", "without a GPU set gpus = false"
        )
        return
    yield _count(settings, [source.name.removeprefix("gpu:") for source in found])
    yield _kernel_log(settings)
    try:
        troubles = list(look(settings.data_dir / FILE_NAME).troubles.values())
    except UnreadableError as fault:
        troubles = []
        yield Check("hardware", Status.WARN, f"{fault}.", "what stands against GPUs is not known from it")
    for source in found:
        yield from _gpu(source, session, troubles)


def _count(settings: Settings, seen: Sequence[str]) -> Check:
    expected = settings.expected_gpus
    named = expected if isinstance(expected, tuple) else ()
    missing = [uuid for uuid in named if uuid not in seen]
    if missing or (expected is not None and len(seen) != number_of(expected)):
        hint = "a GPU that is missing has fallen off the bus or is hidden from this container"
        which = f" Missing: {', '.join(missing)}." if missing else ""
        sentence = f"{len(seen)} GPUs answer, {number_of(expected or 0)} are expected.{which}"
        return Check("driver", Status.FAIL, sentence, hint)
    return Check("driver", Status.OK if seen else Status.WARN, f"The driver answers; GPUs: {len(seen)}.")


def _kernel_log(settings: Settings) -> Check:
    """Say by which ways an Xid would become known."""
    name = "kernel log"
    if settings.kernel_log is None:
        return Check(name, Status.OK, "It is switched off; Xids are known from the driver's events alone.")
    try:
        open_log(settings.kernel_log, boot="").close()
    except OSError as error:
        hint = "what happens before the agent starts, or while the driver hangs, is known from it alone"
        sentence = f"{settings.kernel_log}: {error.strerror}; Xids are known from the driver's events alone."
        return Check(name, Status.WARN, sentence, hint)
    return Check(name, Status.OK, f"Xids are read from {settings.kernel_log} as well.")


def _gpu(source: GpuSource, session: Session, troubles: Sequence[Trouble]) -> Iterator[Check]:
    samples = _samples(source)
    if not samples or not samples[0].up:
        hint = "see the kernel log for an Xid; a reset or a reboot may be due"
        yield Check(source.name, Status.FAIL, "The GPU is lost or its driver call hangs.", hint)
        return
    sample, *instances = samples
    title = f"GPU {sample.gpu_index} {sample.gpu_model}, driver {sample.driver_version}"
    untold = [name for name in _NEEDED if getattr(sample, name) is None]
    hint = f"not told by this GPU: {', '.join(untold)}" if untold else ""
    yield Check(source.name, Status.WARN if untold else Status.OK, f"{title}: readable.", hint)
    yield from _board(source, session)
    yield _health(sample, [trouble for trouble in troubles if trouble.gpu == sample.gpu_uuid])
    yield _activity(f"{source.name} activity", sample, source.withdrawn)
    yield _peaks(sample)
    for instance in instances:
        name = f"{source.name} MIG {instance.mig_profile} {instance.gpu_uuid}"
        yield _activity(name, instance, frozenset())


def _health(sample: GpuSample, troubles: Sequence[Trouble]) -> Check:
    """Say what is wrong with a GPU that answers, and which Xids an agent here noted against it."""
    name = f"health of {sample.gpu_uuid}"
    noted = [f"Xid {trouble.code} stands ({trouble.verdict})" for trouble in troubles]
    wrong = "; ".join([*noted, *ailing.concerns(sample)])
    if not wrong:
        return Check(name, Status.OK, "Nothing stands against it.")
    fatal = sample.recovery_action or any(trouble.verdict is Verdict.FATAL for trouble in troubles)
    return Check(
        name, Status.FAIL if fatal else Status.WARN, f"{wrong}.", "docs/hardware.md says what ends each"
    )


def _peaks(sample: GpuSample) -> Check:
    name, peak = f"peaks of {sample.gpu_uuid}", peak_of(sample.gpu_model)
    if peak is None:
        sentence = f"None are listed for {sample.gpu_model}: its MFU and MBU are absent."
        return Check(name, Status.OK, sentence)
    told = f"{peak.teraflops:,g} TFLOP/s (FP16), {peak.gigabytes_per_second:,g} GB/s"
    return Check(name, Status.OK, f"{told}.")


def _board(source: GpuSource, session: Session) -> Iterator[Check]:
    try:
        card = _within(_DRIVER_SECONDS, lambda: read_card(session, source.identity.uuid))
    except (TimeoutError, DriverError, DriverBusy):
        return  # it answered a moment ago: the next examination tells more
    hint = "; ".join(concerns(card))
    yield Check(f"{source.name} board", Status.WARN if hint else Status.OK, described(card), hint)


def _samples(source: GpuSource) -> list[GpuSample]:
    """Return the last of a few readings, of the GPU and its MIG instances; empty when it hangs.

    Activity is what lies between two readings, and a counter is a liar only after some more.
    """

    def read() -> list[GpuSample]:
        for _ in range(_READINGS):
            records = source.read(HostClock().now_us()).records
            time.sleep(_GPM_PAUSE_SECONDS)
        source.close()
        return [record for record in records if isinstance(record, GpuSample)]

    try:
        return _within(_DRIVER_SECONDS, read)
    except TimeoutError:
        return []


def _activity(name: str, sample: GpuSample, withdrawn: frozenset[ActivitySource]) -> Check:
    ratios = {
        "SM": sample.sm_activity_ratio,
        "tensor": sample.tensor_activity_ratio,
        "DRAM": sample.dram_activity_ratio,
    }
    told = ", ".join(f"{what} {'-' if value is None else f'{value:.1%}'}" for what, value in ratios.items())
    sentence = f"{told} (source {sample.activity_source or 'none'})."
    if withdrawn:
        return Check(
            name,
            Status.WARN,
            f"{sentence} Not used, for it reads zero under load: {', '.join(sorted(withdrawn))}.",
            "an Xid stopped the counters, or another profiler holds them: reset the GPU, end the profiler",
        )
    if sample.activity_source not in _REAL:
        hint = "tensor and DRAM activity need Hopper or newer, a recent driver, and leave to read them"
        return Check(name, Status.WARN, f"{sentence} SM activity is an estimate at best.", hint)
    if sample.kernel_busy_ratio and not any(ratios.values()):
        return Check(
            name,
            Status.WARN,
            f"Activity reads zero while kernels run ({sample.kernel_busy_ratio:.0%} kernel-busy).",
            "another profiler may hold the counters; a spinning kernel looks so too",
        )
    hint = "" if any(ratios.values()) else "the GPU is idle: look again under load to see them move"
    return Check(name, Status.OK, sentence, hint)


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
        told = _within(_DRIVER_SECONDS, look)
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
        return Check(name, Status.FAIL, _ended(error), "is it running, and is its address right?")
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
        yield Check("service", Status.FAIL, _ended(error), "batches stay in the spool until it answers")
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
