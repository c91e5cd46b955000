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
- in multiprocess mode (several API servers) there is no `process_*` series and no `_created`.
"""

from __future__ import annotations

from typing import Final

from collector.engines import Engine, Fold, Signal
from telemetry.units import MICROS_PER_SECOND


def _counter(column: str, *series: str, **labels: tuple[str, ...]) -> Signal:
    return Signal(column=column, names=tuple(f"vllm:{name}_total" for name in series), labels=labels)


def _gauge(column: str, *series: str, **labels: tuple[str, ...]) -> Signal:
    return Signal(column=column, names=tuple(f"vllm:{name}" for name in series), labels=labels)


def _seconds(column: str, *series: str) -> Signal:
    return Signal(column=column, names=tuple(f"vllm:{name}_sum" for name in series), scale=MICROS_PER_SECOND)


def _count(column: str, *series: str) -> Signal:
    return Signal(column=column, names=tuple(f"vllm:{name}_count" for name in series))


_TTFT = ("time_to_first_token_seconds",)
_ITL = ("inter_token_latency_seconds", "time_per_output_token_seconds")
_E2E = ("e2e_request_latency_seconds",)
_QUEUE = ("request_queue_time_seconds", "time_in_queue_requests")

_SIGNALS: Final = (
    _gauge("requests_running", "num_requests_running"),
    Signal(
        column="requests_waiting",
        names=("vllm:num_requests_waiting",),
        added=("vllm:num_requests_swapped",),
    ),
    _gauge("requests_waiting_capacity", "num_requests_waiting_by_reason", reason=("capacity",)),
    _gauge("requests_waiting_deferred", "num_requests_waiting_by_reason", reason=("deferred",)),
    Signal(
        column="kv_usage_ratio",
        names=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        fold=Fold.MAX,
    ),
    Signal(
        column="kv_blocks",
        names=("vllm:cache_config_info",),
        value_label="num_gpu_blocks",
        fold=Fold.MAX,
        shared=True,
    ),
    Signal(
        column="kv_block_tokens",
        names=("vllm:cache_config_info",),
        value_label="block_size",
        fold=Fold.MAX,
        shared=True,
    ),
    _counter("prompt_tokens_total", "prompt_tokens"),
    _counter("generation_tokens_total", "generation_tokens"),
    _counter("prefix_queries_total", "prefix_cache_queries", "gpu_prefix_cache_queries"),
    _counter("prefix_hits_total", "prefix_cache_hits", "gpu_prefix_cache_hits"),
    _counter("preemptions_total", "num_preemptions"),
    _counter("finished_total", "request_success", finished_reason=("stop", "length", "repetition")),
    _counter("failed_total", "request_success", finished_reason=("error",)),
    _counter("aborted_total", "request_success", finished_reason=("abort",)),
    _counter("rejected_total", "admission_rejections"),
    _counter("draft_tokens_total", "spec_decode_num_draft_tokens"),
    _counter("accepted_draft_tokens_total", "spec_decode_num_accepted_tokens"),
    _count("ttft_count_total", *_TTFT),
    _seconds("ttft_us_total", *_TTFT),
    _count("itl_count_total", *_ITL),
    _seconds("itl_us_total", *_ITL),
    _count("e2e_count_total", *_E2E),
    _seconds("e2e_us_total", *_E2E),
    _seconds("queue_us_total", *_QUEUE),
    _seconds("prefill_us_total", "request_prefill_time_seconds"),
    _seconds("decode_us_total", "request_decode_time_seconds"),
    _counter("flops_total", "estimated_flops_per_gpu"),
    _counter("read_bytes_total", "estimated_read_bytes_per_gpu"),
    _counter("write_bytes_total", "estimated_write_bytes_per_gpu"),
    Signal(
        column="epoch_us",
        names=("process_start_time_seconds", "vllm:prompt_tokens_created"),
        scale=MICROS_PER_SECOND,
        fold=Fold.MAX,
        shared=True,
    ),
)

ENGINE: Final = Engine(
    name="vllm",
    title="vLLM",
    prefix="vllm:",
    ports=(8000, 8001, 8080),
    metrics_path="/metrics",
    version_path="/version",
    rank_label="engine",
    model_label="model_name",
    signals=_SIGNALS,
    awake=_gauge("state", "engine_sleep_state", sleep_state=("awake",)),
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
