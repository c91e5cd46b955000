"""Text Generation Inference 2 and 3. How to recognise it: series that begin with `tgi_`.

Traps:
- tokens are only in the sums of per-request histograms, so they move when a request ends.
- it tells no time to first token and no inter-token latency: `mean_time_per_token` is inference
  time by tokens, prefill included, and `batch_inference_duration` is a batch's, not a request's.
- `batch_current_max_tokens` is what the batch may grow to, not what its cache holds: no KV usage.
- of a failure's reasons `validation` and `template` are the caller's, `dropped` is a caller who left.
- a series appears with its first event: an absent failure is not yet told, not zero.
"""

from __future__ import annotations

from typing import Final

from collector.engines import Engine, Prefix, Signal

_TGI: Final = Prefix("tgi_")

_SIGNALS: Final = (
    _TGI.gauge("requests_running", "batch_current_size"),
    _TGI.gauge("requests_waiting", "queue_size"),
    _TGI.gauge("kv_blocks", "batch_max_total_tokens"),
    Signal(column="kv_block_tokens", names=_TGI.names("batch_max_total_tokens"), constant=1),
    _TGI.gauge("prompt_tokens_total", "request_input_length_sum"),
    _TGI.gauge("generation_tokens_total", "request_generated_tokens_sum"),
    _TGI.gauge("finished_total", "request_success_total", "request_success"),
    _TGI.gauge("failed_total", "request_failure", err=("generation", "incomplete")),
    _TGI.gauge("aborted_total", "request_failure", err=("dropped",)),
    _TGI.gauge("rejected_total", "request_failure", err=("overloaded",)),
    *_TGI.timing("e2e", "request_duration"),
    _TGI.seconds("queue_us_total", "request_queue_duration"),
)

_UNUSED: Final = """
batch_concat batch_concat_duration batch_current_max_tokens batch_decode_duration
batch_filter_duration batch_forward_duration batch_inference_count batch_inference_duration
batch_inference_success batch_next_size batch_next_tokens queue_size_duration request_count
request_inference_duration request_max_new_tokens request_mean_time_per_token_duration
request_skipped_tokens request_validation_duration
"""

ENGINE: Final = Engine(
    name="tgi",
    title="TGI",
    prefixes=("tgi_",),
    ports=(3000, 8080, 9000),
    metrics_path="/metrics",
    signals=_SIGNALS,
    unused=_TGI.families(_UNUSED),
    expected=("requests_running", "requests_waiting", "prompt_tokens_total", "generation_tokens_total"),
    advice="look on its own port or on --prometheus-port",
)
