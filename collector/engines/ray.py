"""Ray Serve LLM. How to recognise it: vLLM's series behind `ray_`, the colon kept (2.32) or not.

Every meaning is vLLM's; read its file first.

Traps:
- a replica is named by `ReplicaId`; one that is restarted comes back under another, so that its
  counters begin anew as another replica's.
- `WorkerId`, `NodeAddress` and the like say where, not what.
- older Ray wrote counters without `_total`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from collector.engines import Engine, Prefix, Signal, vllm

_BEFORE: Final = ("ray_vllm_", "ray_vllm:")


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return vLLM's names as Ray writes them, today's spelling first; what is not vLLM's is left out."""
    own = [name.removeprefix("vllm:") for name in names if name.startswith("vllm:")]
    spelt = [text for name in own for text in dict.fromkeys((name, name.removesuffix("_total")))]
    return tuple(before + text for text in spelt for before in _BEFORE)


def _behind_ray(signal: Signal) -> Signal:
    return replace(
        signal, names=_names(signal.names), added=_names(signal.added), beside=_names(signal.beside)
    )


_UNUSED: Final = Prefix("ray_").families("""
serve_deployment_error_counter serve_deployment_processing_latency_ms
serve_deployment_queued_queries serve_deployment_replica_healthy serve_deployment_replica_starts
serve_deployment_request_counter serve_handle_request_counter serve_http_request_latency_ms
serve_multiplexed_model_load_latency_ms serve_num_deployment_http_error_requests
serve_num_http_error_requests serve_num_http_requests serve_num_ongoing_http_requests
serve_num_ongoing_requests_at_replicas serve_num_router_requests serve_num_scheduling_tasks
serve_num_scheduling_tasks_in_backoff serve_replica_pending_queries
serve_replica_processing_queries
""")

ENGINE: Final = Engine(
    name="ray",
    title="Ray Serve LLM",
    prefixes=("ray_vllm", "ray_serve_"),
    marks=("ray_vllm",),
    ports=(8080,),
    metrics_path="/metrics",
    rank_label="ReplicaId",
    model_labels=("model_name",),
    signals=tuple(map(_behind_ray, vllm.SIGNALS)),
    unused=_UNUSED | frozenset(name for before in _BEFORE for name in Prefix(before).families(vllm.UNUSED)),
    spans={before + name: span for name, span in vllm.SPANS.items() for before in _BEFORE},
    captured=False,
    expected=vllm.ENGINE.expected,
    advice="set log_engine_metrics, and start Ray with --metrics-export-port",
)
