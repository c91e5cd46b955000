"""Determinism probe: one prompt again and again at temperature 0, each answer compared with the first.

Each comparison is told as a synthetic request (`telemetry.requests.DETERMINISM_PROBE`), which
the indicator `determinism` counts. Answers are kept as digests and only in memory; no text
leaves this process. A new deployment answers anew: begin the probe again after it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from contextlib import closing
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from collector.clock import HostClock, elapsed_us
from collector.requests.answers import NOTHING, Said, Usage, read_whole
from collector.requests.callers import SYNTHETIC
from collector.web import WebError, connection_to, exchange
from telemetry.requests import DETERMINISM_PROBE, OTHER_ANSWER, RequestRecord, Status

PROMPT: Final = (
    "Explain to a child, in about a hundred words, why the sky is blue, why it turns red in the "
    "evening, and why the night is dark although there are so many stars."
)
"""Open enough that a rounding error turns an answer, and worth nothing to anybody."""
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
MAX_DISTINCT: Final = 1_000
"""Answers told apart; no more are remembered."""
_PATH: Final = "/v1/chat/completions"
_TEXTS: Final = ("content", "reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked of whom: `url` is an OpenAI-compatible server, `replica` its name in records.

    `key` is a bearer token; None = the server wants none.
    """

    url: str
    model: str
    prompt: str = PROMPT
    max_tokens: int = 200
    replica: str | None = None
    key: str | None = None
    timeout_seconds: float = 120.0

    def body(self) -> bytes:
        """Return the request, the same every time."""
        asked = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.prompt}],
            "temperature": 0,
            "seed": 0,
            "max_tokens": self.max_tokens,
        }
        return json.dumps(asked).encode()


@dataclass(slots=True)
class Tally:
    """What came back: comparisons that agreed, that did not, requests that brought no answer."""

    same: int = 0
    other: int = 0
    failed: int = 0
    distinct: int = 0
    """Different answers, the first among them; at most `MAX_DISTINCT`."""


class DeterminismProbe:
    """Asks one target, over and over. Not thread-safe."""

    def __init__(self, target: Target) -> None:
        """Begin anew: the first answer is what all later ones are compared with."""
        self._target, self._clock = target, HostClock()
        self._answers: list[bytes] = []
        self.tally = Tally()

    def ask(self) -> RequestRecord:
        """Send the prompt once and return its record. A server that fails is a record, never raised.

        The first answer is only remembered: its record compares nothing and is not counted.
        """
        self._clock.settle()
        started_us, begun = self._clock.now_us(), time.monotonic()
        status, body = self._exchanged()
        e2e_us = elapsed_us(begun)
        said = read_whole(body)
        usage = said.usage or Usage()
        record = RequestRecord(
            request_id=f"probe-{secrets.token_hex(8)}",
            model=self._target.model,
            replica=self._target.replica,
            synthetic=True,
            status=Status.ERROR,
            http_status=status,
            started_at_us=started_us,
            ended_at_us=started_us + e2e_us,
            e2e_us=e2e_us,
            prompt_tokens=usage.prompt_tokens,
            output_tokens=usage.output_tokens,
            max_output_tokens=self._target.max_tokens,
            stream=False,
        )
        return self._compared(record, said, body)

    def _exchanged(self) -> tuple[int | None, bytes]:
        """Return the HTTP status and body; None when no answer came."""
        url = urlsplit(self._target.url.rstrip("/") + _PATH)
        headers = {"Content-Type": "application/json", SYNTHETIC: "determinism"}
        if self._target.key is not None:
            headers["Authorization"] = f"Bearer {self._target.key}"
        timeout = self._target.timeout_seconds
        try:
            with closing(connection_to(url, timeout_seconds=timeout)) as connection:
                answer = exchange(
                    connection,
                    url,
                    timeout_seconds=timeout,
                    max_bytes=MAX_ANSWER_BYTES,
                    body=self._target.body(),
                    headers=headers,
                )
        except WebError:
            return None, b""
        return answer.status, answer.body

    def _compared(self, record: RequestRecord, said: Said, body: bytes) -> RequestRecord:
        """Return the record of an answer, or of a failure, with what the comparison found."""
        if record.http_status != HTTPStatus.OK or said is NOTHING or said.error or not said.finished:
            self.tally.failed += 1
            cause = (
                "unreachable" if record.http_status is None else said.error or f"http_{record.http_status}"
            )
            return replace(record, error_class=cause)
        answered = replace(record, status=Status.OK, finish=said.finished[0][1])
        digest = _digest(body)
        first = not self._answers
        if digest not in self._answers and self.tally.distinct < MAX_DISTINCT:
            self._answers.append(digest)
            self.tally.distinct += 1
        if first:
            return answered
        compared = replace(answered, workload=DETERMINISM_PROBE)
        if digest == self._answers[0]:
            self.tally.same += 1
            return compared
        self.tally.other += 1
        return replace(compared, error_class=OTHER_ANSWER)


def _digest(body: bytes) -> bytes:
    """Return a digest of the texts of an answer and of why each ended; of nothing else in it."""
    told = []
    for choice in json.loads(body)["choices"]:
        if isinstance(choice, dict):
            message = choice.get("message")
            texts = [message.get(name) for name in _TEXTS] if isinstance(message, dict) else message
            told.append([texts, choice.get("finish_reason")])
    return hashlib.sha256(json.dumps(told).encode()).digest()
