"""What is said of one recording, as values. None always means that nothing in it measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anomalies.finding import Finding


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds. Each is a measured value: of n sorted ones the one at place floor(share x n)."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Goodput:
    """`good` of `total` counted requests kept every limit."""

    good: int
    total: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Nano-currency: the bill, and the ledger that sums to it, by class."""

    bill_nano: int
    ledger_nano: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Load:
    """What a trace of arrivals asks of a fleet."""

    arrivals: int
    prompt_tokens: int
    output_tokens: int
    span_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said of one recording. `notes` are sentences a person must see.

    `window_us` is the time judged, [from, to) UTC. `findings` None = none could be looked for,
    empty = none was found; one without an end lasts until the recording ends.
    """

    name: str
    window_us: tuple[int, int] | None = None
    requests: int | None = None
    errors: int | None = None
    ttft: Spread | None = None
    tpot: Spread | None = None
    e2e: Spread | None = None
    goodput: Goodput | None = None
    findings: tuple[Finding, ...] | None = None
    cost: Cost | None = None
    load: Load | None = None
    notes: tuple[str, ...] = ()
