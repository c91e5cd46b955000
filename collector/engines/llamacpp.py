"""llama.cpp's `llama-server`. How to recognise it: series that begin with `llamacpp:`.

Traps:
- its prompt tokens leave out the cached ones: they are added here, as every other engine counts.
- no KV usage since 2025 (only `GET /slots` has it) and no time to first token: per-request timings
  are in the answer.
- `prompt_tokens_seconds` and `predicted_tokens_seconds` are lifetime averages in tokens/s.
- `n_tokens_max` is a maximum, though typed a counter.
- a scrape waits for the step that runs.
"""

from __future__ import annotations

from typing import Final

from collector.engines import Engine, Prefix, Signal
from telemetry.units import MICROS_PER_SECOND

_LLAMA: Final = Prefix("llamacpp:")
_COMPUTED: Final = _LLAMA.names("prompt_tokens_total")
_CACHED: Final = _LLAMA.names("prompt_tokens_cached_total")

_SIGNALS: Final = (
    _LLAMA.gauge("requests_running", "requests_processing"),
    _LLAMA.gauge("requests_waiting", "requests_deferred"),
    _LLAMA.gauge("kv_usage_ratio", "kv_cache_usage_ratio"),
    Signal(column="prompt_tokens_total", names=_COMPUTED, added=_CACHED),
    _LLAMA.counter("generation_tokens_total", "tokens_predicted"),
    Signal(column="prefix_queries_total", names=_CACHED, added=_COMPUTED),
    Signal(column="prefix_hits_total", names=_CACHED),
    _LLAMA.counter("draft_tokens_total", "spec_decode_num_draft_tokens"),
    _LLAMA.counter("accepted_draft_tokens_total", "spec_decode_num_accepted_tokens"),
    Signal(column="prefill_us_total", names=_LLAMA.names("prompt_seconds_total"), scale=MICROS_PER_SECOND),
    Signal(
        column="decode_us_total",
        names=_LLAMA.names("tokens_predicted_seconds_total"),
        scale=MICROS_PER_SECOND,
    ),
)

_UNUSED: Final = """
kv_cache_tokens n_busy_slots_per_decode n_decode n_past_max n_tokens_max predicted_tokens_seconds
prompt_tokens_seconds spec_decode_num_accepted_tokens_per_pos spec_decode_num_drafts
"""

ENGINE: Final = Engine(
    name="llamacpp",
    title="llama.cpp",
    prefixes=("llamacpp:",),
    ports=(8080,),
    metrics_path="/metrics",
    signals=_SIGNALS,
    unused=_LLAMA.families(_UNUSED),
    expected=("requests_running", "requests_waiting", "prompt_tokens_total", "generation_tokens_total"),
    advice="start llama-server with --metrics",
)
