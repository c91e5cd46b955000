"""DCGM rows in long form (one row for each instant, field and GPU) to GPU samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final

from service.recordings.content import Row, RowFile
from service.recordings.gpu_columns import FIELDS, NO_UUID, RecordedGpu, column_value, gpu_samples
from service.recordings.reading import Reading, value_at
from service.recordings.recording import Place, RecordingError
from service.recordings.values import finite, instant, missing, text
from telemetry.samples import GpuSample

_AT: Final = "ts"
_NEEDED: Final = frozenset({_AT, "metric", "gpu", "value"})
_HOST: Final = ("hostname", "Hostname", "host")
_UUID: Final = ("UUID", "uuid", "gpu_uuid")
_MODEL: Final = ("modelName", "model_name", "gpu_model")


def are_gpu_rows(names: Sequence[str]) -> bool:
    """Tell whether rows of these columns are DCGM's."""
    return set(names) >= _NEEDED


def read_gpu_rows(file: RowFile, reading: Reading) -> list[GpuSample]:
    """Return the samples of a file; fields we have no column for are counted in a note."""
    cells: dict[tuple[int, RecordedGpu], dict[str, Any]] = defaultdict(dict)
    unknown: Counter[str] = Counter()
    for row in reading.rows(file):
        try:
            field, at_us, gpu, number = _row(file, row)
        except RecordingError as error:
            reading.skip(error)
            continue
        if field not in FIELDS:
            unknown[field] += 1
        elif number is not None:
            column, value = column_value(field, number)
            cells[at_us, gpu][column] = value
    if unknown:
        reading.note(f"{file.path.name}: no column of ours for {', '.join(sorted(unknown)[:8])}")
    if any(gpu.uuid is None for _, gpu in cells):
        reading.note(NO_UUID)
    return gpu_samples(cells)


def _row(file: RowFile, row: Row) -> tuple[str, int, RecordedGpu, float | None]:
    at_us = value_at(file.path, row, _AT, instant)
    index = value_at(file.path, row, "gpu", text)
    if at_us is None or index is None:
        raise RecordingError(Place(str(file.path), row.line), "no instant or no GPU", "correct the row")
    gpu = RecordedGpu(
        host=_first(file, row, _HOST) or "unknown-host",
        index=index.removeprefix("nvidia"),
        uuid=_first(file, row, _UUID),
        model=_first(file, row, _MODEL),
    )
    number: float | None = value_at(file.path, row, "value", finite)
    return str(row.values["metric"]), at_us, gpu, number


def _first(file: RowFile, row: Row, names: Sequence[str]) -> str | None:
    for name in names:
        if not missing(row.values.get(name)):
            found: str | None = value_at(file.path, row, name, text)
            return found
    return None
