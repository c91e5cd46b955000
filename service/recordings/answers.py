"""Prometheus answers taken apart: from JSON to series of finite points, every fault located."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.recordings.content import JsonFile, Value
from service.recordings.recording import Place, RecordingError
from service.recordings.values import instant

_HINT: Final = "save the answer of /api/v1/query_range"


@dataclass(frozen=True, slots=True)
class RecordedSeries:
    """One series: its name, its labels without the name, its finite points (UTC us, value)."""

    name: str
    labels: Mapping[str, str]
    points: tuple[tuple[int, float], ...]


def answers(file: JsonFile) -> Mapping[str, Value] | None:
    """Return the answers of a file by name; None when it holds none.

    A file is one answer (named as the file) or an object of answers.
    """
    value = file.value
    if _is_answer(value):
        return {file.path.name.removesuffix(".gz").removesuffix(".json"): value}
    if isinstance(value, dict) and value and all(_is_answer(each) for each in value.values()):
        return value
    return None


def _is_answer(value: Value) -> bool:
    return isinstance(value, dict) and value.get("status") in ("success", "error")


def read_series(path: Path, name: str, answer: Value) -> Iterator[RecordedSeries]:
    """Yield the series of one answer; NaN and infinity are no points. Raises `RecordingError`."""
    place = Place(str(path), column=name)
    if answer["status"] != "success":
        raise RecordingError(place, f"Prometheus answered with an error ({answer.get('error')})", _HINT)
    try:
        data = answer["data"]
        kind, result = data["resultType"], data["result"]
        if kind != "matrix":
            raise RecordingError(place, f"a result of type {kind}, not matrix", _HINT)
        for each in result:
            labels = {str(label): str(text) for label, text in each["metric"].items()}
            points = tuple(_points(each["values"]))
            yield RecordedSeries(labels.pop("__name__", name), labels, points)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(place, f"not a query_range answer ({error!r})", _HINT) from None


def _points(values: Value) -> Iterator[tuple[int, float]]:
    for at, text in values:
        number = float(text)
        if math.isfinite(number):
            yield instant(at), number
