"""What a request asks for, read from its JSON body; the prompt is neither kept nor passed on.

Standard library only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

_INJECTED: Final = b'{"stream_options":{"include_usage":true},'
_MOST_CHOICES: Final = 1024
_LARGEST: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The parts of a request that are measured; None = not stated."""

    model: str | None = None
    stream: bool = False
    usage: bool = False
    """Whether the client itself asked for a usage chunk."""
    stream_options: bool = False
    """Whether it names stream options of its own."""
    choices: int = 1
    max_output_tokens: int | None = None
    priority: int | None = None


UNREAD: Final = Asked()
"""A request whose body was not read: too long, compressed or no JSON object."""


def read_asked(body: bytes) -> Asked:
    """Return what the body asks for; `UNREAD` when it is no JSON object."""
    wish = _object(body)
    if wish is None:
        return UNREAD
    model = wish.get("model")
    options = wish.get("stream_options")
    limits = (_whole(wish.get(key)) for key in ("max_completion_tokens", "max_tokens", "max_output_tokens"))
    priority = wish.get("priority")
    return Asked(
        model=model if isinstance(model, str) else None,
        stream=wish.get("stream") is True,
        usage=isinstance(options, dict) and options.get("include_usage") is True,
        stream_options="stream_options" in wish,
        choices=min(max(1, _whole(wish.get("n")) or 1), _MOST_CHOICES),
        max_output_tokens=next((limit for limit in limits if limit is not None), None),
        priority=priority if type(priority) is int and abs(priority) < _LARGEST else None,
    )


def with_usage(body: bytes, asked: Asked) -> bytes | None:
    """Return a streaming request's body asking for a usage chunk besides; None if it cannot.

    `asked` is what was read from this body. Where it names no stream options, the rest of the
    body stays as it is, byte for byte.
    """
    start = body.find(b"{")
    if start < 0 or body[:start].strip() or json.detect_encoding(body) != "utf-8":
        return None
    if not asked.stream_options:
        return body[:start] + _INJECTED + body[start + 1 :]
    wish = _object(body)
    if wish is None:
        return None
    options = wish["stream_options"]
    wish["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return json.dumps(wish).encode()


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        wish = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return wish if isinstance(wish, dict) else None


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _LARGEST else None
