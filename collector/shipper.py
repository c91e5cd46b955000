"""Delivers sealed batches: the newest first, what an outage left behind at a bounded share.

Guarantees: a batch leaves the spool only when the service acknowledged it or refused it for what
it is (then it lies in quarantine); every other answer keeps it. A batch may be sent twice, its
identity makes the second time harmless.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Final
from urllib.parse import urlsplit

from collector.backoff import Backoff
from collector.clock import HostClock
from collector.web import Answer, WebError, WebTooLate, connection_to, exchange
from journal import Entry, Journal, JournalError
from telemetry.wire import CONTENT_TYPE, MAX_BODY_BYTES

log = logging.getLogger(__name__)

PATH: Final = "/api/v1/batches"
READER: Final = "ship"
_TIMEOUT_SECONDS: Final = 10.0
_MAX_ANSWER_BYTES: Final = 64 * 1024
_MAX_RETRY_AFTER: Final = 60.0
_IDLE_SECONDS: Final = 0.5
_SLOW_SECONDS: Final = 60.0

_STORED: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED})
_MALFORMED: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""The batch itself is refused: sending it again would change nothing."""

_FOR_A_PERSON: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UPGRADE_REQUIRED})
"""Nothing but a person's hand ends these: asking often would only burden the service."""

_ADVICE: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "the token is not known there; make one with `inferometer token create`",
    HTTPStatus.FORBIDDEN: "the token may not deliver batches; make an agent token",
    HTTPStatus.NOT_FOUND: "is the server's address right?",
    HTTPStatus.UPGRADE_REQUIRED: "upgrade this agent: the service no longer reads its batches",
    HTTPStatus.TOO_MANY_REQUESTS: "the service asks to wait",
    HTTPStatus.SERVICE_UNAVAILABLE: "the service asks to wait",
}


class Link:
    """A kept-alive connection to the service. Not thread-safe."""

    def __init__(self, server: str, token: str) -> None:
        self._url = urlsplit(server.rstrip("/") + PATH)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": CONTENT_TYPE}
        self._connection: HTTPConnection | None = None

    def post(self, body: bytes) -> Answer:
        """Return the service's answer. Raises `WebError` when there is none in time.

        A connection kept from before may have been closed by the service meanwhile: then the
        batch is sent once more, over a new one.
        """
        kept = self._connection is not None
        try:
            return self._post(body)
        except WebError as error:
            self.close()
            if not kept or isinstance(error, WebTooLate):
                raise
        try:
            return self._post(body)
        except WebError:
            self.close()
            raise

    def _post(self, body: bytes) -> Answer:
        if self._connection is None:
            self._connection = connection_to(self._url, timeout_seconds=_TIMEOUT_SECONDS)
        answer = exchange(
            self._connection,
            self._url,
            timeout_seconds=_TIMEOUT_SECONDS,
            max_bytes=_MAX_ANSWER_BYTES,
            body=body,
            headers=self._headers,
        )
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a shipper knows and passes time: the host's, or another in which hours are short."""

    monotonic: Callable[[], float]
    """Seconds since any fixed instant."""
    pause: Callable[[float], object]
    """Waits so many seconds, or until the shipper is to stop."""
    await_batch: Callable[[int, float], object]
    """Waits for a batch above this id, for at most so many seconds."""


class Shipper:
    """The thread that delivers. The plain attributes are its counters; any thread may read them."""

    def __init__(
        self,
        spool: Journal,
        link: Link,
        *,
        clock: HostClock,
        backlog_per_second: float,
        pace: Pace | None = None,
    ) -> None:
        self.shipped = 0
        self.quarantined = 0
        self.answers: Counter[str] = Counter()
        """Answers by HTTP status; `none` counts attempts without one."""
        self.trouble: str | None = None
        """Why nothing is delivered now; None = the last attempt went well."""
        self.clock_offset_us: int | None = None
        """How far the service's clock is ahead of this host's; None = not known yet."""
        self._spool = spool
        self._link = link
        self._clock = clock
        self._backlog_pause = 1.0 / backlog_per_second
        self._backlog_at = 0.0
        self._backlogged = False
        self._fresh_edge = self._backlog_edge = 0
        self._backoff = Backoff(0.5, 30.0)
        self._stop = threading.Event()
        self._pace = pace or Pace(monotonic=time.monotonic, pause=self._stop.wait, await_batch=spool.wait)
        self._thread = threading.Thread(target=self._run, name="ship", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self, *, grace_seconds: float) -> None:
        """Deliver what is fresh, for at most so long; what is not delivered stays in the spool."""
        self._stop.set()
        self._thread.join(grace_seconds)

    def _run(self) -> None:
        self.begin()
        while not self._stop.is_set():
            try:
                self.step()
            except Exception:
                log.exception("shipping failed; the agent goes on")
                self._stop.wait(self._backoff.next())
        with suppress(JournalError):  # closed meanwhile: what is left waits for the next start
            self._deliver_last()
        self._link.close()

    def _deliver_last(self) -> None:
        """Deliver what was sealed since the last step; one that fails stays, as do those behind it."""
        while (entry := self._fresh()) and self._deliver(entry) is None:
            pass

    def begin(self) -> None:
        """Take everything there is now for backlog, everything that comes for fresh."""
        self._fresh_edge = self._spool.head()
        self._backlog_edge = self._fresh_edge + 1
        self._backlogged = True

    def step(self) -> None:
        """Deliver one batch, or wait for one for a moment. The thread does nothing else."""
        entry = self._fresh() or self._older()
        if entry is None:
            self._pace.await_batch(self._fresh_edge, self._idle_seconds())
            return
        pause = self._deliver(entry)
        if pause is None:
            self._backoff.reset()
        else:
            self._pace.pause(pause)
            self.begin()

    def _fresh(self) -> Entry | None:
        head = self._spool.head()
        if head <= self._fresh_edge:
            return None  # the head costs nothing, a look into the spool does
        found = self._spool.read(self._fresh_edge, max_batches=1, max_bytes=MAX_BODY_BYTES)
        self._fresh_edge = found[0].entry_id if found else head
        return found[0] if found else None

    def _older(self) -> Entry | None:
        """Return the newest batch of the backlog when its turn has come."""
        if not self._backlogged or self._pace.monotonic() < self._backlog_at:
            return None
        found = self._spool.read_newest(self._backlog_edge, max_batches=1, max_bytes=MAX_BODY_BYTES)
        if not found:
            self._backlogged = False  # and there is none until a delivery fails again
            return None
        self._backlog_edge = found[0].entry_id
        self._backlog_at = self._pace.monotonic() + self._backlog_pause
        return found[0]

    def _idle_seconds(self) -> float:
        if not self._backlogged:
            return _IDLE_SECONDS
        return min(max(self._backlog_at - self._pace.monotonic(), 0.01), _IDLE_SECONDS)

    def _deliver(self, entry: Entry) -> float | None:
        """Send a batch; returns None when it is settled, else the seconds to wait."""
        sent_us = self._clock.now_us()
        try:
            answer = self._link.post(entry.body)
        except WebError as error:
            self.answers["none"] += 1
            return self._keep(str(error), self._backoff.next())
        self.answers[str(answer.status)] += 1
        self._learn_offset(answer, sent_us)
        if answer.status in _STORED:
            self.shipped += 1
            self.trouble = None
            self._spool.done([entry.entry_id])
            return None
        reason = f"{PATH} answered HTTP {answer.status}: {_sentence(answer)}"
        if answer.status in _MALFORMED:
            self._spool.quarantine(entry.entry_id, READER, reason)
            self.quarantined += 1
            self._spool.done([entry.entry_id])
            log.error("batch %s of boot %s is refused and set aside: %s", entry.seq, entry.boot, reason)
            return None
        advice = _ADVICE.get(answer.status, "the service has a fault; see its log")
        pause = _SLOW_SECONDS if answer.status in _FOR_A_PERSON else self._backoff.next()
        return self._keep(f"{reason}; {advice}", _retry_after(answer) or pause)

    def _keep(self, trouble: str, pause: float) -> float:
        """Note why a batch stays; said aloud when it is news."""
        if trouble != self.trouble:
            log.error("nothing is delivered, batches stay in the spool: %s", trouble)
        self.trouble = trouble
        return pause

    def _learn_offset(self, answer: Answer, sent_us: int) -> None:
        there_us = _server_time(answer)
        if there_us is not None:
            self.clock_offset_us = there_us - (sent_us + self._clock.now_us()) // 2


def _told(answer: Answer) -> Mapping[str, object]:
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _sentence(answer: Answer) -> str:
    """Return what the service said, as one short printable line."""
    said = _told(answer).get("detail") or answer.body[:300].decode(errors="replace")
    return "".join(letter if letter.isprintable() else " " for letter in str(said)[:300])


def _server_time(answer: Answer) -> int | None:
    """Return the service's clock when it answered, in microseconds: its own word, else `Date`."""
    told = _told(answer).get("received_at_us")
    if isinstance(told, int) and not isinstance(told, bool):
        return told
    try:
        # A date has whole seconds: on average half a second has passed since.
        return int(parsedate_to_datetime(answer.headers["date"]).timestamp() * 1e6) + 500_000
    except (KeyError, ValueError):
        return None


def _retry_after(answer: Answer) -> float | None:
    """Return the seconds a `Retry-After` asks for, at most a minute; None = it does not say."""
    try:
        return min(max(float(answer.headers["retry-after"]), 0.05), _MAX_RETRY_AFTER)
    except (KeyError, ValueError):
        return None
