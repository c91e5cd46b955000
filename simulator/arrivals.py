"""What arrives: replayed from a trace file, or generated from a seed.

Arrivals are in order of time, counted in microseconds from the start of the run, so the same
ones serve the virtual clock and the real one.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from random import Random
from typing import Final, TextIO

from simulator.errors import SpecError, TraceError
from telemetry.identity import UNKNOWN_TENANT
from telemetry.units import MICROS_PER_SECOND

MAX_ARRIVALS: Final = 5_000_000
"""Most arrivals taken from one trace or generated for one traffic."""

_COLUMNS: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request that will be made `at_us` after the start."""

    request_id: str
    at_us: int
    prompt_tokens: int
    output_tokens: int
    """What the model would say; it is cut at `max_output_tokens`."""
    max_output_tokens: int | None = None
    tenant: str = UNKNOWN_TENANT
    pool: str | None = None
    """None = the fleet's first pool."""
    prefix: str | None = None
    """Requests with the same text share their first `prefix_tokens` tokens."""
    prefix_tokens: int = 0
    patience_us: int | None = None
    """The client hangs up this long after arriving if it is not done; None = it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Who sends a share of the traffic, and how much of each prompt they have in common."""

    name: str
    weight: float = 1.0
    prefix_tokens: int = 0
    """Length of the tenant's system prompt; 0 = nothing shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """A lognormal number of tokens, cut to `1 … most`."""

    median: float
    sigma: float
    most: int

    def draw(self, random: Random) -> int:
        """Return one length in tokens."""
        return max(1, min(self.most, round(random.lognormvariate(math.log(self.median), self.sigma))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """A stretch in which the rate is multiplied: the overload of the fault catalogue."""

    start_us: int
    end_us: int
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A Poisson stream to one pool."""

    pool: str
    rate_per_second: float
    prompt: Length
    output: Length
    tenants: tuple[Tenant, ...]
    surges: tuple[Surge, ...] = ()
    impatient_ratio: float = 0.0
    """Share of requests whose client hangs up after `patience_us`."""
    patience_us: int = 60 * MICROS_PER_SECOND

    def __post_init__(self) -> None:
        """Refuse traffic that never comes or comes from nobody."""
        if self.rate_per_second <= 0 or not self.tenants or any(t.weight <= 0 for t in self.tenants):
            raise SpecError(f"traffic to {self.pool}: rate, tenants and their weights must be above zero")
        if any(surge.factor < 0 for surge in self.surges):
            raise SpecError(f"traffic to {self.pool}: a surge's factor must not be below zero")

    def rate_at(self, at_us: int) -> float:
        """Return the requests a second at an instant, surges included."""
        factors = [surge.factor for surge in self.surges if surge.start_us <= at_us < surge.end_us]
        return self.rate_per_second * math.prod(factors)

    @property
    def highest_rate(self) -> float:
        """A rate per second that is never exceeded."""
        return self.rate_per_second * math.prod(max(1.0, surge.factor) for surge in self.surges)


def generate(traffic: Traffic, *, seed: int, until_us: int) -> Iterator[Arrival]:
    """Yield the arrivals before `until_us`; the same seed gives the same ones for ever.

    The varying rate is drawn by thinning: candidates at the highest rate, kept in proportion.
    Ends after `MAX_ARRIVALS`.
    """
    random = Random(f"{seed}/{traffic.pool}")  # noqa: S311 - reproducible, not secret
    highest = traffic.highest_rate
    at = 0.0
    made = 0
    while made < MAX_ARRIVALS:
        at += random.expovariate(highest) * MICROS_PER_SECOND
        if at >= until_us:
            return
        if random.random() * highest >= traffic.rate_at(int(at)):
            continue
        yield _drawn(traffic, random, request_id=f"sim-{traffic.pool}-{seed}-{made}", at_us=int(at))
        made += 1


def _drawn(traffic: Traffic, random: Random, *, request_id: str, at_us: int) -> Arrival:
    tenant = _tenant(traffic.tenants, random)
    impatient = random.random() < traffic.impatient_ratio
    return Arrival(
        request_id=request_id,
        at_us=at_us,
        prompt_tokens=tenant.prefix_tokens + traffic.prompt.draw(random),
        output_tokens=traffic.output.draw(random),
        max_output_tokens=traffic.output.most,
        tenant=tenant.name,
        pool=traffic.pool,
        prefix=f"{traffic.pool}/{tenant.name}" if tenant.prefix_tokens else None,
        prefix_tokens=tenant.prefix_tokens,
        patience_us=traffic.patience_us if impatient else None,
    )


def _tenant(tenants: Sequence[Tenant], random: Random) -> Tenant:
    return random.choices(tenants, weights=[tenant.weight for tenant in tenants])[0]


def merged(streams: Iterable[Iterable[Arrival]]) -> Iterator[Arrival]:
    """Yield several streams, each in order of time, as one in order of time."""
    return heapq.merge(*streams, key=attrgetter("at_us"))


def replay(path: Path, *, tenants: Sequence[Tenant] = (), seed: int = 0) -> Iterator[Arrival]:
    """Yield the arrivals of an Azure LLM inference trace, plain or gzipped, from its first row on.

    A trace names no tenants: `tenants` share its requests by weight, drawn from `seed`; without
    any they are `__unknown__`. Rows may be out of order only within the file's own rounding:
    raises `TraceError` for that, a missing column, a bad value or more than `MAX_ARRIVALS`.
    """
    random = Random(seed)  # noqa: S311 - reproducible, not secret
    start: datetime | None = None
    before_us = 0
    with _opened(path) as text:
        rows = csv.DictReader(text)
        missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise TraceError(f"replay {path}: no column {missing[0]}; an Azure trace has {_COLUMNS}")
        for number, row in enumerate(rows):
            at, prompt, output = _values(path, number + 2, row)
            start = start or at
            at_us = (at - start) // timedelta(microseconds=1)
            if at_us < before_us or number >= MAX_ARRIVALS:
                raise TraceError(
                    f"replay {path} line {number + 2}: earlier than the line before, or past "
                    f"{MAX_ARRIVALS:,} rows; sort the file by TIMESTAMP or cut it"
                )
            before_us = at_us
            yield Arrival(
                request_id=f"replay-{seed}-{number}",
                at_us=at_us,
                prompt_tokens=prompt,
                output_tokens=output,
                tenant=_tenant(tenants, random).name if tenants else UNKNOWN_TENANT,
            )


def _values(path: Path, line: int, row: dict[str, str]) -> tuple[datetime, int, int]:
    try:
        # Seven decimals in the 2023 files, an offset after six in the 2024 ones.
        at = datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=UTC)
        prompt, output = int(row["ContextTokens"]), int(row["GeneratedTokens"])
    except (ValueError, TypeError, KeyError) as error:
        raise TraceError(f"replay {path} line {line}: {error}; expected a time and two counts") from None
    if prompt < 1 or output < 1:
        raise TraceError(f"replay {path} line {line}: token counts must be at least 1")
    return at, prompt, output


def _opened(path: Path) -> TextIO:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8", newline="")
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise TraceError(f"replay {path}: {error.strerror}; give a readable CSV file") from None
