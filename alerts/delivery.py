"""Delivery: claim a row, ask the stages, send, write down the outcome.

At least once: the outcome is recorded after the send, so a kill in between sends again, under
the same id. In order per lane: the store offers only the oldest unfinished row of a lane.
Retries are rows with a time, so they survive whatever happens to the process. Threads are
bounded in all and for each receiver: a dead destination holds its own threads and no others.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from alerts.errors import DeliveryError
from alerts.pipeline import Context, suppressed
from alerts.ports import Claim, NotificationStore, Outcome, Result
from alerts.receivers import Receiver
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND

_LOG = logging.getLogger(__name__)

RETRIES_US: Final[tuple[int, ...]] = (
    2 * MICROS_PER_SECOND,
    5 * MICROS_PER_SECOND,
    15 * MICROS_PER_SECOND,
    MICROS_PER_MINUTE,
    5 * MICROS_PER_MINUTE,
    15 * MICROS_PER_MINUTE,
    30 * MICROS_PER_MINUTE,
    *(MICROS_PER_HOUR,) * 72,
)
"""Wait after each failed attempt; after the last one the notification is dead: three days."""
JITTER_RATIO: Final = 0.2
RATE_JITTER_US: Final = MICROS_PER_SECOND // 2
"""Jitter on a wait that the receiver asked for: obeyed within a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Threads in all, threads for one receiver, and how long a claim is held.

    With one thread for a receiver a kill -9 repeats at most one notification to it. The lease
    must outlast the slowest attempt (`receivers.http.Poster.total_seconds`).
    """

    threads: int = 16
    per_receiver: int = 1
    lease_us: int = 45 * MICROS_PER_SECOND


def retry_at(attempt: int, now_us: int, *, asked_us: int | None, chance: float) -> int | None:
    """Return when to try again after attempt number `attempt` (from 1) failed; None = no more.

    `asked_us` is the receiver's own wait (Retry-After), kept to within half a second above;
    `chance` in 0..1 spreads the schedule's waits by a fifth either way.
    """
    if attempt > len(RETRIES_US):
        return None
    if asked_us is not None:
        return now_us + asked_us + int(RATE_JITTER_US * chance)
    return now_us + int(RETRIES_US[attempt - 1] * (1 + JITTER_RATIO * (2 * chance - 1)))


class Delivery:
    """Sends what the store holds. One instance per process; `run_once` is for one thread."""

    def __init__(
        self,
        store: NotificationStore,
        receivers: Mapping[str, Receiver],
        *,
        worker: str,
        clock: Callable[[], int],
        context: Callable[[], Context],
        limits: Limits | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the parts. `worker` must differ between processes and between starts.

        `clock` returns UTC microseconds; `context` the silences and what fires, read once a
        round.
        """
        self._store = store
        self._receivers = receivers
        self._worker = worker
        self._clock = clock
        self._context = context
        self._limits = limits or Limits()
        self._chance = chance
        self._pool = ThreadPoolExecutor(self._limits.threads, thread_name_prefix="delivery")
        self._lock = threading.Lock()
        self._sending: Counter[str] = Counter()
        self.outcomes: Counter[tuple[str, Outcome]] = Counter()
        """How many attempts ended how, by receiver: the numbers for our own metrics."""

    def run_once(self) -> list[Future[None]]:
        """Claim and start sending everything that is due and has a free thread; do not wait.

        One transaction per claim. Returns the sends that were started; each records its own
        outcome.
        """
        context = self._context()
        started: list[Future[None]] = []
        while (full := self._full()) is not None:
            claim = self._store.claim(
                self._clock(), self._worker, lease_us=self._limits.lease_us, exclude=full
            )
            if claim is None:
                break
            with self._lock:
                self._sending[claim.notification.receiver] += 1
            future = self._pool.submit(self._handle, claim, context)
            future.add_done_callback(_report)
            started.append(future)
        return started

    def run(self, stop: threading.Event, *, poll_seconds: float = 0.5) -> None:
        """Deliver until `stop` is set: the body of the delivery thread.

        While there is work it goes on at once; without, it looks again every `poll_seconds`.
        A round that fails (the store is away) is logged and tried again after the pause.
        """
        while not stop.is_set():
            started: list[Future[None]] = []
            try:
                started = self.run_once()
            except Exception:  # noqa: BLE001 - a job runner: it logs, and the next round comes
                _LOG.exception("delivery: a round failed; rows stay and are tried again")
            if started:
                wait(started, timeout=poll_seconds, return_when=FIRST_COMPLETED)
            else:
                stop.wait(poll_seconds)

    def close(self) -> None:
        """Wait for the sends under way, each bounded by its receiver, and let the threads go."""
        self._pool.shutdown(wait=True)

    def _full(self) -> frozenset[str] | None:
        """Return the receivers without a free thread; None = no thread is free at all."""
        with self._lock:
            if self._sending.total() >= self._limits.threads:
                return None
            return frozenset(
                name for name, count in self._sending.items() if count >= self._limits.per_receiver
            )

    def _handle(self, claim: Claim, context: Context) -> None:
        receiver = claim.notification.receiver
        try:
            result = self._attempt(claim, context)
            if self._store.finish(claim, result):
                self.outcomes[receiver, result.outcome] += 1
            else:
                _LOG.warning("delivery: lease of %s ran out before its outcome", claim.notification.id)
        finally:
            with self._lock:
                self._sending[receiver] -= 1

    def _attempt(self, claim: Claim, context: Context) -> Result:
        now_us = self._clock()
        reason = suppressed(claim, context, now_us)
        if reason is not None:
            outcome = Outcome.SUPPRESSED if reason.until_us is None else Outcome.DEFERRED
            return Result(
                outcome=outcome,
                at_us=now_us,
                detail=f"{reason.stage}: {reason.text}",
                next_at_us=reason.until_us,
            )
        receiver = self._receivers.get(claim.notification.receiver)
        if receiver is None:
            text = f"receiver {claim.notification.receiver} is not configured; add it and replay"
            return Result(outcome=Outcome.DEAD, at_us=now_us, detail=text)
        try:
            status = receiver.send(claim.notification, now_us)
        except DeliveryError as error:
            return self._failed(claim, error)
        return Result(
            outcome=Outcome.DELIVERED, at_us=self._clock(), detail=f"answered {status}", status=status
        )

    def _failed(self, claim: Claim, error: DeliveryError) -> Result:
        now_us = self._clock()
        again = retry_at(claim.attempt, now_us, asked_us=error.retry_after_us, chance=self._chance())
        if error.permanent or again is None:
            outcome, again = (Outcome.DISABLED if error.gone else Outcome.DEAD), None
        else:
            outcome = Outcome.RETRY
        return Result(outcome=outcome, at_us=now_us, detail=str(error), next_at_us=again, status=error.status)


def _report(future: Future[None]) -> None:
    """Log what kept an outcome from being recorded: the row comes back when its lease runs out."""
    error = future.exception()
    if error is not None:
        _LOG.error("delivery: an outcome was not recorded; its row is tried again", exc_info=error)
