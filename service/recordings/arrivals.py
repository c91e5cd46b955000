"""Traces that recorded arrivals and lengths only: which columns they have, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.recordings.content import Row, RowFile
from service.recordings.reading import Reading, value_at
from service.recordings.recording import Arrival, Place, RecordingError
from service.recordings.values import Convert, count, duration, instant


@dataclass(frozen=True, slots=True)
class Trace:
    """A published trace format: the columns of instant, prompt length and answer length."""

    title: str
    at: str
    read_at: Convert
    prompt: str
    output: str


TRACES: Final = (
    Trace("Azure LLM inference trace", "TIMESTAMP", instant, "ContextTokens", "GeneratedTokens"),
    Trace("Mooncake trace", "timestamp", duration(1_000), "input_length", "output_length"),
)


def trace_of(names: Sequence[str]) -> Trace | None:
    """Return the trace format whose columns these are; None for none."""
    return next((each for each in TRACES if {each.at, each.prompt, each.output} <= set(names)), None)


def read_arrivals(file: RowFile, trace: Trace, reading: Reading) -> list[Arrival]:
    """Return the arrivals of a trace, in the order recorded. Raises `RecordingError`."""
    reading.note(
        f"{file.path.name}: {trace.title} of arrivals and lengths; it holds no latency and no outcome, "
        "so nothing but the load can be judged from it (replay it with the simulator)"
    )
    found: list[Arrival] = []
    for row in reading.rows(file):
        try:
            found.append(_arrival(file, row, trace))
        except RecordingError as error:
            reading.skip(error)
    return found


def _arrival(file: RowFile, row: Row, trace: Trace) -> Arrival:
    at_us, prompt, output = (
        value_at(file.path, row, name, convert)
        for name, convert in ((trace.at, trace.read_at), (trace.prompt, count), (trace.output, count))
    )
    if at_us is None or prompt is None or output is None:
        raise RecordingError(Place(str(file.path), row.line), "a value is missing", "correct the row")
    return Arrival(at_us, prompt, output)
