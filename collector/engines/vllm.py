"""vLLM, v0 (to 0.8, code kept to 0.11) and v1 (0.8 and newer), read by one set of rules.

How to recognise it: series that begin with `vllm:`; v1 adds `engine` = data-parallel rank to
nearly all of them. Names checked in releases 0.6.6 to 0.33.0.

Traps:
- `*_cache_usage_perc` are ratios 0..1 in spite of the name.
- `time_per_output_token_seconds` (old) and `inter_token_latency_seconds` (new) hold the same
  values in 0.10 and 0.11: adding them counts twice. Both have one value an engine output, not a
  token: with speculative decoding one step is one value.
- `request_success_total` counts aborts and errors too.
- waiting requests of reason `deferred` wait for something else than capacity.
- v0 keeps requests swapped to the host apart from the waiting ones.
- gauges move only when a step runs: after a mass abort they stay (hence the counters).
- Triton's vLLM backend labels its series `model` and `version` instead of `model_name`.
- in multiprocess mode (several API servers) there is no `process_*` series and no `_created`.
"""

from __future__ import annotations

from typing import Final

from collector.engines import PROCESS_START, Engine, Fold, Prefix, Signal
from telemetry.units import MICROS_PER_SECOND

_VLLM: Final = Prefix("vllm:")

SIGNALS: Final = (
    _VLLM.gauge("requests_running", "num_requests_running"),
    Signal(
        column="requests_waiting",
        names=_VLLM.names("num_requests_waiting"),
        added=_VLLM.names("num_requests_swapped"),
    ),
    _VLLM.gauge("requests_waiting_capacity", "num_requests_waiting_by_reason", reason=("capacity",)),
    _VLLM.gauge("requests_waiting_deferred", "num_requests_waiting_by_reason", reason=("deferred",)),
    _VLLM.largest("kv_usage_ratio", "kv_cache_usage_perc", "gpu_cache_usage_perc"),
    Signal(
        column="kv_blocks",
        names=_VLLM.names("cache_config_info"),
        value_label="num_gpu_blocks",
        fold=Fold.MAX,
        shared=True,
    ),
    Signal(
        column="kv_block_tokens",
        names=_VLLM.names("cache_config_info"),
        value_label="block_size",
        fold=Fold.MAX,
        shared=True,
    ),
    _VLLM.counter("prompt_tokens_total", "prompt_tokens"),
    _VLLM.counter("generation_tokens_total", "generation_tokens"),
    _VLLM.counter("prefix_queries_total", "prefix_cache_queries", "gpu_prefix_cache_queries"),
    _VLLM.counter("prefix_hits_total", "prefix_cache_hits", "gpu_prefix_cache_hits"),
    _VLLM.counter("preemptions_total", "num_preemptions"),
    _VLLM.counter("finished_total", "request_success", finished_reason=("stop", "length", "repetition")),
    _VLLM.counter("failed_total", "request_success", finished_reason=("error",)),
    _VLLM.counter("aborted_total", "request_success", finished_reason=("abort",)),
    _VLLM.counter("rejected_total", "admission_rejections"),
    _VLLM.counter("draft_tokens_total", "spec_decode_num_draft_tokens"),
    _VLLM.counter("accepted_draft_tokens_total", "spec_decode_num_accepted_tokens"),
    *_VLLM.timing("ttft", "time_to_first_token_seconds"),
    *_VLLM.timing("itl", "inter_token_latency_seconds", "time_per_output_token_seconds"),
    *_VLLM.timing("e2e", "e2e_request_latency_seconds"),
    _VLLM.seconds("queue_us_total", "request_queue_time_seconds", "time_in_queue_requests"),
    _VLLM.seconds("prefill_us_total", "request_prefill_time_seconds"),
    _VLLM.seconds("decode_us_total", "request_decode_time_seconds"),
    _VLLM.counter("flops_total", "estimated_flops_per_gpu"),
    _VLLM.counter("read_bytes_total", "estimated_read_bytes_per_gpu"),
    _VLLM.counter("write_bytes_total", "estimated_write_bytes_per_gpu"),
    Signal(
        column="epoch_us",
        names=(PROCESS_START, *_VLLM.names("prompt_tokens_created")),
        scale=MICROS_PER_SECOND,
        fold=Fold.MAX,
        shared=True,
    ),
)

UNUSED: Final = """
avg_generation_throughput_toks_per_s avg_prompt_throughput_toks_per_s cpu_cache_usage_perc
cpu_prefix_cache_hit_rate gpu_prefix_cache_hit_rate engine_sleep_state external_prefix_cache_hits
external_prefix_cache_queries iteration_tokens lora_requests_info mm_cache_hits mm_cache_queries
model_execute_time_milliseconds model_forward_time_milliseconds prompt_tokens_by_source
prompt_tokens_cached prompt_tokens_cached_by_source prompt_tokens_recomputed
request_generation_tokens request_inference_time_seconds request_max_num_generation_tokens
request_num_preemptions request_params_best_of request_params_max_tokens request_params_n
request_prefill_kv_computed_tokens request_prompt_tokens request_time_per_output_token_seconds
spec_decode_draft_acceptance_rate spec_decode_efficiency spec_decode_num_accepted_tokens_per_pos
spec_decode_num_drafts spec_decode_num_emitted_tokens tokens
"""

_OLDEST, _NEWEST = "0.4.0", "0.33.0"

SPANS: Final = {
    "num_requests_running": (_OLDEST, _NEWEST),
    "num_requests_swapped": (_OLDEST, "0.10.2"),
    "time_per_output_token_seconds_sum": (_OLDEST, "0.18.0"),
    "gpu_cache_usage_perc": (_OLDEST, "0.18.0"),
    "request_prefill_time_seconds_sum": ("0.5.4", _NEWEST),
    "gpu_prefix_cache_queries_total": ("0.6.6", "0.18.0"),
    "kv_cache_usage_perc": ("0.8.5", _NEWEST),
    "prefix_cache_queries_total": ("0.8.5", _NEWEST),
    "inter_token_latency_seconds_sum": ("0.8.5", _NEWEST),
    "request_time_per_output_token_seconds_sum": ("0.11.0", _NEWEST),
    "prompt_tokens_recomputed_total": ("0.11.0", "0.25.0"),
    "num_requests_waiting_by_reason": ("0.18.0", _NEWEST),
    "admission_rejections_total": ("0.25.0", _NEWEST),
    "request_num_preemptions_sum": ("0.25.0", _NEWEST),
}

ENGINE: Final = Engine(
    name="vllm",
    title="vLLM",
    prefixes=("vllm:",),
    ports=(8000, 8001, 8080),
    metrics_path="/metrics",
    version_path="/version",
    rank_label="engine",
    model_labels=("model_name", "model"),
    signals=SIGNALS,
    awake=_VLLM.gauge("state", "engine_sleep_state", sleep_state=("awake",)),
    unused=_VLLM.families(UNUSED),
    spans={_VLLM.text + name: span for name, span in SPANS.items()},
    expected=(
        "requests_running",
        "requests_waiting",
        "kv_usage_ratio",
        "prompt_tokens_total",
        "generation_tokens_total",
        "preemptions_total",
        "ttft_count_total",
        "ttft_us_total",
    ),
    advice="start it without --disable-log-stats",
)
