"""Turns stamped chunks into what a record holds: first byte, first content, gaps, tokens, end.

Guarantee: with stamps in order, every duration is the exact difference of two stamps, there is
one gap fewer than content chunks for each choice, and the buckets count every gap even where
the whole list is cut short. Stamps are whole microseconds of a monotonic clock and are passed
in. Standard library and `telemetry` only.
"""

from __future__ import annotations

from array import array
from typing import Final

from collector.requests.answers import EngineTimes, Said, Usage
from collector.requests.socket import MAX_GAPS
from telemetry.gaps import BUCKETS, bucket_of
from telemetry.requests import Finish

_LONGEST_GAP_US: Final = 2**32 - 1
_MOST_CHOICES: Final = 1024
_MOST_CALLS: Final = 1024


class AnswerMeter:
    """What one answer has shown so far. Stamps are microseconds since any fixed instant."""

    def __init__(self) -> None:
        self.first_byte_us: int | None = None
        self.first_content_us: int | None = None
        self.last_content_us: int | None = None
        self.last_byte_us: int | None = None
        self.chunks = 0
        """Chunks with content, which need not be tokens."""
        self.readable = False
        """Whether any of the answer could be read."""
        self.done = False
        self.error: str | None = None
        self.usage: Usage | None = None
        self.times: EngineTimes | None = None
        self.gap_max_us: int | None = None
        self.gap_buckets = [0] * BUCKETS
        self._gaps = array("I")
        self._last_by_choice: dict[int, int] = {}
        self._finishes: dict[int, Finish | None] = {}
        self._calls: set[tuple[int, int]] = set()

    def bytes_at(self, at_us: int) -> None:
        """Note that bytes of the answer (not a keep-alive) came."""
        if self.first_byte_us is None:
            self.first_byte_us = at_us
        self.last_byte_us = at_us

    def say(self, said: Said, at_us: int) -> None:
        """Take in what one chunk says."""
        self.readable = True
        for choice in said.content:
            self._content(choice, at_us)
        for choice, finish in said.finished:
            if len(self._finishes) < _MOST_CHOICES:
                self._finishes[choice] = finish
        if said.calls and len(self._calls) < _MOST_CALLS:
            self._calls.update(said.calls)
        self.usage = said.usage or self.usage
        self.times = said.times or self.times
        self.error = self.error or said.error
        self.done = self.done or said.done

    def _content(self, choice: int, at_us: int) -> None:
        if self.first_content_us is None:
            self.first_content_us = at_us
        before = self._last_by_choice.get(choice)
        if before is None and len(self._last_by_choice) >= _MOST_CHOICES:
            return
        self._last_by_choice[choice] = self.last_content_us = at_us
        self.chunks += 1
        if before is not None:
            self._gap(min(at_us - before, _LONGEST_GAP_US))

    def _gap(self, gap_us: int) -> None:
        self.gap_buckets[bucket_of(gap_us)] += 1
        self.gap_max_us = gap_us if self.gap_max_us is None else max(self.gap_max_us, gap_us)
        if len(self._gaps) <= MAX_GAPS:
            self._gaps.append(gap_us)

    @property
    def gaps_us(self) -> tuple[int, ...] | None:
        """Every gap in order of arrival; None when there were more than `MAX_GAPS`."""
        return tuple(self._gaps) if len(self._gaps) <= MAX_GAPS else None

    @property
    def finish(self) -> Finish | None:
        """Why the first choice stopped; None while it has not, or for a word we do not know."""
        return self._finishes[min(self._finishes)] if self._finishes else None

    @property
    def tool_calls(self) -> int:
        """How many tool calls the answer makes."""
        return len(self._calls)

    def complete(self, choices: int) -> bool:
        """Whether the user has a whole answer: the end mark, or a reason to stop for each choice."""
        return self.done or len(self._finishes) >= choices
