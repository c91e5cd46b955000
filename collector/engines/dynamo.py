"""NVIDIA Dynamo: its frontend, and its workers. How to recognise them: series that begin with `dynamo_`.

A worker that shows its engine's own series too (vLLM, SGLang) is read as that engine: it tells more.

Traps:
- the frontend sees many workers: what it tells is a router's view and never added to an engine's.
- `active_requests` and `stage_requests` replace `inflight_requests` and `queued_requests`.
- `gpu_cache_usage_percent` is a ratio 0..1 in spite of the name.
- a worker counts its internal endpoints as well: only `generate` serves requests.
- a worker's `requests_total` counts when a request comes in, not when it is done.
- `publish_response` among a worker's errors is a caller who left.
- families are empty until the first request.
"""

from __future__ import annotations

from typing import Final

from collector.engines import Engine, Prefix, Signal
from collector.scraping.exposition import family_of
from telemetry.identity import Vantage

_FRONTEND: Final = Prefix("dynamo_frontend_")
_WORKER: Final = Prefix("dynamo_component_")
_GENERATE: Final = {"dynamo_endpoint": ("generate",)}
_BROKEN: Final = ("deserialization", "invalid_message", "response_stream", "generate", "serialization")

_FRONTEND_SIGNALS: Final = (
    _FRONTEND.gauge("requests_running", "active_requests", "inflight_requests"),
    _FRONTEND.gauge("requests_waiting", "stage_requests", "queued_requests"),
    _FRONTEND.gauge("requests_running_max", "model_max_num_seqs"),
    _FRONTEND.gauge("kv_blocks", "model_total_kv_blocks"),
    _FRONTEND.largest("kv_block_tokens", "model_kv_cache_block_size"),
    _FRONTEND.gauge("prompt_tokens_total", "input_sequence_tokens_sum"),
    _FRONTEND.gauge("generation_tokens_total", "output_tokens_total", "output_sequence_tokens_sum"),
    Signal(
        column="prefix_queries_total",
        names=_FRONTEND.names("input_sequence_tokens_sum"),
        beside=_FRONTEND.names("cached_tokens_sum"),
    ),
    _FRONTEND.gauge("prefix_hits_total", "cached_tokens_sum"),
    _FRONTEND.counter("finished_total", "requests", status=("success",)),
    _FRONTEND.counter("failed_total", "requests", error_type=("internal", "response_timeout")),
    _FRONTEND.counter("aborted_total", "requests", error_type=("cancelled",)),
    _FRONTEND.counter("rejected_total", "requests", error_type=("overload",)),
    *_FRONTEND.timing("ttft", "time_to_first_token_seconds"),
    *_FRONTEND.timing("itl", "inter_token_latency_seconds"),
    *_FRONTEND.timing("e2e", "request_duration_seconds"),
)

_WORKER_SIGNALS: Final = (
    _WORKER.gauge("requests_running", "inflight_requests", **_GENERATE),
    _WORKER.largest("kv_usage_ratio", "gpu_cache_usage_percent"),
    _WORKER.gauge("kv_blocks", "total_blocks"),
    _WORKER.counter("failed_total", "errors", error_type=_BROKEN, **_GENERATE),
    _WORKER.counter("aborted_total", "errors", error_type=("publish_response",), **_GENERATE),
    _WORKER.gauge("e2e_count_total", "request_duration_seconds_count", **_GENERATE),
    Signal(
        column="e2e_us_total",
        names=_WORKER.names("request_duration_seconds_sum"),
        labels=_GENERATE,
        scale=1_000_000,
    ),
)

_UNUSED: Final = Prefix("dynamo_").families("""
component_cancellation component_kvstats_active_blocks component_kvstats_total_blocks
component_request_bytes component_requests component_response_bytes
component_router_input_sequence_tokens component_router_inter_token_latency_seconds
component_router_kv_hit_rate component_router_output_sequence_tokens component_router_requests
component_router_time_to_first_token_seconds component_uptime_seconds
frontend_disconnected_clients frontend_model_context_length
frontend_model_max_num_batched_tokens frontend_model_migration frontend_model_migration_limit
frontend_output_sequence_tokens frontend_router_queue_pending_requests
frontend_tokenizer_latency_ms frontend_worker_active_decode_blocks
frontend_worker_active_prefill_tokens frontend_worker_last_input_sequence_tokens
frontend_worker_last_inter_token_latency_seconds frontend_worker_last_time_to_first_token_seconds
router_overhead_block_hashing_ms router_overhead_indexer_find_matches_ms
router_overhead_scheduling_ms router_overhead_seq_hashing_ms router_overhead_total_ms
""")

_WORKERS_OWN: Final = frozenset(family_of(name) for signal in _WORKER_SIGNALS for name in signal.series())
"""A frontend with a worker in its process shows these too; its view has them in its own words."""

FRONTEND: Final = Engine(
    name="dynamo",
    title="Dynamo frontend",
    prefixes=("dynamo_",),
    marks=("dynamo_frontend_",),
    ports=(8000,),
    metrics_path="/metrics",
    model_labels=("model",),
    vantage=Vantage.EDGE,
    signals=_FRONTEND_SIGNALS,
    unused=_UNUSED | _WORKERS_OWN,
    expected=("requests_running", "generation_tokens_total"),
    advice="its families are empty until the first request",
)

WORKER: Final = Engine(
    name="dynamo",
    title="Dynamo worker",
    prefixes=("dynamo_",),
    ports=(8081,),
    metrics_path="/metrics",
    rank_label="dp_rank",
    model_labels=("model",),
    signals=_WORKER_SIGNALS,
    unused=_UNUSED,
    expected=("requests_running",),
    advice="set DYN_SYSTEM_PORT: a worker shows no metrics without it",
)
