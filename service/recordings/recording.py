"""What a recording holds once read, and the one error of reading it."""

from __future__ import annotations

from dataclasses import dataclass

from telemetry.events import Event
from telemetry.placement import Placement
from telemetry.requests import RequestRecord
from telemetry.samples import EngineSample, GpuSample


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a recording: a file, and the line and column in it when there is one."""

    file: str
    line: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        line = "" if self.line is None else f", line {self.line:,}"
        column = "" if self.column is None else f", column {self.column}"
        return f"{self.file}{line}{column}"


class RecordingError(ValueError):
    """A recording that cannot be read; the message is place, cause and hint."""

    def __init__(self, place: Place, cause: str, hint: str) -> None:
        super().__init__(f"read {place}: {cause}; {hint}")
        self.place = place
        self.cause = cause
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request of a trace that recorded no answer: when it came (UTC or since the start), and how big.

    There is no latency and no outcome in it, so it is never a `RequestRecord`.
    """

    at_us: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recorded incident: what `inferometer import` judges.

    Rows are in the order of time and the same each time they are read. `window_us` is
    [from, to) UTC as the recording states it, else the extent of its rows; None when nothing
    in it has a time. `timed` is false when request rows carry no instant: they then lie at
    the epoch, and nothing over time can be judged from them. `skipped_rows` were unreadable
    and tolerated. `notes` are sentences a person must see.
    """

    name: str
    requests: tuple[RequestRecord, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    gpu_samples: tuple[GpuSample, ...] = ()
    engine_samples: tuple[EngineSample, ...] = ()
    placements: tuple[Placement, ...] = ()
    events: tuple[Event, ...] = ()
    window_us: tuple[int, int] | None = None
    timed: bool = True
    skipped_rows: int = 0
    notes: tuple[str, ...] = ()
