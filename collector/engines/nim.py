"""NVIDIA NIM for language models. How to recognise it: vLLM's words without a prefix, and its own.

Newer ones show vLLM's series as they are and are read as vLLM.

Traps:
- its names have no prefix, so that only `num_requests_running` and the like tell it apart.
- `request_success_total` counts what ended, however it ended; `request_finish_total` has the reason.
- `gpu_cache_usage_perc` is a ratio 0..1 in spite of the name.
"""

from __future__ import annotations

from typing import Final

from collector.engines import PROCESS_START, Engine, Fold, Prefix, Signal
from telemetry.units import MICROS_PER_SECOND

_NIM: Final = Prefix("")

_SIGNALS: Final = (
    _NIM.gauge("requests_running", "num_requests_running"),
    _NIM.gauge("requests_waiting", "num_requests_waiting"),
    _NIM.gauge("requests_running_max", "num_request_max"),
    _NIM.largest("kv_usage_ratio", "gpu_cache_usage_perc"),
    _NIM.counter("prompt_tokens_total", "prompt_tokens"),
    _NIM.counter("generation_tokens_total", "generation_tokens"),
    _NIM.counter("finished_total", "request_finish", finished_reason=("stop", "length")),
    _NIM.counter("failed_total", "request_failure"),
    _NIM.counter("aborted_total", "request_finish", finished_reason=("abort",)),
    *_NIM.timing("ttft", "time_to_first_token_seconds"),
    *_NIM.timing("itl", "time_per_output_token_seconds"),
    *_NIM.timing("e2e", "e2e_request_latency_seconds"),
    Signal(column="epoch_us", names=(PROCESS_START,), scale=MICROS_PER_SECOND, fold=Fold.MAX),
)

_UNUSED: Final = "request_prompt_tokens request_generation_tokens request_success"

ENGINE: Final = Engine(
    name="nim",
    title="NVIDIA NIM",
    prefixes=(
        "num_request",
        "gpu_cache_usage_perc",
        "prompt_tokens",
        "generation_tokens",
        "time_to_first_token",
        "time_per_output_token",
        "e2e_request_latency",
        "request_prompt_tokens",
        "request_generation_tokens",
        "request_finish",
        "request_success",
        "request_failure",
    ),
    marks=("num_request_max", "num_requests_running", "gpu_cache_usage_perc", "request_finish_total"),
    ports=(8000,),
    metrics_path="/v1/metrics",
    model_labels=("model_name",),
    signals=_SIGNALS,
    unused=_NIM.families(_UNUSED),
    expected=("requests_running", "requests_waiting", "kv_usage_ratio", "prompt_tokens_total"),
    advice="read /v1/metrics of its API port",
)
