"""What one chunk of an OpenAI-compatible answer says, in the dialects engines really speak.

Reads chat completions, completions and the Responses API, streamed or whole. Nothing of the
text is kept: only that there was some. Shapes are checked, never trusted; what cannot be read
says nothing. Standard library and `telemetry` only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from telemetry.requests import Finish
from telemetry.units import MICROS_PER_MILLI, MICROS_PER_SECOND

Object = Mapping[str, Any]

_decode: Final = json.JSONDecoder().decode
_DONE: Final = b"[DONE]"
_TEXTS: Final = ("content", "reasoning_content", "reasoning", "refusal", "text")
_CALLS: Final = ("tool_calls", "function_call", "audio")
_TIMED: Final = frozenset({"metrics", "nvext", "x_groq", "timings"})
_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_MAX_COUNT: Final = 2**53

FINISHES: Final[Mapping[str, Finish]] = {
    "stop": Finish.STOP,
    "eos": Finish.STOP,
    "eos_token": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "length": Finish.LENGTH,
    "max_output_tokens": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
    "abort": Finish.ABORT,
    "error": Finish.ERROR,
}
"""What engines and gateways call the end of an answer."""
_RESPONSE_ENDS: Final[Mapping[str, Finish]] = {
    "completed": Finish.STOP,
    "failed": Finish.ERROR,
    "cancelled": Finish.ABORT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts an engine states itself; None = not stated."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTimes:
    """What some engines tell about one request besides usage; None = not told."""

    queue_us: int | None = None
    prefill_tokens: int | None = None
    draft_tokens: int | None = None
    accepted_draft_tokens: int | None = None


class Said(NamedTuple):
    """What one chunk says; a tuple, because one is made for every chunk.

    `content` and `finished` are by the choice's index.
    """

    content: tuple[int, ...] = ()
    finished: tuple[tuple[int, Finish | None], ...] = ()
    calls: tuple[tuple[int, int], ...] = ()
    """Tool calls seen, as (choice, call)."""
    usage: Usage | None = None
    times: EngineTimes | None = None
    only_usage: bool = False
    """True for the extra chunk that `include_usage` asks for: usage and nothing else."""
    error: str | None = None
    """The error's code, type, or `stream_error`; never its message, which may quote the prompt."""
    done: bool = False


NOTHING: Final = Said()


def read_chunk(data: bytes, name: bytes = b"") -> Said:
    """Return what the data of one server-sent event says; `NOTHING` when it cannot be read."""
    if data == _DONE:
        return Said(done=True)
    chunk = _object(data)
    if chunk is None:
        return Said(error="stream_error") if name == b"error" else NOTHING
    kind = chunk.get("type")
    if isinstance(kind, str) and kind.startswith("response."):
        return _response_event(chunk, kind)
    error = _error(chunk, named=name == b"error" or kind == "error")
    return Said(error=error) if error else _completion(chunk)


def read_whole(body: bytes) -> Said:
    """Return what an answer that was not streamed says; `NOTHING` when it cannot be read."""
    answer = _object(body)
    if answer is None:
        return NOTHING
    if error := _error(answer, named=False):
        return Said(error=error)
    return _response(answer) if answer.get("object") == "response" else _completion(answer)


def _object(text: bytes) -> Object | None:
    try:
        value = _decode(text.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _part(of: Object, key: str) -> Object:
    value = of.get(key)
    return value if isinstance(value, dict) else {}


def _parts(of: Object, key: str) -> list[Object]:
    value = of.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _count(of: Object, key: str) -> int | None:
    value = of.get(key)
    return value if type(value) is int and 0 <= value < _MAX_COUNT else None


def _duration_us(of: Object, key: str, unit_us: int) -> int | None:
    value = of.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_COUNT / unit_us:
        return None
    return round(value * unit_us)


def _index(of: Object) -> int:
    return _count(of, "index") or 0


def _error(chunk: Object, *, named: bool) -> str | None:
    error = chunk.get("error")
    if not error and not named and chunk.get("object") != "error":
        return None
    told = error if isinstance(error, dict) else chunk
    words = (told.get(key) for key in ("code", "type", "error_type"))
    codes = (word for word in words if isinstance(word, str) and _CODE.fullmatch(word) and word != "error")
    return next(codes, "stream_error")


def _completion(chunk: Object) -> Said:
    content: list[int] = []
    finished: list[tuple[int, Finish | None]] = []
    calls: list[tuple[int, int]] = []
    bare = True
    for choice in _parts(chunk, "choices"):
        index = _index(choice)
        delta = _part(choice, "delta") or _part(choice, "message") or choice
        if _has_content(delta):
            content.append(index)
        if "tool_calls" in delta:
            made = enumerate(_parts(delta, "tool_calls"))
            calls += [(index, _call_index(call, place)) for place, call in made]
        if isinstance(reason := choice.get("finish_reason"), str):
            finished.append((index, FINISHES.get(reason)))
        bare = bare and choice.get("delta") == {} and choice.get("finish_reason") is None
    usage = _usage(chunk)
    return Said(
        content=tuple(content),
        finished=tuple(finished),
        calls=tuple(calls),
        usage=usage,
        times=None if _TIMED.isdisjoint(chunk) else _times(chunk),
        only_usage=usage is not None and bare,
    )


def _call_index(call: Object, place: int) -> int:
    index = _count(call, "index")
    return place if index is None else index


def _has_content(delta: Object) -> bool:
    for key in _TEXTS:
        text = delta.get(key)
        if text and isinstance(text, str | list):
            return True
    return any(delta.get(key) for key in _CALLS)


def _usage(chunk: Object) -> Usage | None:
    usage = _part(chunk, "usage") or _part(_part(chunk, "x_groq"), "usage")
    if not usage:
        return None
    new = "input_tokens" in usage  # the Responses API's words
    prompt, output = ("input_tokens", "output_tokens") if new else ("prompt_tokens", "completion_tokens")
    cached = _count(_part(usage, f"{prompt}_details"), "cached_tokens")
    return Usage(
        prompt_tokens=_count(usage, prompt),
        cached_tokens=_count(usage, "prompt_cache_hit_tokens") if cached is None else cached,
        output_tokens=_count(usage, output),
        reasoning_tokens=_count(_part(usage, f"{output}_details"), "reasoning_tokens"),
    )


def _times(chunk: Object) -> EngineTimes | None:
    """Read vLLM's `metrics`, Dynamo's `nvext.timing`, Groq's `x_groq.usage`, llama.cpp's `timings`."""
    queues = (
        _duration_us(_part(chunk, "metrics"), "queue_time_ms", MICROS_PER_MILLI),
        _duration_us(_part(_part(chunk, "nvext"), "timing"), "prefill_wait_time_ms", MICROS_PER_MILLI),
        _duration_us(_part(_part(chunk, "x_groq"), "usage"), "queue_time", MICROS_PER_SECOND),
    )
    queue_us = next((queue for queue in queues if queue is not None), None)
    timings = _part(chunk, "timings")
    if queue_us is None and not timings:
        return None
    return EngineTimes(
        queue_us=queue_us,
        prefill_tokens=_count(timings, "prompt_n"),
        draft_tokens=_count(timings, "draft_n"),
        accepted_draft_tokens=_count(timings, "draft_n_accepted"),
    )


def _response_event(event: Object, kind: str) -> Said:
    if kind.endswith(".delta"):
        return Said(content=(_count(event, "output_index") or 0,)) if event.get("delta") else NOTHING
    if kind in ("response.completed", "response.incomplete", "response.failed"):
        return _response(_part(event, "response"))._replace(content=())  # its text came before
    item = _part(event, "item")
    if kind == "response.output_item.added" and item.get("type") == "function_call":
        return Said(calls=((0, _count(event, "output_index") or 0),))
    return NOTHING


def _response(response: Object) -> Said:
    status = response.get("status")
    if status == "failed":
        return Said(usage=_usage(response), error=_error(response, named=True), done=True)
    reason = _part(response, "incomplete_details").get("reason")
    items = _parts(response, "output")
    calls = tuple((0, place) for place, item in enumerate(items) if item.get("type") == "function_call")
    finish = Finish.TOOL_CALLS if calls and status == "completed" else _RESPONSE_ENDS.get(str(status))
    return Said(
        content=(0,) if items else (),
        finished=((0, FINISHES.get(str(reason)) if reason else finish),),
        calls=calls,
        usage=_usage(response),
        done=True,
    )
