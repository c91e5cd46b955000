"""What is known of one request: the ended record, its whole token gaps, and it while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from telemetry.identity import UNKNOWN_TENANT, Vantage


class Status(StrEnum):
    """How a request ended, as its user saw it."""

    OK = "ok"
    ERROR = "error"
    ABORTED = "aborted"


class Finish(StrEnum):
    """Why generation stopped, in OpenAI's words plus the two that mean it was cut."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    ABORT = "abort"
    ERROR = "error"


DETERMINISM_PROBE: Final = "determinism"
"""The workload of a synthetic request that compares its answer with an earlier one."""
OTHER_ANSWER: Final = "other_answer"
"""The error class of one whose answer differed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One ended request, as one vantage timed it.

    Durations are integer microseconds of a monotonic clock, instants are UTC microseconds.
    None always means "this route cannot know", zero means "measured zero". A request counts
    in the minute of `ended_at_us`, when its verdict became known.
    """

    # Who asked, and who answered.
    request_id: str
    tenant: str = UNKNOWN_TENANT
    team: str | None = None
    workload: str | None = None
    priority: int | None = None
    model: str
    adapter: str | None = None
    pool: str | None = None
    replica: str | None = None
    route: str | None = None
    region: str | None = None
    vantage: Vantage = Vantage.EDGE
    synthetic: bool = False
    """A canary or probe of our own: never counted as a user's request."""

    # How it ended.
    status: Status
    finish: Finish | None = None
    http_status: int | None = None
    error_class: str | None = None
    retry: int = 0
    """How many earlier attempts with the same `retry_of` were seen; 0 for a first attempt."""
    retry_of: str | None = None

    # When, and how long.
    started_at_us: int
    ended_at_us: int
    e2e_us: int
    queue_us: int | None = None
    ttft_us: int | None = None
    first_byte_us: int | None = None
    """First byte of the answer, often an empty role chunk; TTFT is the first content."""
    last_token_us: int | None = None
    dependency_us: int | None = None
    """Time spent waiting for something outside the engine (retrieval, tools, KV store)."""
    tool_call_us: int | None = None

    # Tokens.
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    cached_host_tokens: int | None = None
    cached_storage_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    draft_tokens: int | None = None
    accepted_draft_tokens: int | None = None
    max_output_tokens: int | None = None
    tokens_estimated: bool = False
    """True when token counts were counted from chunks, not stated by the engine."""
    choices: int = 1
    tool_calls: int | None = None
    output_empty: bool | None = None
    stream: bool = True

    # Token gaps: 16 log buckets (`telemetry.gaps`) and the largest. Empty = not observed.
    gap_max_us: int | None = None
    gap_buckets: tuple[int, ...] = ()
    chunks: int | None = None

    # Work, as cost attribution needs it (reference: WCS-1, tier A and B).
    prefill_tokens: int | None = None
    prefill_tokens_recomputed: int | None = None
    preemptions: int | None = None
    run_us: int | None = None
    steps: int | None = None
    step_share_nano: int | None = None
    """Sum over its steps of 1/batch size, in 1e-9: its share of the fixed cost of steps."""
    kv_token_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGaps:
    """Every gap between tokens of one request, in order; kept for failed, slow or 1 % sampled."""

    request_id: str
    ended_at_us: int
    model: str
    replica: str | None = None
    ttft_us: int | None = None
    gaps_us: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlightRequest:
    """A request that has not ended, seen at `at_us`: how a hang burns the budget while it hangs."""

    request_id: str
    at_us: int
    started_at_us: int
    ttft_us: int | None = None
    output_tokens: int | None = None
    max_output_tokens: int | None = None
    stream: bool = True
    """False = the answer comes whole, so no first token can be late."""
    tenant: str = UNKNOWN_TENANT
    model: str
    pool: str | None = None
    replica: str | None = None
    route: str | None = None
    vantage: Vantage = Vantage.EDGE
    synthetic: bool = False
