"""Every way in which request records come to an agent: its socket, OTLP spans, logs.

The socket is always there; the others by `otlp` and `request_logs` of the settings.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from collector.clock import HostClock
from collector.export.health import Vital, counter, counters, gauges
from collector.intake import Deliver, Intake
from collector.requests.log_formats import format_of
from collector.requests.log_tail import LogTail
from collector.requests.mapped import RecordMaker
from collector.settings import Settings

if TYPE_CHECKING:
    from collector.requests.otlp import OtlpDoor

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.25
_SEALS_TO_WAIT: Final = 3
"""A line read so many seals ago has been sealed."""


class RequestDoors:
    """The doors of one agent. Raises `OSError` when one cannot be opened."""

    def __init__(self, settings: Settings, *, clock: HostClock, deliver: Deliver) -> None:
        self.intake = Intake(settings.records_socket, deliver=deliver)
        self.otlp = _otlp_door(settings, clock, deliver)
        self.tails = [
            LogTail(
                target.path,
                RecordMaker(format_of(target.format), host=settings.host),
                kept_in=settings.data_dir,
                lag_seconds=_SEALS_TO_WAIT * settings.seal_seconds,
            )
            for target in settings.request_logs
        ]
        self._clock = clock
        self._deliver = deliver
        self._unreadable: set[LogTail] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="request-logs", daemon=True)

    def start(self) -> None:
        """Begin to take records."""
        self.intake.start()
        if self.otlp:
            self.otlp.start()
        for tail in self.tails:
            self._look(tail)  # at once: what is written from now on is new
        if self.tails:
            self._thread.start()

    def stop(self, *, grace_seconds: float) -> None:
        """Take what is there, then close the doors."""
        self._stop.set()
        if self.otlp:
            self.otlp.stop()
        self.intake.stop(grace_seconds=grace_seconds)
        if self.tails:
            self._thread.join(grace_seconds)

    def settled(self) -> None:
        """Note that all that was delivered has been sealed: no line need be read again."""
        for tail in self.tails:
            tail.close()

    def vitals(self) -> Sequence[Vital]:
        """Return what came in, and what of it was no record."""
        refused = {str(reason): count for reason, count in dict(self.intake.receiver.refused).items()}
        found = [
            counter("records_received_total", "Request records taken.", self.intake.receiver.received),
            counters("datagrams_refused_total", "Datagrams that were no records.", "reason", refused),
        ]
        if self.otlp:
            spans = dict(self.otlp.intake.counts)
            found.append(
                counters("otlp_spans_total", "Spans taken, by what became of them.", "outcome", spans)
            )
        if self.tails:
            lines = {f"{tail.path}": float(tail.counts["recorded"]) for tail in self.tails}
            skipped = {f"{tail.path}": float(tail.counts["refused"]) for tail in self.tails}
            failing = {f"{tail.path}": float(tail in self._unreadable) for tail in self.tails}
            found += [
                counters("log_records_total", "Records read from a request log.", "path", lines),
                counters(
                    "log_lines_refused_total", "Lines of a request log that were skipped.", "path", skipped
                ),
                gauges("log_unreadable", "1 while a request log cannot be read.", "path", failing),
            ]
        folded = {f"{tail.path}": tail.folded for tail in self.tails}
        if self.otlp:
            folded["otlp"] = self.otlp.intake.folded
        found.append(
            counters("names_folded_total", "Times a tenant or model became __other__.", "door", folded)
        )
        return found

    def _follow(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            for tail in self.tails:
                while self._look(tail) and not self._stop.is_set():
                    pass

    def _look(self, tail: LogTail) -> int:
        """Read a portion of a log; return how many lines that was."""
        try:
            lines = tail.read(self._deliver, self._clock.now_us())
        except OSError as error:
            if tail not in self._unreadable:
                log.error("read %s: %s; tried again until it works", tail.path, error.strerror)  # noqa: TRY400 - the message is whole
            self._unreadable.add(tail)
            return 0
        self._unreadable.discard(tail)
        return lines


def _otlp_door(settings: Settings, clock: HostClock, deliver: Deliver) -> OtlpDoor | None:
    if settings.otlp is None:
        return None
    # Protobuf takes 5 MB of memory: only from those who want it.
    from collector.requests.otlp import OtlpDoor, SpanIntake  # noqa: PLC0415

    spans = SpanIntake(host=settings.host, clock=clock, deliver=deliver)
    return OtlpDoor(spans, settings.otlp)
