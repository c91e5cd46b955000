"""OpenAI's completions as vLLM answers them: what is asked, and the bytes of an answer.

A word is a token, both ways, so the counts of an answer can be checked by eye.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from simulator.arrivals import Arrival, Length
from simulator.jobs import Job
from telemetry.units import MICROS_PER_MILLI

OUTPUT_HEADER: Final = "X-Simulated-Output-Tokens"
"""A request may say how long its answer is; else the prompt decides, the same each time."""

DONE: Final = b"data: [DONE]\n\n"
_WORDS: Final = ("Every", "word", "of", "this", "simulated", "answer", "is", "one", "token", "and")
_USUAL: Final = Length(median=150, sigma=0.6, most=1024)


class Part(BaseModel):
    """One part of a message; parts without text count as nothing."""

    text: str = ""


class Message(BaseModel):
    """One message of a chat."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """Its text, parts joined."""
        content = self.content or ""
        return content if isinstance(content, str) else " ".join(part.text for part in content)


class StreamOptions(BaseModel):
    """What a stream should carry besides."""

    include_usage: bool = False


class Ask(BaseModel):
    """A request's body; what is not named here is allowed and ignored, as vLLM's extras are."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[Message] | None = Field(default=None, max_length=1000)
    prompt: str | None = None
    n: int = Field(default=1, ge=1, le=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    ignore_eos: bool = False

    def arrival(self, request_id: str, headers: Mapping[str, str], most: int) -> Arrival:
        """Return what is asked as an arrival; `most` tokens fit the model. Raises `ValueError`."""
        texts = [message.text for message in self.messages] if self.messages else [self.prompt or ""]
        prompt = "\n".join(texts)
        prompt_tokens = max(1, len(prompt.split()))
        shared = texts[0] if self.messages and len(texts) > 1 and self.messages[0].role == "system" else ""
        limit = self.max_completion_tokens or self.max_tokens or max(1, most - prompt_tokens)
        return Arrival(
            request_id=request_id,
            at_us=0,
            prompt_tokens=prompt_tokens,
            output_tokens=limit if self.ignore_eos else _answer_tokens(prompt, headers),
            max_output_tokens=limit,
            prefix=hashlib.sha256(shared.encode()).hexdigest() if shared else None,
            prefix_tokens=len(shared.split()),
        )


def _answer_tokens(prompt: str, headers: Mapping[str, str]) -> int:
    if wish := headers.get(OUTPUT_HEADER):
        if not wish.isascii() or not wish.isdigit() or not 0 < int(wish[:9]) <= 1_000_000:
            raise ValueError(f"{OUTPUT_HEADER}: {wish[:20]!r} is not a number of 1 … 1,000,000")
        return int(wish)
    return _USUAL.draw(Random(hashlib.sha256(prompt.encode()).digest()))  # noqa: S311 - not secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Makes the bytes of one answer, chat or plain completion."""

    answer_id: str
    model: str
    created_s: int
    chat: bool

    def opening(self) -> bytes:
        """Return the chunk that names the role, empty for a plain completion."""
        return self._chunk({"role": "assistant", "content": ""}, None) if self.chat else b""

    def tokens(self, start: int, end: int) -> bytes:
        """Return one chunk for each token from number `start` to before `end`."""
        return b"".join(self._token(number) for number in range(start, end))

    def closing(self, job: Job, *, usage: bool) -> bytes:
        """Return what follows the last token: the reason, the usage when asked for, the end."""
        last = self._chunk({} if self.chat else "", _finish(job))
        extra = self._event({"choices": [], "usage": _usage(job), "metrics": _metrics(job)}) if usage else b""
        return last + extra + DONE

    def whole(self, job: Job) -> bytes:
        """Return an answer that was not streamed."""
        text = "".join(_word(number) for number in range(job.output))
        body: dict[str, object] = {"index": 0, "logprobs": None, "finish_reason": _finish(job)}
        body |= {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        kind = "chat.completion" if self.chat else "text_completion"
        return json.dumps(
            self._head(kind) | {"choices": [body], "usage": _usage(job), "metrics": _metrics(job)}
        ).encode()

    def _token(self, number: int) -> bytes:
        word = _word(number)
        return self._chunk({"content": word} if self.chat else word, None)

    def _chunk(self, delta: object, finish: str | None) -> bytes:
        choice: dict[str, object] = {"index": 0, "logprobs": None, "finish_reason": finish}
        choice["delta" if self.chat else "text"] = delta
        return self._event({"choices": [choice]})

    def _event(self, body: dict[str, object]) -> bytes:
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        return b"data: " + json.dumps(self._head(kind) | body, separators=(",", ":")).encode() + b"\n\n"

    def _head(self, kind: str) -> dict[str, object]:
        return {"id": self.answer_id, "object": kind, "created": self.created_s, "model": self.model}


def _word(number: int) -> str:
    return f"{' ' if number else ''}{_WORDS[number % len(_WORDS)]}"


def _finish(job: Job) -> str | None:
    return job.end.finish.value if job.end else None


def _usage(job: Job) -> dict[str, object]:
    prompt = job.arrival.prompt_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": job.output,
        "total_tokens": prompt + job.output,
        "prompt_tokens_details": {"cached_tokens": job.cached_tokens or 0},
    }


def _metrics(job: Job) -> dict[str, object]:
    """Return vLLM's per-request timings (`--enable-per-request-metrics`, 0.25 and later)."""
    scheduled_us = job.scheduled_us or job.arrived_us
    first_us = job.first_token_us or scheduled_us
    return {
        "queue_time_ms": (scheduled_us - job.arrived_us) / MICROS_PER_MILLI,
        "time_to_first_token_ms": (first_us - scheduled_us) / MICROS_PER_MILLI,
        "generation_time_ms": ((job.last_token_us or first_us) - first_us) / MICROS_PER_MILLI,
    }


def error_body(message: str, kind: str, code: int) -> bytes:
    """Return an error as vLLM words it."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}).encode()
