"""Triton Inference Server, with its TensorRT-LLM backend. Recognised by `nv_inference_`, `nv_trt_llm_`.

Its vLLM backend shows vLLM's own series, which tell more: such a page is read as vLLM's.

Traps:
- `request_type="active"` is everything in the batcher, `scheduled` is what runs.
- `fraction` came in 2025; before it, usage is blocks used by blocks there are.
- every step of an ensemble counts the same request: the largest of its models counts, not the sum.
- `nv_inference_*` move when the response is complete: a queue that grows is not seen there.
- the histogram of first responses is in milliseconds and off unless asked for. Triton's own manual
  prints it with a TYPE line that names another family.
- the token counts of `nv_trt_llm_v1_metrics` are of one iteration, not of a lifetime.
"""

from __future__ import annotations

from typing import Final

from collector.engines import Engine, Fold, Prefix, Signal
from telemetry.units import MICROS_PER_MILLI

_TRITON: Final = Prefix("nv_")
_BLOCKS: Final = "trt_llm_kv_cache_block_metrics"
_FIRST: Final = "inference_first_response_histogram_ms"


def _largest(column: str, name: str, **labels: tuple[str, ...]) -> Signal:
    return _TRITON.largest(column, f"inference_{name}", **labels)


def _blocks(column: str, kind: str) -> Signal:
    return _TRITON.gauge(column, _BLOCKS, kv_cache_block_type=(kind,))


_SIGNALS: Final = (
    _TRITON.gauge("requests_running", "trt_llm_request_metrics", request_type=("scheduled",)),
    _TRITON.gauge("requests_waiting", "trt_llm_request_metrics", request_type=("waiting",)),
    _TRITON.gauge("requests_running_max", "trt_llm_request_metrics", request_type=("max",)),
    _TRITON.largest("kv_usage_ratio", _BLOCKS, kv_cache_block_type=("fraction",)),
    Signal(
        column="kv_usage_ratio",
        names=_TRITON.names(_BLOCKS),
        labels={"kv_cache_block_type": ("used",)},
        over=_blocks("kv_blocks", "max"),
    ),
    _blocks("kv_blocks", "max"),
    _TRITON.largest("kv_block_tokens", _BLOCKS, kv_cache_block_type=("tokens_per",)),
    _largest("finished_total", "request_success"),
    _largest("failed_total", "request_failure", reason=("", "BACKEND", "OTHER")),
    _largest("aborted_total", "request_failure", reason=("CANCELED",)),
    _largest("rejected_total", "request_failure", reason=("REJECTED",)),
    _TRITON.largest("ttft_count_total", f"{_FIRST}_count"),
    Signal(
        column="ttft_us_total",
        names=_TRITON.names(f"{_FIRST}_sum"),
        scale=MICROS_PER_MILLI,
        fold=Fold.MAX,
    ),
    _largest("e2e_count_total", "request_success"),
    _largest("e2e_us_total", "request_duration_us"),
    _largest("queue_us_total", "queue_duration_us"),
)

_UNUSED: Final = """
cache_hit_duration_us cache_insertion_duration cache_lookup_duration cache_num_entries
cache_num_evictions cache_num_hits cache_num_hits_per_model cache_num_lookups cache_num_misses
cache_num_misses_per_model cache_util cpu_memory_total_bytes cpu_memory_used_bytes cpu_utilization
energy_consumption first_response_histogram_ms gpu_memory_total_bytes gpu_memory_used_bytes
gpu_power_limit gpu_power_usage gpu_utilization inference_compute_infer_duration_us
inference_compute_input_duration_us inference_compute_output_duration_us inference_count
inference_exec_count inference_load_ratio inference_pending_request_count
inference_request_summary_us model_load_duration_secs pinned_memory_pool_total_bytes
pinned_memory_pool_used_bytes response_cache trt_llm_general_metrics
trt_llm_inflight_batcher_metrics trt_llm_disaggregated_serving_metrics
trt_llm_runtime_memory_metrics trt_llm_v1_metrics
"""

ENGINE: Final = Engine(
    name="triton",
    title="Triton",
    prefixes=("nv_",),
    marks=("nv_inference_", "nv_trt_llm_"),
    ports=(8002,),
    metrics_path="/metrics",
    signals=_SIGNALS,
    model_labels=("model",),
    unused=_TRITON.families(_UNUSED),
    expected=("requests_running", "kv_usage_ratio"),
    advice="is this tritonserver's --metrics-port?",
)
