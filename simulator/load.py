"""A load generator: plays arrivals in real time against OpenAI-compatible servers.

It keeps its own account of every request, so that after a kill one can say which were cut.
Bounded: in flight, in time, and in how many unhappy requests it remembers.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import aiohttp

from simulator.arrivals import Arrival
from simulator.openai_api import OUTPUT_HEADER
from telemetry.units import MICROS_PER_SECOND

_DATA: Final = b"data: "
_DONE: Final = b"[DONE]"
_MAX_LINE_BYTES: Final = 1024 * 1024


class Outcome(StrEnum):
    """How a request ended, as its client saw it."""

    OK = "ok"
    REFUSED = "refused"
    """An answer with an HTTP status of 400 or more."""
    CUT = "cut"
    """The connection failed, or the answer ended before it was complete."""
    TIMED_OUT = "timed_out"
    HUNG_UP = "hung_up"
    """The client lost its patience, as its arrival foresaw or because the run was over."""
    SHED = "shed"
    """Never sent: too many were in flight, or its pool has no target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a pool's requests go: base URLs without `/v1`, taken in turn, and the model asked for."""

    model: str
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the generator never exceeds."""

    max_in_flight: int = 512
    max_requests: int = 1_000_000
    request_seconds: float = 300.0
    drain_seconds: float | None = None
    """How long after the last arrival clients wait; None = as long as `request_seconds`."""
    remembered: int = 10_000
    """Most requests that did not end well which the report names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One request as its client saw it. Durations are microseconds; None = it did not get there."""

    request_id: str
    pool: str
    tenant: str
    outcome: Outcome
    started_at_us: int
    e2e_us: int
    ttft_us: int | None = None
    chunks: int = 0
    """Chunks with content."""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    """As the server's usage chunk states."""
    http_status: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What was played: how many ended how, and by name those that did not end well."""

    counts: Mapping[Outcome, int]
    not_ok: tuple[Played, ...]
    not_named: int
    """Further requests that did not end well, past `Limits.remembered`."""


@dataclass(slots=True)
class _Account:
    limits: Limits
    told: Callable[[Played], None] | None
    counts: Counter[Outcome] = field(default_factory=Counter)
    not_ok: list[Played] = field(default_factory=list)

    def enter(self, played: Played) -> None:
        self.counts[played.outcome] += 1
        if played.outcome is not Outcome.OK and len(self.not_ok) < self.limits.remembered:
            self.not_ok.append(played)
        if self.told is not None:
            self.told(played)

    def report(self) -> LoadReport:
        unhappy = self.counts.total() - self.counts[Outcome.OK]
        return LoadReport(
            counts=dict(self.counts), not_ok=tuple(self.not_ok), not_named=unhappy - len(self.not_ok)
        )


class _Player:
    """One run of the generator."""

    def __init__(
        self, session: aiohttp.ClientSession, targets: Mapping[str, Target], account: _Account
    ) -> None:
        self._session = session
        self._targets = targets
        self._account = account
        self._turns: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False
        self.in_flight = 0

    def begin(self, arrival: Arrival, group: asyncio.TaskGroup) -> None:
        """Send a request without waiting for it, or shed it."""
        pool = arrival.pool or next(iter(self._targets))
        target = self._targets.get(pool)
        if target is None or self.in_flight >= self._account.limits.max_in_flight:
            unsent = _unsent(arrival, pool, time.time_ns() // 1_000, Outcome.SHED)
            reason = f"{self.in_flight} in flight" if target else f"no target for pool {pool!r}"
            self._account.enter(replace(unsent, error=reason))
            return
        url = target.urls[self._turns[pool] % len(target.urls)]
        self._turns[pool] += 1
        self.in_flight += 1
        task = group.create_task(self._play(arrival, pool, target.model, url))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Let what is in flight go on for at most so long, then hang up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self._over = True
        for task in self._tasks:
            task.cancel()

    async def _play(self, arrival: Arrival, pool: str, model: str, url: str) -> None:
        started = time.perf_counter_ns()
        state = _Answer(_unsent(arrival, pool, time.time_ns() // 1_000, Outcome.CUT), started)
        try:
            async with asyncio.timeout(self._patience_seconds(arrival)):
                await self._exchange(state, arrival, model, url)
        except TimeoutError:
            state.outcome = Outcome.HUNG_UP if arrival.patience_us is not None else Outcome.TIMED_OUT
        except asyncio.CancelledError:
            if not self._over:
                raise
            state.outcome = Outcome.HUNG_UP
        except (aiohttp.ClientError, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            # What the network does, and what an answer that is no stream of OpenAI's chunks does.
            state.error = f"{type(error).__name__}: {error}"[:200]
        finally:
            self.in_flight -= 1
            self._account.enter(state.played())

    def _patience_seconds(self, arrival: Arrival) -> float:
        most = self._account.limits.request_seconds
        return most if arrival.patience_us is None else min(most, arrival.patience_us / MICROS_PER_SECOND)

    async def _exchange(self, state: _Answer, arrival: Arrival, model: str, url: str) -> None:
        headers = {
            "X-Request-Id": arrival.request_id,
            "X-Tenant-Id": arrival.tenant,
            "Authorization": f"Bearer {tenant_key(arrival.tenant)}",
            OUTPUT_HEADER: str(arrival.output_tokens),
        }
        post = self._session.post(f"{url}/v1/chat/completions", json=_body(arrival, model), headers=headers)
        async with post as response:
            state.http_status = response.status
            if response.status >= 400:
                state.outcome = Outcome.REFUSED
                state.error = (await response.content.read(200)).decode(errors="replace")
                return
            async for line in response.content:
                state.line(line)


class _Answer:
    """What of an answer has come so far."""

    def __init__(self, unsent: Played, started_ns: int) -> None:
        self._unsent = unsent
        self._started_ns = started_ns
        self._ttft_us: int | None = None
        self._chunks = 0
        self._usage: tuple[int, int] | None = None
        self.outcome = Outcome.CUT
        """Until the end has been seen."""
        self.http_status: int | None = None
        self.error: str | None = None

    def line(self, line: bytes) -> None:
        """Take in one line of the stream. Raises `ValueError` for one that is not JSON."""
        if not line.startswith(_DATA):
            return
        data = line[len(_DATA) :].strip()
        if data == _DONE:
            self.outcome = Outcome.OK
            return
        chunk = json.loads(data)
        usage = chunk.get("usage")
        if usage:
            self._usage = (int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
        if any(choice.get("delta", {}).get("content") for choice in chunk.get("choices", ())):
            self._chunks += 1
            self._ttft_us = self._ttft_us or self._elapsed_us()

    def played(self) -> Played:
        """Return the account of the request, ended now."""
        prompt, output = self._usage or (None, None)
        return replace(
            self._unsent,
            outcome=self.outcome,
            e2e_us=self._elapsed_us(),
            ttft_us=self._ttft_us,
            chunks=self._chunks,
            prompt_tokens=prompt,
            output_tokens=output,
            http_status=self.http_status,
            error=self.error,
        )

    def _elapsed_us(self) -> int:
        return (time.perf_counter_ns() - self._started_ns) // 1_000


def tenant_key(tenant: str) -> str:
    """Return the API key that a simulated tenant's requests carry, for a proxy to know it by."""
    return f"sim-key-{tenant}"


async def play(
    arrivals: Iterable[Arrival],
    targets: Mapping[str, Target],
    *,
    limits: Limits | None = None,
    told: Callable[[Played], None] | None = None,
) -> LoadReport:
    """Play arrivals at their times from now on; return when the last has ended.

    `targets` is by pool; an arrival without a pool goes to the first. `told` hears of every
    ended request. Cancelled, it enters what is in flight as cut and raises on.
    """
    limits = limits or Limits()
    account = _Account(limits, told)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
    connector = aiohttp.TCPConnector(limit=limits.max_in_flight + 1)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=_MAX_LINE_BYTES) as session,
        asyncio.TaskGroup() as group,
    ):
        player = _Player(session, targets, account)
        async for arrival in _paced(arrivals, limits.max_requests):
            player.begin(arrival, group)
        if limits.drain_seconds is not None:
            await player.drain(limits.drain_seconds)
    return account.report()


async def _paced(arrivals: Iterable[Arrival], most: int) -> AsyncIterator[Arrival]:
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number, arrival in enumerate(arrivals):
        if number >= most:
            return
        wait = start + arrival.at_us / MICROS_PER_SECOND - loop.time()
        await asyncio.sleep(max(0.0, wait))
        yield arrival


def _body(arrival: Arrival, model: str) -> dict[str, object]:
    """Return the request: a word for each token, the shared prefix as the system's message."""
    shared = min(arrival.prefix_tokens, arrival.prompt_tokens - 1) if arrival.prefix else 0
    own = " ".join(["word"] * (arrival.prompt_tokens - shared))
    messages: Sequence[Mapping[str, str]] = [{"role": "user", "content": own}]
    if shared:
        system = " ".join([arrival.prefix or ""] + ["rule"] * (shared - 1))
        messages = [{"role": "system", "content": system}, *messages]
    body: dict[str, object] = {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if arrival.max_output_tokens is not None:
        body["max_tokens"] = arrival.max_output_tokens
    return body


def _unsent(arrival: Arrival, pool: str, now_us: int, outcome: Outcome) -> Played:
    return Played(
        request_id=arrival.request_id,
        pool=pool,
        tenant=arrival.tenant,
        outcome=outcome,
        started_at_us=now_us,
        e2e_us=0,
    )
