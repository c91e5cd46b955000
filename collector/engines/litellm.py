"""LiteLLM's proxy. How to recognise it: series that begin with `litellm_`.

Traps:
- it is a router: what it tells is about every engine behind it, never to be added to theirs.
- label values may be the text "None", limits may be 9.2e18 (no limit); neither is read.
- time to first token is of streamed requests only, from the proxy's own call, so is its count.
- `litellm_cached_tokens` is LiteLLM's own cache; what the engine's cache spared is
  `input_cached_tokens`.
- a failure with status 4xx is the caller's, except 429.
- the page is `/metrics/`, with the slash, and the scrape itself is one of the requests in flight.
"""

from __future__ import annotations

from typing import Final

from collector.engines import PROCESS_START, Engine, Fold, Prefix, Signal
from telemetry.identity import Vantage
from telemetry.units import MICROS_PER_SECOND

_LITELLM: Final = Prefix("litellm_")
_INPUT: Final = _LITELLM.names("input_tokens_metric_total")
_CACHED: Final = ("input_cached_tokens_metric", "provider_cache_read_input_tokens_metric")
_SERVER_ERRORS: Final = tuple(str(code) for code in range(500, 600))

_SIGNALS: Final = (
    _LITELLM.gauge("requests_running", "in_flight_requests"),
    Signal(column="prompt_tokens_total", names=_INPUT),
    _LITELLM.counter("generation_tokens_total", "output_tokens_metric"),
    Signal(
        column="prefix_queries_total",
        names=_INPUT,
        beside=_LITELLM.names(*(f"{name}_total" for name in _CACHED)),
    ),
    _LITELLM.counter("prefix_hits_total", *_CACHED),
    _LITELLM.counter("finished_total", "proxy_total_requests_metric", status_code=("200",)),
    _LITELLM.counter("failed_total", "proxy_failed_requests_metric", exception_status=_SERVER_ERRORS),
    _LITELLM.counter("rejected_total", "proxy_failed_requests_metric", exception_status=("429",)),
    *_LITELLM.timing("ttft", "llm_api_time_to_first_token_metric"),
    *_LITELLM.timing("e2e", "request_total_latency_metric"),
    _LITELLM.seconds("queue_us_total", "request_queue_time_seconds"),
    Signal(column="epoch_us", names=(PROCESS_START,), scale=MICROS_PER_SECOND, fold=Fold.MAX),
)

_UNUSED: Final = """
active_users api_key_budget_remaining_hours_metric api_key_max_budget_metric cache_hits_metric
cache_misses_metric cached_tokens_metric callback_logging_failures_metric check_batch_cost_errors
check_batch_cost_jobs_polled check_batch_cost_jobs_processed check_batch_cost_last_run_timestamp
deployment_cooled_down deployment_failed_fallbacks deployment_failure_responses
deployment_latency_per_output_token deployment_rpm_limit deployment_state
deployment_success_responses deployment_successful_fallbacks deployment_total_requests
deployment_tpm_limit guardrail_errors guardrail_latency_seconds guardrail_requests
images_generated_metric input_audio_tokens_metric input_cache_creation_tokens_metric
llm_api_failed_requests_metric llm_api_latency_metric managed_batch managed_batch_duration_seconds
managed_file managed_file_deleted managed_file_size_bytes mcp_tool_call_spend_metric mcp_tool_calls
org_budget_remaining_hours_metric org_max_budget_metric output_audio_tokens_metric
output_reasoning_tokens_metric overhead_latency_metric overhead_with_guardrails_latency_metric
provider_cache_creation_input_tokens_metric provider_remaining_budget_metric
remaining_api_key_budget_metric remaining_api_key_requests_for_model
remaining_api_key_tokens_for_model remaining_org_budget_metric remaining_requests_metric
remaining_team_budget_metric remaining_tokens_metric remaining_user_budget_metric requests_metric
spend_metric team_budget_remaining_hours_metric team_max_budget_metric team_members_metric teams
total_tokens_metric total_users user_budget_remaining_hours_metric user_max_budget_metric
video_duration_seconds_metric
"""

ENGINE: Final = Engine(
    name="litellm",
    title="LiteLLM proxy",
    prefixes=("litellm_",),
    ports=(4000,),
    metrics_path="/metrics/",
    vantage=Vantage.EDGE,
    signals=_SIGNALS,
    unused=_LITELLM.families(_UNUSED),
    expected=("prompt_tokens_total", "generation_tokens_total"),
    advice='add callbacks: ["prometheus"] to litellm_settings',
)
