"""SGLang, 0.3 to main of July 2026. How to recognise it: series that begin with `sglang:`.

Traps:
- scheduler series carry `dp_rank`, request series do not: with data parallelism its token
  counters and latencies are the whole server's.
- ranks of one tensor or pipeline group repeat each other (`tp_rank`, `pp_rank`, `moe_ep_rank`).
- with priority scheduling a gauge has its total under `priority=""` and its parts beside it.
- a sliding-window or Mamba pool can be full while `token_usage` is low: the largest is the usage.
- `cache_hit_rate` was percent in 2024 and is a ratio since; the token counters are read instead.
- counters move when a request finishes, so that rates are spiky and aborted work is lost.
- `num_requests_total` counts aborted ones too, and at another moment than `num_aborted_requests`:
  their difference could fall, which reads as a restart, so beside it nothing is told as finished.
- inter-token latency is told a token, not a step: a step of k tokens counts k times.
- grammars and hand-overs between prefill and decode have queues of their own: those requests wait
  for something else than capacity.
- always in multiprocess mode: no `process_*` series, hence no start time.
"""

from __future__ import annotations

from typing import Final

from collector.engines import Engine, Fold, Prefix, Signal

_SGLANG: Final = Prefix("sglang:")
_TOTAL: Final = {"priority": ("",)}
_OWN_QUEUES: Final = _SGLANG.names(
    "num_grammar_queue_reqs",
    "num_prefill_bootstrap_queue_reqs",
    "num_prefill_prealloc_queue_reqs",
    "num_decode_prealloc_queue_reqs",
    "num_decode_transfer_queue_reqs",
)
_CAPACITY: Final = _SGLANG.names("num_queue_reqs", "num_requests_waiting")

_SIGNALS: Final = (
    _SGLANG.gauge("requests_running", "num_running_reqs", "num_requests_running", **_TOTAL),
    Signal(column="requests_waiting", names=_CAPACITY, added=_OWN_QUEUES, labels=_TOTAL),
    Signal(column="requests_waiting_capacity", names=_CAPACITY[:1], beside=_OWN_QUEUES[:1], labels=_TOTAL),
    Signal(column="requests_waiting_deferred", names=_OWN_QUEUES[:1], added=_OWN_QUEUES[1:], labels=_TOTAL),
    _SGLANG.gauge("requests_running_max", "max_running_requests"),
    Signal(
        column="kv_usage_ratio",
        names=_SGLANG.names("token_usage"),
        added=_SGLANG.names("full_token_usage", "swa_token_usage", "mamba_usage"),
        fold=Fold.MAX,
    ),
    _SGLANG.gauge("kv_blocks", "num_pages"),
    Signal(column="kv_blocks", names=_SGLANG.names("cache_config_info"), value_label="num_pages"),
    _SGLANG.gauge("kv_blocks", "max_total_num_tokens"),
    _SGLANG.largest("kv_block_tokens", "page_size"),
    Signal(
        column="kv_block_tokens",
        names=_SGLANG.names("cache_config_info"),
        value_label="page_size",
        fold=Fold.MAX,
    ),
    Signal(column="kv_block_tokens", names=_SGLANG.names("max_total_num_tokens"), constant=1, fold=Fold.MAX),
    _SGLANG.counter("prompt_tokens_total", "prompt_tokens"),
    _SGLANG.counter("generation_tokens_total", "generation_tokens"),
    Signal(
        column="prefix_queries_total",
        names=_SGLANG.names("prompt_tokens_total"),
        beside=_SGLANG.names("cached_tokens_total"),
    ),
    _SGLANG.counter("prefix_hits_total", "cached_tokens"),
    _SGLANG.gauge("preemptions_total", "num_retracted_requests_total", "num_retractions_sum"),
    Signal(
        column="finished_total",
        names=_SGLANG.names("num_requests_total"),
        unless=_SGLANG.names("num_aborted_requests_total", "num_aborted_requests"),
    ),
    _SGLANG.gauge("aborted_total", "num_aborted_requests_total", "num_aborted_requests"),
    *_SGLANG.timing("ttft", "time_to_first_token_seconds"),
    *_SGLANG.timing("itl", "inter_token_latency_seconds", "time_per_output_token_seconds"),
    *_SGLANG.timing("e2e", "e2e_request_latency_seconds"),
    _SGLANG.seconds("queue_us_total", "queue_time_seconds", "waiting_request_latency_seconds"),
    _SGLANG.counter("flops_total", "estimated_flops_per_gpu"),
    _SGLANG.counter("read_bytes_total", "estimated_read_bytes_per_gpu"),
    _SGLANG.counter("write_bytes_total", "estimated_write_bytes_per_gpu"),
)

_UNUSED: Final = """
backuped_tokens cache_hit_rate cached_token context_len cuda_graph_passes decode_sum_seq_lens
engine_load_weights_time engine_startup_time evicted_tokens eviction_duration_seconds
forward_execution_seconds func_latency_seconds fwd_occupancy gen_throughput
generation_tokens_histogram gpu_execution_seconds hicache_host_total_tokens
hicache_host_used_tokens http_requests http_requests_active http_responses is_cuda_graph
kv_available_tokens kv_evictable_tokens kv_transfer_alloc_ms kv_transfer_bootstrap_ms
kv_transfer_latency_ms kv_transfer_speed_gb_s kv_used_tokens load_back_duration_seconds
load_back_tokens lora_pool_slots_total lora_pool_slots_used lora_pool_utilization
mamba_available_tokens mamba_evictable_tokens mamba_used_tokens max_prefill_tokens new_seq
new_token new_token_ratio num_paused_reqs num_prefill_infight_queue_reqs
num_prefill_inflight_queue_reqs num_retracted_reqs num_running_reqs_offline_batch num_so_requests
num_unique_running_routing_keys num_used_tokens pending_prealloc_token_usage
per_stage_req_latency_seconds prefetched_tokens process_cpu_seconds prompt_tokens_histogram
queue_req realtime_tokens request_generation_tokens request_prompt_tokens
routing_key_all_req_count routing_key_running_req_count routing_keys_active spec_accept_length
spec_accept_rate spec_block_accept_length spec_cap_length spec_num_draft_tokens spec_num_steps
spec_verify_calls startup_available_gpu_memory_gb swa_available_tokens swa_evictable_tokens
swa_used_tokens uncached_prompt_tokens_histogram utilization avg_request_queue_latency
"""

_OLDEST, _NEWEST = "0.3.0", "0.5.10+main.20260720"

_SPANS: Final = {
    "prompt_tokens_total": (_OLDEST, _NEWEST),
    "num_requests_running": (_OLDEST, "0.4.3"),
    "time_per_output_token_seconds_sum": (_OLDEST, "0.4.9"),
    "num_running_reqs": ("0.3.5", _NEWEST),
    "inter_token_latency_seconds_sum": ("0.4.3", _NEWEST),
    "avg_request_queue_latency": ("0.4.3", "0.5.5"),
    "queue_time_seconds_sum": ("0.4.9", _NEWEST),
    "num_retractions_sum": ("0.4.9", _NEWEST),
    "full_token_usage": ("0.5.5", _NEWEST),
    "uncached_prompt_tokens_histogram_sum": ("0.5.5", _NEWEST),
    "cache_config_info": ("0.5.5", _NEWEST),
    "kv_used_tokens": ("0.5.10", _NEWEST),
    "page_size": ("0.5.10", _NEWEST),
}

ENGINE: Final = Engine(
    name="sglang",
    title="SGLang",
    prefixes=("sglang:",),
    ports=(30000,),
    metrics_path="/metrics",
    rank_label="dp_rank",
    repeats=("tp_rank", "pp_rank", "moe_ep_rank", "pid"),
    model_labels=("model_name", "name"),
    signals=_SIGNALS,
    unused=_SGLANG.families(_UNUSED),
    spans={_SGLANG.text + name: span for name, span in _SPANS.items()},
    expected=("requests_running", "requests_waiting", "kv_usage_ratio", "prompt_tokens_total"),
    advice="start it with --enable-metrics (and --enable-metrics-for-all-schedulers with data parallelism)",
)
