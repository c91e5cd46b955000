"""How recorded request rows name what we know: the map from recorded columns to ours, as data.

A recorded name without a unit is not guessed at: `ttft_s` and `ttft_ms` are known, `ttft` is
not. Every column of `RequestRecord` is also known by its own name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from service.recordings.values import (
    Convert,
    convert_for,
    count,
    duration,
    finish,
    instant,
    instant_in,
    status,
    text,
)
from telemetry.columns import TABLE, Kind

SECONDS: Final = duration(1)
MILLIS: Final = duration(1_000)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A recorded column: its name, the column of ours it fills, and how it is converted."""

    recorded: str
    ours: str
    convert: Convert


_KNOWN: Final[dict[str, tuple[Convert, tuple[str, ...]]]] = {
    "request_id": (text, ("id", "req_id")),
    "tenant": (text, ("tenant_id", "customer", "api_key_alias", "user")),
    "model": (text, ("model_name",)),
    "route": (text, ("provider", "endpoint")),
    "status": (status, ("status", "outcome", "success")),
    "finish": (finish, ("finish_reason",)),
    "http_status": (count, ("status_code", "http_code")),
    "started_at_us": (
        instant,
        ("send_ts", "start_ts", "started_at", "start_time", "sent_at", "request_timestamp"),
    ),
    "prompt_tokens": (count, ("input_tokens", "number_input_tokens", "prompt_len", "input_length")),
    "cached_tokens": (count, ("cached_prompt_tokens", "prompt_cached_tokens")),
    "output_tokens": (count, ("completion_tokens", "number_output_tokens", "output_len", "output_length")),
}
_DURATIONS: Final[dict[str, tuple[str, ...]]] = {
    "ttft_us": ("ttft", "time_to_first_token"),
    "e2e_us": ("e2e", "e2e_latency", "end_to_end_latency", "latency", "request_latency"),
    "queue_us": ("queue", "queue_time"),
}

ERROR_TEXT: Final = ("error", "error_msg", "error_message")
"""Where the text of a failure stands; it is reduced to a class."""
ERROR_CODE: Final = "error_code"
"""Null for a success; an HTTP status, or a number of the recorder's own."""
GAPS: Final[dict[str, float]] = {"itls_ms": 1e3, "itls_s": 1e6, "inter_token_latencies_ms": 1e3}
"""Columns of gaps between tokens, with the microseconds in their unit."""
IDS: Final = (("request_id",), ("id",), ("seed", "index"), ("provider", "model", "i"))
"""Columns that together name a row, best first; without any, its content does."""


def _mapped() -> Iterable[Mapped]:
    for spec in TABLE["requests"].columns:
        if spec.kind is not Kind.UINTS:
            yield Mapped(spec.name, spec.name, convert_for(spec))
    for ours, (convert, names) in _KNOWN.items():
        yield from (Mapped(name, ours, convert) for name in names)
    for ours, names in _DURATIONS.items():
        for name in names:
            yield Mapped(f"{name}_s", ours, SECONDS)
            yield Mapped(f"{name}_seconds", ours, SECONDS)
            yield Mapped(f"{name}_ms", ours, MILLIS)
    for name in ("started_at_ms", "timestamp_ms"):
        yield Mapped(name, "started_at_us", instant_in(1_000))


COLUMNS: Final[dict[str, Mapped]] = {each.recorded: each for each in _mapped()}


def known(names: Iterable[str]) -> tuple[Mapped, ...]:
    """Return how recorded columns map; of two that fill one of ours, the first recorded is used."""
    found: dict[str, Mapped] = {}
    for name in names:
        mapped = COLUMNS.get(name.casefold())
        if mapped is not None and mapped.ours not in found:
            found[mapped.ours] = Mapped(name, mapped.ours, mapped.convert)
    return tuple(found.values())


def are_requests(names: Iterable[str]) -> bool:
    """Tell whether rows of these columns are requests: they say how long each took."""
    return any(mapped.ours == "e2e_us" for mapped in known(names))
