"""TensorRT-LLM's `trtllm-serve`. How to recognise it: series that begin with `trtllm_`.

Traps:
- `/metrics` answers JSON, often empty; the page is `/prometheus/metrics`.
- release 1.1 had five histograms and a counter without a prefix (`model_name="undefined"`).
- counters move when a request finishes.
- `time_per_output_token_seconds` is a request's mean, so it is no inter-token latency.
- the blocks reused and missed are blocks, not tokens; `prompt_cached_tokens` is in tokens.
- an error with a 4xx code is the caller's, except 429 (too many requests).
"""

from __future__ import annotations

from typing import Final

from collector.engines import Engine, Prefix, Signal

_TRTLLM: Final = Prefix("trtllm_")
_OLD: Final = ("request_success", "e2e_request_latency_seconds", "time_to_first_token_seconds")
_SERVER_ERRORS: Final = tuple(str(code) for code in range(500, 600) if code != 503)


def _timing(what: str, name: str) -> tuple[Signal, ...]:
    """Return the two columns of a histogram by its name with the prefix, and then without."""
    return *_TRTLLM.timing(what, name), *Prefix("").timing(what, name)


_SIGNALS: Final = (
    _TRTLLM.gauge("requests_running", "num_requests_running"),
    _TRTLLM.gauge("requests_waiting", "num_requests_waiting"),
    _TRTLLM.gauge("requests_running_max", "max_num_active_requests"),
    _TRTLLM.largest("kv_usage_ratio", "kv_cache_utilization"),
    _TRTLLM.gauge("kv_blocks", "kv_cache_max_blocks"),
    _TRTLLM.largest("kv_block_tokens", "kv_cache_tokens_per_block"),
    _TRTLLM.counter("prompt_tokens_total", "prompt_tokens"),
    _TRTLLM.counter("generation_tokens_total", "generation_tokens"),
    Signal(
        column="prefix_queries_total",
        names=_TRTLLM.names("prompt_tokens_total"),
        beside=_TRTLLM.names("prompt_cached_tokens_total"),
    ),
    _TRTLLM.counter("prefix_hits_total", "prompt_cached_tokens"),
    *(
        prefix.counter(column, "request_success", finished_reason=reasons)
        for column, reasons in (
            ("finished_total", ("stop", "length")),
            ("aborted_total", ("cancelled", "timeout")),
        )
        for prefix in (_TRTLLM, Prefix(""))
    ),
    _TRTLLM.counter("failed_total", "request_error", http_code=_SERVER_ERRORS),
    _TRTLLM.counter("rejected_total", "request_error", http_code=("429", "503")),
    _TRTLLM.counter("draft_tokens_total", "spec_decode_num_draft_tokens"),
    _TRTLLM.counter("accepted_draft_tokens_total", "spec_decode_num_accepted_tokens"),
    *_timing("ttft", "time_to_first_token_seconds"),
    *_timing("e2e", "e2e_request_latency_seconds"),
    _TRTLLM.seconds("queue_us_total", "request_queue_time_seconds"),
    Prefix("").seconds("queue_us_total", "request_queue_time_seconds"),
    _TRTLLM.seconds("prefill_us_total", "request_prefill_time_seconds"),
    _TRTLLM.seconds("decode_us_total", "request_decode_time_seconds"),
)

_UNUSED: Final = """
avg_decoded_tokens_per_iter cpu_memory_usage_bytes generation_perplexity gpu_memory_usage_bytes
iteration_latency_seconds kv_cache_config_info kv_cache_disk_prefetch_blocks kv_cache_free_blocks
kv_cache_gen_alloc_blocks kv_cache_hit_rate kv_cache_host_utilization
kv_cache_intra_device_copy_bytes kv_cache_iter_full_reused_blocks kv_cache_iter_missed_blocks
kv_cache_iter_partial_reused_blocks kv_cache_iter_reuse_rate kv_cache_iter_reused_blocks
kv_cache_missed_blocks kv_cache_offload_bytes kv_cache_onboard_bytes kv_cache_reused_blocks
kv_cache_used_blocks max_batch_size_runtime max_batch_size_static max_num_tokens_runtime
model_config_info num_context_requests num_generation_requests num_paused_requests
num_requests_completed num_scheduled_requests parallel_config_info pinned_memory_usage_bytes
prefill_batch_occupancy prefill_batch_tokens prefill_perplexity prompt_cache_hit_tokens
prompt_cached_tokens_per_request request_inference_time_seconds scheduled_batch_size
spec_decode_acceptance_length spec_decode_accepted_tokens spec_decode_draft_overhead
spec_decode_drafted_tokens speculative_config_info time_per_output_token_seconds
total_context_tokens
"""

ENGINE: Final = Engine(
    name="trtllm",
    title="TensorRT-LLM",
    prefixes=("trtllm_", *_OLD, "time_per_output_token_seconds", "request_queue_time_seconds"),
    marks=("trtllm_", "e2e_request_latency_seconds"),
    ports=(8000,),
    metrics_path="/prometheus/metrics",
    version_path="/version",
    model_labels=("model_name",),
    signals=_SIGNALS,
    unused=_TRTLLM.families(_UNUSED) | {"time_per_output_token_seconds"},
    captured=False,
    expected=("requests_running", "requests_waiting", "kv_usage_ratio", "prompt_tokens_total"),
    advice="read /prometheus/metrics with return_perf_metrics and enable_iter_perf_stats on",
)
