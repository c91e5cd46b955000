"""Reading a recording: a file or a folder of files, each taken for what its content is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service.recordings.answers import RecordedSeries, answers, read_series
from service.recordings.arrivals import read_arrivals, trace_of
from service.recordings.content import JsonFile, RowFile, content
from service.recordings.dcgm import are_gpu_rows, read_gpu_rows
from service.recordings.prometheus import read_engines, read_gpus
from service.recordings.reading import Progress, Reading
from service.recordings.recording import Arrival, Place, Recording, RecordingError
from service.recordings.request_columns import are_requests
from service.recordings.requests import read_requests
from service.recordings.values import instant
from telemetry.identity import Vantage
from telemetry.requests import RequestRecord
from telemetry.samples import EngineSample, GpuSample

MAX_FILES: Final = 10_000
_KNOWN: Final = (
    "request rows that say how long each took (e2e_s and the like), Prometheus query_range answers, "
    "DCGM rows (ts, metric, gpu, value) and Azure or Mooncake traces are"
)


@dataclass(slots=True)
class _Found:
    """What has been read of a recording so far."""

    request_files: list[RowFile] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    gpus: list[GpuSample] = field(default_factory=list)
    series: list[RecordedSeries] = field(default_factory=list)
    window_us: tuple[int, int] | None = None
    strange: list[Path] = field(default_factory=list)


def read(path: Path, *, tolerated_rows: int = 0, progress: Progress | None = None) -> Recording:
    """Return the recording at a path: a file, or a folder with all files under it.

    `tolerated_rows` unreadable rows are skipped, counted and told; one more raises
    `RecordingError`, as does anything that cannot be read or holds nothing to judge.
    `progress` is called with the file and its rows so far.
    """
    reading = Reading(tolerated_rows) if progress is None else Reading(tolerated_rows, progress)
    found = _Found()
    for each in _files(path):
        _sort(each, found, reading)
    engines = read_engines(found.series, reading)
    gpus = sorted(
        [*found.gpus, *read_gpus(found.series, reading)], key=lambda sample: (sample.at_us, sample.gpu_uuid)
    )
    requests, timed = _requests(found.request_files, engines, reading)
    if not (requests or engines or gpus or found.arrivals):
        raise RecordingError(Place(str(path)), "nothing in it is known", f"{_KNOWN} known")
    for strange in found.strange:
        reading.note(f"{strange.name}: not a recording this program knows; left out")
    return Recording(
        name=_name(path),
        requests=tuple(requests),
        arrivals=tuple(found.arrivals),
        gpu_samples=tuple(gpus),
        engine_samples=tuple(engines),
        window_us=found.window_us or _extent(requests if timed else [], engines, gpus, found.arrivals),
        timed=timed,
        skipped_rows=reading.skipped_rows,
        notes=tuple(reading.notes),
    )


def _name(path: Path) -> str:
    name = path.resolve().name
    if path.is_dir():
        return name
    return name.removesuffix(".gz").rpartition(".")[0] or name


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise RecordingError(Place(str(path)), "no such file or folder", "check the path")
    if not path.is_dir():
        return [path]
    files = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
    if len(files) > MAX_FILES:
        raise RecordingError(
            Place(str(path)), f"more than {MAX_FILES:,} files", "import its folders one by one"
        )
    return files


def _sort(path: Path, found: _Found, reading: Reading) -> None:
    """Read a file as what its content says it is; request rows wait for the model's name."""
    file = content(path)
    if isinstance(file, JsonFile) and isinstance(file.value, dict) and are_requests(file.value):
        file = RowFile(path, tuple(file.value))  # JSON lines of one line
    if isinstance(file, RowFile) and are_requests(file.names):
        found.request_files.append(file)
    elif isinstance(file, RowFile) and are_gpu_rows(file.names):
        found.gpus += read_gpu_rows(file, reading)
    elif isinstance(file, RowFile) and (trace := trace_of(file.names)) is not None:
        found.arrivals += read_arrivals(file, trace, reading)
    elif (window := _window(path, file)) is not None:
        if found.window_us not in (None, window):
            raise RecordingError(
                Place(str(path), column="window"),
                "a second window: this folder holds several recordings",
                "name each recording's own folder instead",
            )
        found.window_us = window
    elif isinstance(file, JsonFile) and (named := answers(file)) is not None:
        for name, answer in named.items():
            found.series += read_series(path, name, answer)
    else:
        found.strange.append(path)


def _window(path: Path, file: RowFile | JsonFile | None) -> tuple[int, int] | None:
    """Return the window a run description states; None for any other file."""
    if not isinstance(file, JsonFile) or not isinstance(file.value, dict) or "window" not in file.value:
        return None
    window = file.value["window"]
    try:
        start, end = instant(window["start_ts"]), instant(window["end_ts"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(
            Place(str(path), column="window"), f"not a window ({error})", "give start_ts and end_ts"
        ) from None
    if end <= start:
        raise RecordingError(
            Place(str(path), column="window"), "it ends before it starts", "swap start_ts and end_ts"
        )
    return start, end


def _requests(
    files: list[RowFile], engines: list[EngineSample], reading: Reading
) -> tuple[list[RequestRecord], bool]:
    models = {sample.model for sample in engines if sample.vantage is Vantage.ENGINE and sample.model}
    model = models.pop() if len(models) == 1 else None
    records: list[RequestRecord] = []
    timed = True
    for file in files:
        found, has_time = read_requests(file, reading, model=model)
        records += found
        timed &= has_time
    return sorted(records, key=lambda record: (record.started_at_us, record.request_id)), timed


def _extent(
    requests: list[RequestRecord],
    engines: list[EngineSample],
    gpus: list[GpuSample],
    arrivals: list[Arrival],
) -> tuple[int, int] | None:
    """Return the span of everything that has an instant, at least a microsecond long."""
    instants = [
        *(request.started_at_us for request in requests),
        *(request.ended_at_us for request in requests),
        *(sample.at_us for sample in engines),
        *(sample.at_us for sample in gpus),
        *(arrival.at_us for arrival in arrivals),
    ]
    return (min(instants), max(*instants, min(instants) + 1)) if instants else None
