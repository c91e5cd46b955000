"""What an indicator is: a rule that calls each fact good, bad, or not its business.

One file in `slo.indicators` holds one indicator: a frozen dataclass whose fields are its
parameters. A field named `<name>_us` is a duration, written `<name>: 2s` in a file.

An indicator counts in its own unit: requests, or the tokens, gaps and samples that a fact holds.

The rules that all indicators of requests share, unless one says otherwise:

- synthetic requests (our own probes) are never counted;
- a request refused for the caller's own mistake (HTTP 4xx, except 408 and 429) is not counted;
- a request that failed is counted and bad, whatever its timings say;
- a limit is inclusive: exactly at the limit is good;
- a value nobody measured is not counted: None is neither good nor bad;
- a request its client aborted is judged by what was certain when the client left. It is bad
  if a limit was broken by then, good if everything asked had been measured and kept, and not
  counted while the answer was still open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np

from slo.durations import MICROS_PER_DAY
from slo.errors import ObjectiveError
from telemetry.frame import Frame, Ints, Mask, Numbers
from telemetry.identity import Vantage
from telemetry.requests import Status

_SERVERS_FAULT: Final = (408, 429)
"""Statuses among HTTP 4xx that say the service was too slow or too full."""

LONGEST_LIMIT_US: Final = MICROS_PER_DAY
"""Times `MOST_TOKENS`, this still fits the integers that are compared."""

MOST_TOKENS: Final = 100_000_000
"""More of one request are taken as these: a limit times them still fits the integers."""

OUTCOME_COLUMNS: Final = ("synthetic", "status", "http_status")
"""What `judged` reads."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A verdict on each row, in the indicator's unit: 0 <= `good` <= `total`; 0 of 0 = not counted."""

    good: Ints
    total: Ints

    @classmethod
    def of_rows(cls, good: Mask, counted: Mask) -> Self:
        """Return verdicts in which each counted row is one; `good` implies `counted`."""
        return cls(good.astype(np.int64), counted.astype(np.int64))

    @property
    def counted(self) -> Mask:
        """The rows that count."""
        counted: Mask = self.total > 0
        return counted

    @property
    def broken(self) -> Mask:
        """The rows of which anything was bad."""
        broken: Mask = self.good < self.total
        return broken

    def among(self, rows: Mask) -> Verdicts:
        """Return the verdicts on some rows; no other counts."""
        return Verdicts(self.good * rows, self.total * rows)

    def weighed(self, units: Ints) -> Verdicts:
        """Return the verdicts with each row worth `units` times as much."""
        return Verdicts(self.good * units, self.total * units)


@dataclass(frozen=True, slots=True)
class Promise:
    """Whether something was kept, on each row: `kept`, `broken`, or neither (not known).

    Three-valued logic: a part that is not known matters only where the others do not settle it.
    """

    kept: Mask
    broken: Mask

    def __and__(self, other: Promise) -> Promise:
        """Return the promise to keep both: broken by one, kept only by both."""
        return Promise(self.kept & other.kept, self.broken | other.broken)

    def __or__(self, other: Promise) -> Promise:
        """Return the promise to keep either: kept by one, broken only by both."""
        return Promise(self.kept | other.kept, self.broken & other.broken)

    def __invert__(self) -> Promise:
        """Return the promise to break it."""
        return Promise(self.broken, self.kept)


class Indicator(ABC):
    """A rule over one table of facts. Instances are frozen dataclasses of its parameters."""

    __slots__ = ()

    kind: ClassVar[str]
    """Its name in files: `ttft`."""
    table: ClassVar[str] = "requests"
    unit: ClassVar[str] = "requests"
    """What it counts, in the plural: the total of a ratio names it."""
    columns: ClassVar[tuple[str, ...]]
    """The columns of `table` that every indicator of its kind reads."""

    @abstractmethod
    def judge(self, facts: Frame) -> Verdicts:
        """Return the verdict on every row of a frame of `table`. Vectorised, no state."""

    @abstractmethod
    def promise(self) -> str:
        """Return the promise in words: `first token within 2s`."""

    def reads(self) -> tuple[str, ...]:
        """Return the columns of `table` that `judge` reads."""
        return self.columns

    def overdue(self, in_flight: Frame) -> Mask:
        """Return the unended requests that are already certain to be bad.

        Only what no later event can mend is true here, so that counting it early and not
        again at its end gives the same sums as judging it once at its end. For the same reason
        nothing is certain where a request counts for more than one: its end says for how many.
        """
        return np.zeros(in_flight.rows, dtype=np.bool_)


class RequestIndicator(Indicator):
    """An indicator of ended requests: it states its promise, the shared rules do the rest."""

    __slots__ = ()

    @abstractmethod
    def kept(self, requests: Frame) -> Promise:
        """Return whether the promise was kept, by the timings alone."""

    def judge(self, facts: Frame) -> Verdicts:
        """Return the verdict on every request, by the rules at the top of this module."""
        return judged(facts, self.kept(facts))


def judged(requests: Frame, promise: Promise) -> Verdicts:
    """Return the verdicts that follow from a promise and from how each request ended."""
    ours, bad = answerable(requests), failed(requests)
    good = ours & ~bad & promise.kept
    return Verdicts.of_rows(good, good | (ours & (bad | promise.broken)))


def answerable(requests: Frame) -> Mask:
    """Return the requests the service answers for: a user's, and not the caller's own mistake."""
    http = requests.numbers("http_status")
    mistaken = http.valid & (http.values // 100 == 4) & ~np.isin(http.values, _SERVERS_FAULT)
    answerable: Mask = ~mistaken & (requests.numbers("synthetic").values == 0)
    return answerable


def failed(requests: Frame) -> Mask:
    """Return the requests that ended in a failure."""
    return requests.texts("status").equals(Status.ERROR)


def within(value: Numbers, limit: int) -> Promise:
    """Return the promise that a measured value is at most `limit`; unmeasured is unknown."""
    return Promise(value.valid & (value.values <= limit), value.valid & (value.values > limit))


def tokens_given(requests: Frame, failure_tokens: int) -> Ints:
    """Return what each request is worth in output tokens: those it gave, none if nobody counted.

    A failed one is worth at least `failure_tokens`: what it did not give is what was lost.
    """
    tokens = requests.numbers("output_tokens")
    given: Ints = np.clip(tokens.values, 0, MOST_TOKENS) * tokens.valid
    return np.where(failed(requests), np.maximum(given, failure_tokens), given)


def require_count(**counts: int) -> None:
    """Raise `ObjectiveError` naming the first count that is not in [1, `MOST_TOKENS`]."""
    for name, count in counts.items():
        if not 0 < count <= MOST_TOKENS:
            raise ObjectiveError(name, f"{count} is not in 1 .. {MOST_TOKENS:,}", "write one such as 100")


def ended_well(requests: Frame) -> Mask:
    """Return the requests that ended by themselves, without failure or abort."""
    return requests.texts("status").equals(Status.OK)


def left_without_token(requests: Frame) -> Mask:
    """Return the requests whose client left before any token came.

    Only where that is known: a stream timed at the edge, where a missing TTFT means that no
    token passed, not that nobody looked.
    """
    streamed: Mask = requests.numbers("stream").values != 0
    watched = streamed & requests.texts("vantage").equals(Vantage.EDGE)
    aborted = requests.texts("status").equals(Status.ABORTED)
    return watched & aborted & ~requests.numbers("ttft_us").valid


def waiting_us(in_flight: Frame) -> Numbers:
    """Return how long each unended stream has gone without a first token; invalid once it came.

    A request whose answer comes whole has no first token that could be late.
    """
    elapsed = in_flight.numbers("at_us").values - in_flight.numbers("started_at_us").values
    streamed = in_flight.numbers("stream").values != 0
    silent = streamed & ~in_flight.numbers("ttft_us").valid
    return Numbers(np.where(silent, elapsed, 0), silent)


def require_limits(**limits_us: int | None) -> None:
    """Raise `ObjectiveError` naming the first limit that is not in (0, 1 day]; None is no limit."""
    for name, limit_us in limits_us.items():
        if limit_us is not None and not 0 < limit_us <= LONGEST_LIMIT_US:
            cause = "a limit must be longer than nothing and at most a day"
            raise ObjectiveError(name, cause, "write one such as 2s")
