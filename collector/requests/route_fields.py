"""Which route fills which field of a request record: the whole table, kept true by a test.

A test feeds every route inputs that say all they can and compares what came of them with this.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Filled(StrEnum):
    """How a route fills a field."""

    GIVEN = "given"
    ESTIMATED = "estimated"
    """Given where the engine states it, else counted, and the record says so."""
    NONE = "none"


ROUTES: Final[tuple[str, ...]] = (
    "proxy",
    "middleware",
    "spans of engines",
    "spans of GenAI clients",
    "LiteLLM's log",
    "access log",
)
"""The routes in the order of the table's columns; an access log gives what its map names."""

_WORDS: Final = {"g": Filled.GIVEN, "e": Filled.ESTIMATED, "-": Filled.NONE}
_TABLE: Final[Mapping[str, str]] = {
    "request_id": "gggggg",
    "tenant": "gggggg",
    "team": "--gggg",
    "workload": "--gg-g",
    "priority": "gg---g",
    "model": "gggggg",
    "adapter": "-----g",
    "pool": "gggg-g",
    "replica": "gggggg",
    "route": "gg---g",
    "region": "gggg-g",
    "vantage": "gggggg",
    "synthetic": "gggg-g",
    "status": "gggggg",
    "finish": "gggggg",
    "http_status": "gggggg",
    "error_class": "gggggg",
    "retry": "gg---g",
    "retry_of": "gg---g",
    "started_at_us": "gggggg",
    "ended_at_us": "gggggg",
    "e2e_us": "gggggg",
    "queue_us": "ggg--g",
    "ttft_us": "gggggg",
    "first_byte_us": "gg---g",
    "last_token_us": "gg---g",
    "dependency_us": "-----g",
    "tool_call_us": "-----g",
    "prompt_tokens": "gggggg",
    "cached_tokens": "gggggg",
    "cached_host_tokens": "-----g",
    "cached_storage_tokens": "-----g",
    "output_tokens": "eegggg",
    "reasoning_tokens": "gg-ggg",
    "draft_tokens": "gg---g",
    "accepted_draft_tokens": "gg---g",
    "max_output_tokens": "gggggg",
    "tokens_estimated": "ee----",
    "choices": "gggggg",
    "tool_calls": "gg---g",
    "output_empty": "gg---g",
    "stream": "gg-ggg",
    "gap_max_us": "gg---g",
    "gap_buckets": "gg----",
    "chunks": "gg---g",
    "prefill_tokens": "gg---g",
    "prefill_tokens_recomputed": "-----g",
    "preemptions": "-----g",
    "run_us": "--g--g",
    "steps": "-----g",
    "step_share_nano": "-----g",
    "kv_token_steps": "-----g",
}

FIELDS: Final[Mapping[str, Mapping[str, Filled]]] = {
    name: {route: _WORDS[letter] for route, letter in zip(ROUTES, letters, strict=True)}
    for name, letters in _TABLE.items()
}
"""By field, then by route. A field that no route fills yet is filled by `inferometer import`."""
