"""LMDeploy. How to recognise it: series that begin with `lmdeploy:`; `engine` is the data-parallel rank.

Traps:
- requests wait in two places, before the engine and inside it: both are added.
- `request_success_total` has every outcome, as the text of a Python enum.
- `num_requests_succeeded` and `num_requests_failed` are counters typed as gauges, of the API.
- cached tokens are counted when a request ends, so they go with the prompts of ended requests,
  not with `prompt_tokens_total`, which moves at prefill.
- `iter_token_latency` has the same intervals as `time_per_output_token_seconds`: one is read.
"""

from __future__ import annotations

from typing import Final

from collector.engines import PROCESS_START, Engine, Fold, Prefix, Signal
from telemetry.units import MICROS_PER_SECOND

_LMDEPLOY: Final = Prefix("lmdeploy:")


def _ended(column: str, *reasons: str) -> Signal:
    told = tuple(f"ResponseType.{reason}" for reason in reasons)
    return _LMDEPLOY.counter(column, "request_success", finished_reason=told)


_SIGNALS: Final = (
    _LMDEPLOY.gauge("requests_running", "num_requests_running"),
    Signal(
        column="requests_waiting",
        names=_LMDEPLOY.names("num_requests_waiting"),
        added=_LMDEPLOY.names("num_api_requests_waiting"),
    ),
    _LMDEPLOY.largest("kv_usage_ratio", "gpu_cache_usage_perc"),
    _LMDEPLOY.counter("prompt_tokens_total", "prompt_tokens"),
    _LMDEPLOY.counter("generation_tokens_total", "generation_tokens"),
    Signal(
        column="prefix_queries_total",
        names=_LMDEPLOY.names("request_prompt_tokens_sum"),
        beside=_LMDEPLOY.names("cached_tokens_total"),
    ),
    _LMDEPLOY.counter("prefix_hits_total", "cached_tokens"),
    _ended("finished_total", "FINISH"),
    _ended(
        "failed_total",
        "ENGINE_STOP_ERROR",
        "HANDLER_NOT_EXIST",
        "INTERNAL_ENGINE_ERROR",
        "OUT_OF_MEMORY",
        "PREFIX_CACHE_CONFLICT",
    ),
    _ended("aborted_total", "CANCEL"),
    _ended("rejected_total", "NO_QUEUE"),
    _LMDEPLOY.counter("draft_tokens_total", "spec_decode_num_draft_tokens"),
    _LMDEPLOY.counter("accepted_draft_tokens_total", "spec_decode_num_accepted_tokens"),
    *_LMDEPLOY.timing("ttft", "time_to_first_token_seconds"),
    *_LMDEPLOY.timing("itl", "time_per_output_token_seconds"),
    *_LMDEPLOY.timing("e2e", "e2e_request_latency_seconds"),
    _LMDEPLOY.seconds("queue_us_total", "request_queue_time_seconds"),
    _LMDEPLOY.seconds("prefill_us_total", "request_prefill_time_seconds"),
    _LMDEPLOY.seconds("decode_us_total", "request_decode_time_seconds"),
    Signal(column="epoch_us", names=(PROCESS_START,), scale=MICROS_PER_SECOND, fold=Fold.MAX, shared=True),
)

_UNUSED: Final = """
backend_config_info iter_token_latency iteration_tokens num_api_requests_routed num_requests_failed
num_requests_succeeded prefix_cache_hit_rate request_cache_hit_ratio request_cached_tokens
request_generation_tokens request_inference_time_seconds request_max_num_generation_tokens
request_params_max_tokens request_params_n spec_decode_mean_accept_length
spec_decode_mean_accept_rate spec_decode_num_accepted_tokens_per_pos spec_decode_num_drafts
spec_decode_per_position_accept_rate
"""

ENGINE: Final = Engine(
    name="lmdeploy",
    title="LMDeploy",
    prefixes=("lmdeploy:",),
    ports=(23333,),
    metrics_path="/metrics",
    rank_label="engine",
    model_labels=("model_name",),
    signals=_SIGNALS,
    unused=_LMDEPLOY.families(_UNUSED),
    expected=("requests_running", "requests_waiting", "kv_usage_ratio", "prompt_tokens_total"),
    advice="start it without --disable-metrics",
)
